"""Data: raw → interim → processed, each set immutable, with its schema beside it."""
