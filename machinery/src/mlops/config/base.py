"""What every part of the configuration is: typed, unchangeable, and without keys that nobody reads."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A configuration that cannot change once read, and refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
