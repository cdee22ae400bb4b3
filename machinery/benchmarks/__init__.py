"""Each figure in README and docs comes from a command here: `python -m benchmarks.<name>`."""

import os

# Some images set it; then each process compiles every library again, and what imports most looks slowest.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
