"""Runs the situations of a client, and prints the results as JSON."""

import asyncio
import inspect
import json
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

warnings.simplefilter("ignore")

URL = sys.argv[1]
QUESTION = "What time is it in Tokyo, and how many days are between 31 January and 1 March?"
FOLLOW_UP = "What did you read?"
FAILURES = {
    "llm_401": "Fail with 401",
    "llm_429": "Fail with 429",
    "llm_500": "Fail with 500",
    "cut_off": "Fail later",
}


def run(situations: dict[str, Callable[[], Any]], ask: Callable[[bool, str], Any]) -> None:
    """Run functions, which may be asynchronous, and print what they return or raise.

    Args:
        situations: The functions, by name.
        ask: Asks a question, with or without a stream.
    """
    for name, question in FAILURES.items():
        situations[name] = partial(ask, False, question)
        situations[f"{name}_streamed"] = partial(ask, True, question)
    print(json.dumps(asyncio.run(results_of(situations)), indent=1, default=str))


async def results_of(situations: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Return the result of each function, by name."""
    results = {}
    for name, situation in situations.items():
        try:
            result = situation()
            results[name] = await result if inspect.isawaitable(result) else result
        except Exception as error:
            results[name] = described(error)
    return results


def described(error: Exception) -> dict[str, Any]:
    """Return an exception as JSON."""
    cause: Any = error if hasattr(error, "response") else error.__cause__
    headers = getattr(error, "litellm_response_headers", None)
    headers = headers or getattr(getattr(cause, "response", None), "headers", {})
    return {
        "error": type(error).__name__,
        "message": str(error),
        "status": getattr(error, "status_code", None),
        "retry_after": headers and headers.get("retry-after"),
    }
