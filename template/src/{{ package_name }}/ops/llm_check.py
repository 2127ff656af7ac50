"""Checks that an LLM responds."""

from contextlib import aclosing

from anyio.from_thread import start_blocking_portal

from ..runtime.llm import LLM, connect


def require_response(uri: str, timeout: float) -> LLM:
    """Send a short request to the LLM with this URI, and return the LLM.

    The request runs in its own event loop, which closes the connection when it ends.

    Raises:
        LLMError: The LLM is misconfigured, or does not respond.
    """
    llm = connect(uri, timeout=timeout, max_retries=0)
    with start_blocking_portal() as portal:
        portal.call(_receive_chunk, llm)
    return llm


async def _receive_chunk(llm: LLM) -> None:
    question = {"role": "user", "content": "Reply with the word OK."}
    async with aclosing(llm.stream([question])) as chunks:
        await anext(chunks, None)
