"""Reads a chat completion piece by piece."""

from collections.abc import AsyncGenerator, AsyncIterable, Generator
from contextlib import aclosing, contextmanager, nullcontext
from contextvars import ContextVar

from .completion import Completion, Piece
from .fields import Fields

_joins_pieces: ContextVar[bool] = ContextVar("joins_pieces", default=False)


@contextmanager
def join_pieces() -> Generator[None]:
    """Join the pieces of each text in this context, because the caller waits for the whole answer.

    One event per text takes less CPU time than one per piece.
    """
    token = _joins_pieces.set(True)
    try:
        yield
    finally:
        _joins_pieces.reset(token)


async def read_pieces(
    chunks: AsyncIterable[Fields], completion: Completion
) -> AsyncGenerator[Piece]:
    """Add chunks to a completion, yield the pieces in them, and finish the completion.

    Raises:
        LLMError: As in `Completion.add` and `Completion.finish`.
    """
    waiting: list[Piece] = []
    is_generator = isinstance(chunks, AsyncGenerator)
    async with aclosing(chunks) if is_generator else nullcontext():
        async for chunk in chunks:
            for piece in completion.add(chunk):
                if not _joins_pieces.get():
                    yield piece
                    continue
                if waiting and waiting[-1].kind != piece.kind:
                    yield _joined_piece(waiting)
                waiting.append(piece)
    if waiting:
        yield _joined_piece(waiting)
    completion.finish()


def _joined_piece(pieces: list[Piece]) -> Piece:
    """Return pieces of the same kind as one, and remove them from the list."""
    joined = Piece(pieces[0].kind, "".join(piece.text for piece in pieces))
    pieces.clear()
    return joined
