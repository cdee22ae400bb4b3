"""Which colour a point has, from two coordinates whose axes change scale: assemble → scale → neighbours or forest."""

from .data import load, schema
from .features import features
from .model import baseline, build

__all__ = ["baseline", "build", "features", "load", "schema"]
