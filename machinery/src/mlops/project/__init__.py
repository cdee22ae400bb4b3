"""The life of a project on the machinery: created, made thin, updated, turned back into source."""
