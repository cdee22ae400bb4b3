"""The registry: versions, their numbers and aliases, and the log of every alias that moved."""
