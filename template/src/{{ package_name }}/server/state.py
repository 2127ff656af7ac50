"""The state of one request, shared by the middleware and the handlers."""

import time
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Scope

_KEY = "agent_request"


@dataclass
class RequestState:
    """The state of a request that the access log and the handlers share.

    Attributes:
        started_at: When the request arrived, in seconds of the monotonic clock.
        body: The request body, once it has arrived.
        status: The status of the response; none until it starts, and after a disconnect.
        first_event: Seconds from the start to the agent's first event.
        trace_id: The id of the trace; empty if the request is not traced.
        is_stopping: Whether the server cancelled the request in order to stop.
    """

    started_at: float = field(default_factory=time.monotonic)
    body: bytes = b""
    status: int | None = None
    first_event: float | None = None
    trace_id: str = ""
    is_stopping: bool = False

    def seconds(self) -> float:
        """Return the seconds since the request arrived."""
        return time.monotonic() - self.started_at

    def record_first_event(self) -> None:
        """Record when the agent's first event arrived; later calls change nothing."""
        if self.first_event is None:
            self.first_event = self.seconds()


def state_of(scope: Scope) -> RequestState:
    """Return the state of a request, created on first use."""
    states: dict[str, Any] = scope.setdefault("state", {})
    return states.setdefault(_KEY, RequestState())


def path_of(scope: Scope) -> str:
    """Return the path of a request in this application, which may be mounted in another one."""
    path = scope["path"]
    rest = path.removeprefix(scope.get("root_path", ""))
    return path if rest and not rest.startswith("/") else rest
