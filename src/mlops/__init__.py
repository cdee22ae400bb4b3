"""The machinery: everything a model's way needs that is not the problem itself."""
