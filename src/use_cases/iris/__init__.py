"""Which species an iris flower is, from four lengths: assemble → scale → polynomial features → classifier."""

from .data import load, schema
from .features import features
from .model import baseline, build

__all__ = ["baseline", "build", "features", "load", "schema"]
