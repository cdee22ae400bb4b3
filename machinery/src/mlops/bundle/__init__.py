"""A bundle: what a server needs and nothing more, built from a candidate and proved equal to it; and its image."""
