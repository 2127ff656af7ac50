"""The HTTP server: the Responses API and a chat page."""

from .app import create_app
from .lifecycle import serve

__all__ = ["create_app", "serve"]
