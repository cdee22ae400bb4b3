"""Which species an iris flower is, from four lengths: assemble → scale → polynomial features → classifier."""

from use_cases.iris.data import load, schema
from use_cases.iris.features import features
from use_cases.iris.model import baseline, build

__all__ = ["baseline", "build", "features", "load", "schema"]
