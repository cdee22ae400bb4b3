"""Each figure in README and docs comes from a command here: `python -m benchmarks.<name>`."""
