"""JSON mode with an asynchronous client in a thread of its own event loop."""

import asyncio
import json
import uuid

import mlflow
import openai
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentStreamEvent


async def ask(messages):
    """Return the JSON object that the LLM writes."""
    async with openai.AsyncOpenAI() as client:
        completion = await client.chat.completions.create(
            model="gpt-5-mini",
            messages=messages,
            response_format={"type": "json_object"},
        )
    return json.loads(completion.choices[0].message.content)


def text_of(item):
    """Return an item as a line of the transcript."""
    content = item.get("content")
    if isinstance(content, list):
        content = " ".join(part.get("text") or json.dumps(part) for part in content)
    return f"{item.get('role', 'tool')}: {content or json.dumps(item)}"


class JsonAgent(ResponsesAgent):
    def predict(self, request):
        items = [e.item for e in self.predict_stream(request) if e.type.endswith("item.done")]
        return {"output": items}

    def predict_stream(self, request):
        texts = [text_of(item.model_dump(exclude_none=True)) for item in request.input]
        messages = [
            {"role": "system", "content": "Answer with a JSON object with the field `answer`."},
            {"role": "user", "content": "\n".join(texts)},
        ]
        loop = asyncio.new_event_loop()
        try:
            answer = loop.run_until_complete(ask(messages))
        finally:
            loop.close()
        text = answer.get("answer") or json.dumps(answer)
        item_id = str(uuid.uuid4())
        yield ResponsesAgentStreamEvent(**self.create_text_delta(text, item_id))
        yield ResponsesAgentStreamEvent(
            type="response.output_item.done", item=self.create_text_output_item(text, item_id)
        )


mlflow.models.set_model(JsonAgent())
