"""Whether a share is up five trading days from now: split by time, and held against rules that know nothing."""

from .data import load, schema
from .features import features
from .model import baseline, build, evaluate

__all__ = ["baseline", "build", "evaluate", "features", "load", "schema"]
