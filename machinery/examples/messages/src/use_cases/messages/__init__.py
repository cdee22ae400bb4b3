"""Which short messages are spam: words, counted in columns that a hash chooses, and a logistic regression."""

from .data import load, schema
from .features import features
from .model import baseline, build

__all__ = ["baseline", "build", "features", "load", "schema"]
