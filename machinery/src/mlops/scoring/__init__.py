"""Scoring of raw rows: what a user has goes through the use case's own code, as it was when the version was trained."""
