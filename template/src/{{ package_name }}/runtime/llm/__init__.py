"""The LLM behind the agent."""

from .client import LLM, connect
from .errors import LLMError
from .providers import split_uri

__all__ = ["LLM", "LLMError", "connect", "split_uri"]
