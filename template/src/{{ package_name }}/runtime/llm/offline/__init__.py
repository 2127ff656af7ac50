"""An LLM without a network, for the first start, tests and CI.

It is a transport of the HTTP client that speaks the chat-completions protocol, so the real `openai`
client, its parsing and its errors run in every test. It contains no language model: if the request
contains a word of a tool's name, it calls the tool and quotes the result. It refuses tools, options
and messages that OpenAI, Anthropic or Gemini refuse. It never calls the tools that
AGENT_UNCALLED_TOOLS lists, separated by commas.

The name of the model selects its behavior:

- `offline:/demo` calls matching tools, or repeats the user's text;
- `offline:/tools` calls every tool at once, then answers;
- `offline:/wrong-tools` calls every tool with invalid arguments, and an unknown tool;
- `offline:/endless-tools` calls tools in every round;
- `offline:/empty` returns an empty answer, `offline:/cut` stops in the middle of one;
- `offline:/tools@gemini` sends the stream of another provider; see `dialects.py`;
- `offline:/fail` returns status 500, `offline:/hang` sends nothing, and `offline:/stall` nothing
  after the start of an answer.
"""

from .transport import OfflineTransport

__all__ = ["OfflineTransport"]
