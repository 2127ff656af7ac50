"""The body of a request: read within limits, and checked before the agent sees it."""

import asyncio
import json

from starlette.types import Receive

# Fields of the API that stand for earlier turns, which are kept nowhere.
REFERENCES = ("previous_response_id", "conversation")


class RefusedError(Exception):
    """A request is not answered, for a reason that its sender can mend."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


async def read(receive: Receive, max_bytes: int, max_seconds: float) -> bytes:
    """Read the body of a request.

    Raises:
        RefusedError: it is too long, too slow, or its sender left before the end.
    """
    too_long = f"The request is longer than {max_bytes:,} bytes. Shorten it."
    too_slow = f"The request took longer than {max_seconds:g} s to arrive. Send it again."
    body = bytearray()
    more = True
    try:
        async with asyncio.timeout(max_seconds):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RefusedError(400, "The request broke off.")
                body += message.get("body", b"")
                if len(body) > max_bytes:
                    raise RefusedError(413, too_long)
                more = message.get("more_body", False)
    except TimeoutError as error:
        raise RefusedError(408, too_slow) from error
    return bytes(body)


def checked(body: bytes) -> bytes:
    """A request as the agent takes it; one whose `input` is a text becomes a user's message.

    Raises:
        RefusedError: it is no JSON object, holds nothing to answer, or only names what it is about.
    """
    try:
        request = json.loads(body)
        json.dumps(request, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise RefusedError(400, "The request holds half a character, a lone surrogate.") from error
    except RecursionError as error:
        raise RefusedError(400, "The request is JSON within JSON, too deep to be read.") from error
    except ValueError as error:
        raise RefusedError(400, f"The request is no JSON: {error}.") from error
    if not isinstance(request, dict):
        raise RefusedError(400, 'The request is JSON, but no object. Send {"input": [...]}.')
    if request.get("input") == []:
        raise RefusedError(400, "`input` is empty: there is nothing to answer.")
    for name in REFERENCES:
        if request.get(name):
            raise RefusedError(
                400, f"`{name}` names turns that are not kept here. Send their items in `input`."
            )
    if isinstance(request.get("input"), str):
        request["input"] = [{"role": "user", "content": request["input"]}]
        return json.dumps(request).encode()
    return body
