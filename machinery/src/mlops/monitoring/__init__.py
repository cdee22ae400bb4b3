"""The watch on a served model: its prediction log against what its version was trained on, and what follows from drift."""
