"""Breakages of streams."""

from tests.contract.breakages.changes import (
    Patch,
    another_agent,
    at_import,
    breaks,
    in_agent,
    with_all_items,
    with_each_event,
    with_each_item,
)

STREAMS = {
    "no stream": breaks(
        "streams",
        "Silent does not implement predict_stream",
        another_agent("""
class Silent(ResponsesAgent):
    def predict(self, request):
        return AGENT.predict(request)


mlflow.models.set_model(Silent())
"""),
    ),
    "a list of events instead of a generator": breaks(
        "accepted",
        "generator",
        another_agent("""
class Listing(Agent):
    def predict_stream(self, request):
        return list(super().predict_stream(request))


mlflow.models.set_model(Listing(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    "an asynchronous generator": breaks(
        "streams",
        "async_generator",
        another_agent("""
class Asynchronous(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    async def predict_stream(self, request):
        for event in AGENT.predict_stream(request):
            yield event


mlflow.models.set_model(Asynchronous(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    "a stream of plain texts": breaks(
        "stream-events",
        "ResponsesAgentStreamEvent",
        another_agent("""
class Texts(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        for event in AGENT.predict_stream(request):
            yield text_delta(event)


mlflow.models.set_model(Texts(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
        in_agent("    done_item,\n", "    done_item,\n    text_delta,\n"),
    ),
    "the whole answer as an event": breaks(
        "stream-events",
        "input_type=ResponsesAgentResponse",
        another_agent("""
class Whole(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        yield AGENT.predict(request)


mlflow.models.set_model(Whole(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    # Events
    "a slip in the type of an event": breaks(
        "stream-events",
        "response.output_text.detla",
        with_each_event("""
        yield event
        yield ResponsesAgentStreamEvent(type="response.output_text.detla")
"""),
    ),
    "an item done twice": breaks(
        "stream-events",
        "done twice",
        with_each_event("""
        yield event
        if done_item(event):
            yield event
"""),
    ),
    "no text deltas": breaks(
        "stream-events",
        "No text delta",
        with_each_event("""
        if done_item(event):
            yield event
"""),
    ),
    "no done events": breaks(
        "stream-events",
        "No done event",
        another_agent("""
class Endless(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        for event in AGENT.predict_stream(request):
            if not done_item(event):
                yield event


mlflow.models.set_model(Endless(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    "the done event of the message left out": breaks(
        "stream-text",
        "ids of no message",
        another_agent("""
class Unfinished(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        for event in AGENT.predict_stream(request):
            item = done_item(event)
            if not item or item["type"] != "message":
                yield event


mlflow.models.set_model(Unfinished(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    "a datetime in an event": breaks(
        "stream-events",
        "is a datetime",
        with_each_event("""
        from datetime import datetime

        event.custom_outputs = {"at": datetime.now()}
        yield event
"""),
        in_agent(", custom_outputs=events[-1].custom_outputs", ""),
        in_agent(
            '                    event.custom_outputs = {"llm": llm.uri, "rounds": rounds}\n', ""
        ),
    ),
    "an error for an event, and then the end": breaks(
        "llm-failures",
        "answered all the same",
        another_agent("""
class Reporting(Agent):
    def predict_stream(self, request):
        try:
            yield from super().predict_stream(request)
        except Exception as error:
            yield ResponsesAgentStreamEvent(type="error", message=str(error), code="failed")


mlflow.models.set_model(Reporting(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    # Texts
    "another id in the done event than in the deltas": breaks(
        "stream-text",
        "ids of no message",
        with_each_item('    item["id"] = unique_id("msg")\n'),
    ),
    "another text in the done event than in the deltas": breaks(
        "stream-text",
        "but done",
        with_each_item("""
    if item["type"] == "message":
        item["content"][0]["text"] += "!"
"""),
    ),
    "each delta holds the whole text so far": breaks(
        "stream-text",
        "current_time current_time says",
        with_each_event("""
        if text := text_delta(event):
            said.append(text)
            event.delta = "".join(said)
        yield event
"""),
        Patch(
            "conversation.py",
            "    whole = []\n",
            "    whole = []\n    said: list[str] = []\n",
        ),
    ),
    "the whole text as one more delta at the end": breaks(
        "stream-text",
        "but done",
        with_each_event("""
        if (item := done_item(event)) and item["type"] == "message":
            text = item["content"][0]["text"]
            yield ResponsesAgentStreamEvent(type=_TEXT_DELTA, delta=text, item_id=item["id"])
        yield event
"""),
    ),
    "deltas after the item is done": breaks(
        "stream-text",
        "comes after the item was done",
        with_each_event("""
        if (item := done_item(event)) and item["type"] == "message":
            yield event
            yield ResponsesAgentStreamEvent(type=_TEXT_DELTA, delta=" ", item_id=item["id"])
            item["content"][0]["text"] += " "
        else:
            yield event
"""),
    ),
    # Beside predict
    "predict that says more than the stream": breaks(
        "stream-equals-predict",
        "but predicted",
        with_all_items('        items[-1]["content"][0]["text"] += "!"\n'),
    ),
    "a stream that leaves the tools out": breaks(
        "stream-equals-predict",
        "but predicted",
        another_agent("""
class Plain(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        for event in AGENT.predict_stream(request):
            item = done_item(event)
            if not item or item["type"] == "message":
                yield event


mlflow.models.set_model(Plain(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    "another answer for the server": breaks(
        "stream-equals-predict",
        "For the server, it gave .*Ask me later.*but predicted",
        another_agent("""
class Divided(Agent):
    def predict_stream(self, request):
        yield from iterate(Agent.predict_stream_async(self, request))

    async def predict_stream_async(self, request):
        item = self.create_text_output_item("Ask me later.", id="msg_1")
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)


mlflow.models.set_model(Divided(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    "thoughts that only the stream has": breaks(
        "stream-equals-predict",
        "'reasoning'.*but predicted",
        another_agent("""
class Thinking(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        thought = self.create_reasoning_item(f"rs_{time.time_ns()}", "Let me see.")
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=thought)
        yield from AGENT.predict_stream(request)


mlflow.models.set_model(Thinking(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    # A reader that leaves
    "a stream that goes on after its reader has left": breaks(
        "abandoned-streams",
        "generator ignored GeneratorExit|would not end",
        another_agent("""
class Stubborn(Agent):
    def predict_stream(self, request):
        for event in super().predict_stream(request):
            try:
                yield event
            except BaseException:
                continue


mlflow.models.set_model(Stubborn(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    "a goodbye for a reader that has left": breaks(
        "abandoned-streams",
        "generator ignored GeneratorExit",
        another_agent("""
class Polite(Agent):
    def predict_stream(self, request):
        try:
            yield from super().predict_stream(request)
        finally:
            yield ResponsesAgentStreamEvent(**self.create_text_delta("", "msg_bye"))


mlflow.models.set_model(Polite(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    "a lock that a reader takes along when it leaves": breaks(
        "abandoned-streams",
        "After a reader had left",
        at_import("import threading\n"),
        another_agent("""
class Locked(Agent):
    lock = threading.Lock()

    def predict_stream(self, request):
        self.lock.acquire()
        yield from super().predict_stream(request)
        self.lock.release()


mlflow.models.set_model(Locked(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
}
