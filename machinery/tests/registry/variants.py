"""Variants of iris for the tests of registration, and what the store has of them."""

from collections.abc import Callable

from mlops.config import Project
from mlops.registry.versions import Version

Stored = Callable[[Project], list[Version]]

# A weaker model, which passes where nothing better is known.
WEAK = ("parameters.regularisation=100", "metrics.macro_f1.limit=0.5", "metrics.accuracy.limit=0.5")
# Another key, with as good a model.
OTHER = ("parameters.regularisation=1.5",)


def aliases(versions: list[Version]) -> dict[str, str]:
    """Alias → number."""
    return {alias: version.number for version in versions for alias in version.aliases}
