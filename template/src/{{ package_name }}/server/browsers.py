"""Protects the server from requests that web pages make a browser send.

A page of any site can send requests to a developer's machine. Browsers name the site in
`Sec-Fetch-Site` or `Origin`. A page can also give its own domain the address of the server (DNS
rebinding); then `Host` contains that domain instead of a name of the server.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import ApiError

# Nobody can register these as a domain: local names, names without a dot, and addresses.
_LOCAL_HOST = re.compile(
    r"[^.:]*|([\w-]+\.)*(localhost|local|internal)|[\d.]+|\[[\da-f:.]+\]", re.IGNORECASE
)


@dataclass
class BrowserProtection:
    """Rejects requests that pages of other sites send, and requests for other hosts.

    Attributes:
        app: The application.
        hosts: Further names of the server; None to accept any.
    """

    app: ASGIApp
    hosts: Collection[str] | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (error := self._error(Headers(scope=scope))):
            await error.response()(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _error(self, headers: Headers) -> ApiError | None:
        host = _host_of(headers.get("host", ""))
        if self.hosts is not None and host not in self.hosts and not _LOCAL_HOST.fullmatch(host):
            return ApiError(
                403,
                f"{host[:100]} is not a name of this server. Set AGENT_ALLOWED_HOSTS to its names, "
                "or AGENT_TOKEN to require a token.",
            )
        if _is_from_another_site(headers):
            return ApiError(403, "A web page of another site sent this request.")
        return None


def _is_from_another_site(headers: Headers) -> bool:
    if site := headers.get("sec-fetch-site"):
        is_link = headers.get("sec-fetch-mode") == "navigate" and "origin" not in headers
        return site not in ("same-origin", "none") and not is_link
    origin = headers.get("origin")
    return origin is not None and _address(origin) != _address(headers.get("host", ""))


def _address(header: str) -> str:
    """Return the host and the port in a header `Origin` or `Host`, without a default port."""
    return re.sub(r":(80|443)?$", "", header.lower().rpartition("://")[2])


def _host_of(header: str) -> str:
    """Return the host in a header `Host`, without the port and a trailing dot."""
    return re.sub(r"\.?(:\d*)?$", "", header).lower()
