"""A release: the images of a tag's registered versions, what is published about them, and what a deployment reads of it."""
