"""Mistakes in streams."""

from tests.contract.breakages.changes import (
    AGENT_CLASS,
    WITHOUT_STREAM,
    at_import,
    breaks,
    each_event,
    each_item,
    in_agent,
    method,
    new_answer,
    subclass,
)

STREAMS = {
    "no predict_stream": breaks(
        "streams",
        "Silent does not implement predict_stream",
        WITHOUT_STREAM,
    ),
    "addresses that are removed from the item only": breaks(
        "stream-text",
        "With personal data in the text of the LLM: The deltas are",
        each_item("""
for part in item.get("content", []):
    part["text"] = re.sub(r"[\\w.+-]+@[\\w.-]+", "[removed]", part.get("text", ""))
"""),
        at_import("import re"),
    ),
    "a list of events instead of a generator": breaks(
        "accepted",
        "generator",
        method("""
def predict_stream(self, request):
    return list(super().predict_stream(request))
"""),
    ),
    "an asynchronous predict_stream": breaks(
        "streams",
        "async_generator",
        subclass("""
class Asynchronous(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    async def predict_stream(self, request):
        async for event in self.predict_stream_async(request):
            yield event
"""),
    ),
    "a stream of strings": breaks(
        "stream-events",
        "ResponsesAgentStreamEvent",
        subclass("""
from weather_agent.runtime.items import text_delta


class Strings(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        for event in AGENT.predict_stream(request):
            yield text_delta(event)
"""),
    ),
    "the complete response as the only event": breaks(
        "stream-events",
        "input_type=ResponsesAgentResponse",
        subclass("""
class Complete(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        yield AGENT.predict(request)
"""),
    ),
    "events collected until the LLM has finished": breaks(
        "streams",
        "The first text delta comes after the whole answer",
        in_agent("(self.run_tools(completion))", "(iterated(self.run_tools(completion)))"),
        in_agent(
            AGENT_CLASS,
            f"""async def iterated(events):
    for event in [event async for event in events]:
        yield event


{AGENT_CLASS}""",
        ),
    ),
    "later rounds collected until the LLM has finished": breaks(
        "streams",
        "The first text delta comes after the whole answer of the LLM to the input example",
        in_agent(
            "(self.run_tools(completion))",
            "(iterated(self.run_tools(completion), rounds > 1))",
        ),
        in_agent(
            AGENT_CLASS,
            f"""async def iterated(events, is_later):
    if is_later:
        for event in [event async for event in events]:
            yield event
        return
    async for event in events:
        yield event


{AGENT_CLASS}""",
        ),
    ),
    # Events
    "a misspelled event type": breaks(
        "stream-events",
        "no event type response.output_text.detla",
        each_event("""
yield event
yield ResponsesAgentStreamEvent(type="response.output_text.detla")
"""),
    ),
    "two done events for one item": breaks(
        "stream-events",
        "two done events",
        each_event("""
yield event
if done_item(event):
    yield event
"""),
    ),
    "a stream without text deltas": breaks(
        "stream-events",
        "No text delta",
        each_event("""
if done_item(event):
    yield event
"""),
    ),
    "a stream without done events": breaks(
        "stream-events",
        "No done event",
        subclass("""
class Endless(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        for event in AGENT.predict_stream(request):
            if not done_item(event):
                yield event
"""),
    ),
    "a message without a done event": breaks(
        "stream-text",
        "No message has the id of the deltas",
        subclass("""
class Unfinished(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        for event in AGENT.predict_stream(request):
            item = done_item(event)
            if not item or item["type"] != "message":
                yield event
"""),
    ),
    "a datetime in an event": breaks(
        "stream-events",
        "is a datetime",
        each_event(
            """
event.custom_outputs = {"at": datetime.now()}
yield event
""",
            "from datetime import datetime",
        ),
    ),
    "an error event instead of an exception": breaks(
        "llm-failures",
        "still answered",
        method("""
def predict_stream(self, request):
    try:
        yield from super().predict_stream(request)
    except Exception as error:
        yield ResponsesAgentStreamEvent(type="error", message=str(error), code="failed")
"""),
    ),
    # Text
    "a done event with another id than its deltas": breaks(
        "stream-text", "No message has the id of the deltas", each_item('item["id"] += "0"')
    ),
    "a done event with another text than its deltas": breaks(
        "stream-text",
        "The deltas are .*, the item is",
        each_item("""
if item["type"] == "message":
    item["content"][0]["text"] += "!"
"""),
    ),
    "deltas that repeat the text so far": breaks(
        "stream-text",
        "current_time current_time says",
        new_answer(
            """
text = ""
async for event in super().answer(request, llm):
    if delta := text_delta(event):
        text += delta
        event.delta = text
    yield event
""",
            "from weather_agent.runtime.items import text_delta",
        ),
    ),
    "the complete text as a last delta": breaks(
        "stream-text",
        "The deltas are .*, the item is",
        each_event(
            """
if (item := done_item(event)) and item["type"] == "message":
    yield delta_event(item["content"][0]["text"], item["id"])
yield event
""",
            "from weather_agent.runtime.items import delta_event",
        ),
    ),
    "deltas after the done event": breaks(
        "stream-text",
        "comes after its done event",
        each_event(
            """
yield event
if (item := done_item(event)) and item["type"] == "message":
    yield delta_event(" ", item["id"])
    item["content"][0]["text"] += " "
""",
            "from weather_agent.runtime.items import delta_event",
        ),
    ),
    # Streams and predict
    "a predict that adds to the text of the stream": breaks(
        "stream-equals-predict",
        "returns .*, but predict",
        method("""
def predict(self, request):
    response = super().predict(request)
    response.output[-1].content[0]["text"] += "!"
    return response
"""),
    ),
    "a stream without tool calls": breaks(
        "stream-equals-predict",
        "returns .*, but predict",
        subclass("""
class Plain(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        for event in AGENT.predict_stream(request):
            item = done_item(event)
            if not item or item["type"] == "message":
                yield event
"""),
    ),
    "another answer for the server": breaks(
        "stream-equals-predict",
        "Ask me later.*but predict",
        subclass("""
from weather_agent.runtime.base import iterate
from weather_agent.runtime.items import done_event


class Divided(Agent):
    def predict_stream(self, request):
        yield from iterate(super().predict_stream_async(request))

    async def predict_stream_async(self, request):
        yield done_event(self.create_text_output_item("Ask me later.", "msg_1"))
"""),
    ),
    "reasoning that only the stream has": breaks(
        "stream-equals-predict",
        "'reasoning'.*but predict",
        subclass("""
from weather_agent.runtime.items import done_event, unique_id


class Thinking(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        yield done_event(self.create_reasoning_item(unique_id("rs"), "Let me see."))
        yield from AGENT.predict_stream(request)
"""),
    ),
    # Broken streams of the LLM
    "a second call after a broken stream of the LLM": breaks(
        "stream-text",
        "After a stream of the LLM broke: No message has the id of the deltas msg_",
        new_answer("""
for attempt in (1, 2):
    try:
        async for event in super().answer(request, llm):
            yield event
        return
    except Exception:
        if attempt == 2:
            raise
"""),
    ),
    "a second call after a broken stream with outputs of tools": breaks(
        "stream-text",
        "After a stream of the LLM broke: No message has the id of the deltas msg_",
        in_agent("to_events(llm.stream(messages, **options))", "self.ask(messages, llm, options)"),
        method("""
async def ask(self, messages, llm, options):
    for is_last in (messages[-1]["role"] != "tool", True):
        try:
            async for event in to_events(llm.stream(messages, **options)):
                yield event
            return
        except LLMError:
            if is_last:
                raise
"""),
    ),
    "a broken stream of the LLM that starts again in the same message": breaks(
        "stream-text",
        "After a stream of the LLM broke, the answer starts again: ",
        in_agent(
            "to_events(llm.stream(messages, **options))",
            "to_events(self.ask(messages, llm, options))",
        ),
        method("""
async def ask(self, messages, llm, options):
    try:
        async for chunk in llm.stream(messages, **options):
            yield chunk
    except LLMError:
        async for chunk in llm.stream(messages, **options):
            yield chunk
"""),
    ),
    "a complete answer after a broken stream of the LLM": breaks(
        "stream-text",
        "After a stream of the LLM broke: No message has the id of the deltas msg_",
        subclass("""
class Retrying(Agent):
    def predict_stream(self, request):
        try:
            yield from super().predict_stream(request)
        except Exception:
            for item in self.predict(request).output:
                yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)
"""),
    ),
    # Abandoned streams
    "a stream that cannot be closed": breaks(
        "abandoned-streams",
        "generator ignored GeneratorExit",
        method("""
def predict_stream(self, request):
    for event in super().predict_stream(request):
        try:
            yield event
        except BaseException:
            continue
"""),
    ),
    "an event after the stream was closed": breaks(
        "abandoned-streams",
        "generator ignored GeneratorExit",
        method("""
def predict_stream(self, request):
    try:
        yield from super().predict_stream(request)
    finally:
        yield ResponsesAgentStreamEvent(**self.create_text_delta("", "msg_bye"))
"""),
    ),
    "a lock that an abandoned stream never releases": breaks(
        "abandoned-streams",
        "After a client closed a stream, the next one waited",
        at_import("import threading"),
        method("""
lock = threading.Lock()

def predict_stream(self, request):
    self.lock.acquire()
    yield from super().predict_stream(request)
    self.lock.release()
"""),
    ),
}
