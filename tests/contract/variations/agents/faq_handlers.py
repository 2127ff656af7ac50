"""Functions for MLflow's agent server: answers from a list of questions, without an LLM."""

from collections.abc import Generator, Iterator

from mlflow.genai.agent_server import invoke, stream
from mlflow.types.responses import (
    ResponsesAgentRequest,
    ResponsesAgentResponse,
    ResponsesAgentStreamEvent,
)
from weather_agent.runtime.items import delta_event, done_event, done_item, unique_id
from weather_agent.runtime.messages import to_messages

FAQ = {
    "open": "We are open from 9 to 17.",
    "ticket": "Tickets cost 12 euros.",
}


@stream()
def stream_answer(
    request: ResponsesAgentRequest,
) -> Generator[ResponsesAgentStreamEvent, None, None]:
    """Answer the last question, sentence by sentence."""
    item_id, texts = unique_id("msg"), []
    for sentence in sentences(last_question(request)):
        texts.append(sentence)
        yield delta_event(sentence, item_id)
    item = {"type": "message", "id": item_id, "role": "assistant", "status": "completed"}
    content = [{"type": "output_text", "text": "".join(texts), "annotations": []}]
    yield done_event(item | {"content": content})


@invoke()
def answer(request: ResponsesAgentRequest) -> ResponsesAgentResponse:
    """Answer the last question."""
    items = [item for event in stream_answer(request) if (item := done_item(event))]
    return ResponsesAgentResponse(output=items, custom_outputs={"source": "faq"})


def last_question(request: ResponsesAgentRequest) -> str:
    """Return the last text of the user."""
    messages = [one for one in to_messages(request.input) if one["role"] == "user"]
    content = messages[-1]["content"] if messages else ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content)


def sentences(question: str) -> Iterator[str]:
    """Yield the sentences of the answer."""
    found = [text for word, text in FAQ.items() if word in question.casefold()]
    yield f"Question: {question[:200]!r}. "
    yield from found or ["Please call us."]
