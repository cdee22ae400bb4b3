"""Requests that no client made: those of a deployment, which asks a service for rows to see whether it answers well.

They are answered and counted as any other, and stay out of the prediction log, which is for what clients ask.
"""

PREFIX = "mlops-probe-"


def is_probe(request: str) -> bool:
    """Return whether a request's id is one of a probe."""
    return request.startswith(PREFIX)
