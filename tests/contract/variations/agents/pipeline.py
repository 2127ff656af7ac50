"""A pipeline of generators around HTTP requests to the chat completions API, with guardrails."""

import json
import os
import re
import uuid

import httpx
import mlflow
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentResponse, ResponsesAgentStreamEvent

CARD_NUMBER = re.compile(r"\b\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}\b")
FORBIDDEN = re.compile(r"\b(bomb|poison)\b", re.IGNORECASE)
SYSTEM = {"role": "system", "content": "You are a polite assistant. Never give medical advice."}


class Pipeline(ResponsesAgent):
    """Checks the request, streams the completion, and masks the answer."""

    def predict(self, request):
        items = [e.item for e in self.predict_stream(request) if e.type.endswith("item.done")]
        return ResponsesAgentResponse(output=items)

    def predict_stream(self, request):
        messages = [SYSTEM, *map(to_message, request.input)]
        if FORBIDDEN.search(messages[-1]["content"]):
            yield from self.refuse()
            return
        item_id, parts = f"msg_{uuid.uuid4().hex}", []
        for text in mask(words(completion_lines(messages))):
            parts.append(text)
            yield ResponsesAgentStreamEvent(**self.create_text_delta(text, item_id))
        if not parts:
            raise RuntimeError("The LLM returned nothing.")
        item = self.create_text_output_item("".join(parts), item_id)
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)

    def refuse(self):
        item_id, text = f"msg_{uuid.uuid4().hex}", "I cannot help with that."
        yield ResponsesAgentStreamEvent(
            type="response.refusal.delta", item_id=item_id, delta=text, content_index=0
        )
        content = [{"type": "refusal", "refusal": text}]
        item = {"type": "message", "id": item_id, "role": "assistant", "content": content}
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)


def to_message(item):
    """Return a chat message; outputs of tools are texts of the user."""
    fields = item.model_dump(exclude_none=True)
    content = fields.get("content") or fields.get("output") or fields.get("arguments") or "…"
    if not isinstance(content, str):
        content = "\n".join(part.get("text") or json.dumps(part) for part in content)
    role = fields.get("role", "user")
    return {"role": "system" if role == "developer" else role, "content": content}


def completion_lines(messages):
    """Yield the lines of a streamed completion."""
    url = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1").rstrip("/")
    headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    body = {"model": "gpt-5-mini", "messages": messages, "stream": True}
    with (
        httpx.Client(timeout=httpx.Timeout(30, connect=5)) as client,
        client.stream("POST", f"{url}/chat/completions", json=body, headers=headers) as response,
    ):
        if response.is_error:
            raise RuntimeError(f"The LLM answered {response.status_code}.")
        yield from response.iter_lines()


def words(lines):
    """Yield the words of a completion."""
    text, is_complete = "", False
    for line in lines:
        is_complete = is_complete or line == "data: [DONE]"
        if not line.startswith("data: {"):
            continue
        for choice in json.loads(line.removeprefix("data: "))["choices"]:
            text += choice["delta"].get("content") or ""
            *complete, text = re.split(r"(?<=\s)", text)
            yield from (word for word in complete if word)
    if not is_complete:
        raise RuntimeError("The completion ended early.")
    if text:
        yield text


def mask(texts):
    """Hide numbers of credit cards, which may be spread over four words."""
    window = []
    for text in texts:
        window.append(text)
        window = [CARD_NUMBER.sub("****", "".join(window))] if len(window) > 4 else window
        if len(window) == 1:
            head, _, tail = window[0].rpartition(" ")
            if head:
                yield f"{head} "
            window = [tail] if tail else []
    if window:
        yield CARD_NUMBER.sub("****", "".join(window))


mlflow.models.set_model(Pipeline())
