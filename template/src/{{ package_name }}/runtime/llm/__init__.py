"""The LLM behind the agent."""

from .client import LLM, LLMError, connect, split_uri

__all__ = ["LLM", "LLMError", "connect", "split_uri"]
