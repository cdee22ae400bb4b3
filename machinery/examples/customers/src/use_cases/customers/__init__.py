"""Which customers will not pay a loan back: a probability to rely on, and a threshold by what mistakes cost."""

from .data import load, schema
from .features import features
from .model import baseline, build

__all__ = ["baseline", "build", "features", "load", "schema"]
