"""An LLM that needs no network: for the first minute, for tests, for continuous integration.

It sits where the network would begin, as a transport of the HTTP client, and speaks the
chat-completions protocol: the real `openai` client, its parsing and its errors run in every
test. No language model is inside. It calls a tool whose name shares a word with the request,
quotes what the tool returned, and says of itself that it is offline.

The name of the model chooses how it behaves:

- `offline:/demo` helps as well as it can;
- `offline:/tools` calls every tool it is offered, all in one turn, and then answers;
- `offline:/wrong-tools` does so with arguments no tool accepts, and calls one that nobody has;
- `offline:/endless-tools` never stops calling the tools that it is offered;
- `offline:/empty` ends its turn without a word, `offline:/cut` breaks off in the middle of one;
- `offline:/fail` answers every request with status 500, `offline:/hang` with silence.
"""

from .transport import OfflineTransport

__all__ = ["OfflineTransport"]
