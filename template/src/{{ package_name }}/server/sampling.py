"""Limits how many requests per second are traced; the code is in `ops/sampling.py`."""

from ..ops.sampling import TraceSampler

__all__ = ["TraceSampler"]
