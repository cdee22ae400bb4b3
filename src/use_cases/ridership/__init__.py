"""How many rides begin at Clark/Lake 14 days from now: lags, calendar and what is scheduled by then."""

from use_cases.ridership.data import load, schema
from use_cases.ridership.features import features
from use_cases.ridership.model import baseline, build

__all__ = ["baseline", "build", "features", "load", "schema"]
