"""The problems: one folder each, with its data, schema, features and model."""
