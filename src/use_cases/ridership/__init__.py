"""How many rides begin at Clark/Lake 14 days from now: lags, calendar and what is scheduled by then."""

from .data import load, schema
from .features import features
from .model import baseline, build

__all__ = ["baseline", "build", "features", "load", "schema"]
