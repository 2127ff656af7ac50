"""Agents with an LLM client of their own, which do not call `llm`."""

from collections.abc import Iterable
from dataclasses import replace

from tests.contract.breakages.changes import Patch, at_import, in_agent, instead_of_set_model

# Asks for whole completions, and writes the loop and the items with MLflow's own helpers.
_SYNCHRONOUS = '''
from uuid import uuid4

import openai

LOOK_UP = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look up a word.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
    },
}


class Own(mlflow.pyfunc.ResponsesAgent):
    """Calls OpenAI."""

    def predict(self, request):
        events = self.predict_stream(request)
        return {"output": [item for event in events if (item := done_item(event))]}

    def predict_stream(self, request):
        system = {"role": "system", "content": AGENT.instructions}
        messages = [system, *to_messages(request.input)]
        for _ in range(5):
            message = self.complete(messages)
            messages.append(message.model_dump(exclude_none=True))
            if text := message.content:
                item_id = str(uuid4())
                yield ResponsesAgentStreamEvent(**self.create_text_delta(text, item_id))
                yield self.done(self.create_text_output_item(text, item_id))
            for call in message.tool_calls or []:
                name, arguments = call.function.name, call.function.arguments
                item = self.create_function_call_item(str(uuid4()), call.id, name, arguments)
                yield self.done(item)
                output = "It is not in the dictionary."
                yield function_call_output(call.id, output)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": output})
            if not message.tool_calls:
                return
        raise RuntimeError("Too many rounds.")

    def complete(self, messages):
        """Return the message of the LLM."""
        client = openai.OpenAI(timeout=30)
        completion = client.chat.completions.create(
            model="gpt-5-mini", messages=messages, tools=[LOOK_UP]
        )
        return completion.choices[0].message

    def done(self, item):
        """Return the event for a finished item."""
        return ResponsesAgentStreamEvent(type="response.output_item.done", item=item)


mlflow.models.set_model(Own())
'''

# Streams from the Responses API, and continues with the id of the previous response.
_RESPONSES = '''
import openai

LOOK_UP = {
    "type": "function",
    "name": "look_up",
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
}


class Own(mlflow.pyfunc.ResponsesAgent):
    """Calls OpenAI."""

    def __init__(self):
        self.model = "gpt-5-mini"

    def predict(self, request):
        events = self.predict_stream(request)
        return {"output": [item for event in events if (item := done_item(event))]}

    def predict_stream(self, request):
        client = openai.OpenAI()
        items = [item.model_dump(exclude_none=True) for item in request.input]
        previous = None
        for _ in range(5):
            stream = client.responses.create(
                model=self.model,
                instructions=AGENT.instructions,
                input=items,
                tools=[LOOK_UP],
                previous_response_id=previous,
                stream=True,
            )
            items, calls = [], []
            for event in stream:
                if event.type in ("response.output_text.delta", "response.output_item.done"):
                    yield ResponsesAgentStreamEvent(**event.model_dump(exclude_none=True))
                if event.type == "response.completed":
                    previous = event.response.id
                    calls = [one for one in event.response.output if one.type == "function_call"]
            for call in calls:
                output = function_call_output(call.call_id, "It is not in the dictionary.")
                items.append(done_item(output))
                yield output
            if not items:
                return
        raise RuntimeError("Too many rounds.")


mlflow.models.set_model(Own())
'''

# Replaces only the LLM of the agent.
_ASYNCHRONOUS = '''
import openai


async def stream_openai(messages: list[Any], options: dict[str, Any]) -> AsyncIterator[Any]:
    """Yield the chunks of a completion."""
    async with openai.AsyncOpenAI() as client:
        stream = await client.chat.completions.create(
            model="gpt-5-mini", messages=messages, stream=True, **options
        )
        async for chunk in stream:
            yield chunk.model_dump(exclude_none=True)
'''

SYNCHRONOUS = (instead_of_set_model(_SYNCHRONOUS),)
RESPONSES = (instead_of_set_model(_RESPONSES),)
ASYNCHRONOUS = (
    at_import(_ASYNCHRONOUS),
    in_agent("llm.stream(messages, **options)", "stream_openai(messages, options)"),
)


def has_own_client(patches: Iterable[Patch]) -> bool:
    """Return whether patches add one of these agents."""
    return any('"gpt-5-mini"' in patch.new for patch in patches)


def changed(patches: tuple[Patch, ...], old: str, new: str) -> tuple[Patch, ...]:
    """Return the patches with a mistake in the code that they add."""
    assert sum(patch.new.count(old) for patch in patches) == 1, f"{old!r} does not occur once"
    return tuple(replace(patch, new=patch.new.replace(old, new)) for patch in patches)
