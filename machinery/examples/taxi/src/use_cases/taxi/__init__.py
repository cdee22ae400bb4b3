"""Which taxi rides are unusual, how unusual, and by which facts: a ranked list to investigate."""

from .data import load, schema
from .features import features
from .model import baseline, build

__all__ = ["baseline", "build", "features", "load", "schema"]
