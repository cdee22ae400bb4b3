"""Metrics: what they are, how they are computed, which of two values is better."""
