"""Breakages that show behind a server, to those who call it."""

from tests.breakages.changes import (
    Patch,
    another_agent,
    at_import,
    breaks,
    in_agent,
    while_answering,
)

EVENTS = "        events = list(self.predict_stream(request))\n"

SERVER = {
    "an answer that JSON cannot hold": breaks(
        "served-answers",
        "answered 500",
        in_agent(
            "custom_outputs=events[-1].custom_outputs)", 'custom_outputs={"score": float("nan")})'
        ),
    ),
    "an answer that JSON cannot hold, in a stream": breaks(
        "served-answers",
        "RefusedError|answered 500|stream",
        in_agent('{"llm": llm.uri, "rounds": rounds}', '{"used": {llm.uri}}'),
        in_agent("custom_outputs=events[-1].custom_outputs)", "custom_outputs={})"),
    ),
    "no stream behind the server": breaks(
        "served-answers",
        "RefusedError: .*[Ss]treaming implementation",
        another_agent("""
class Silent(ResponsesAgent):
    def predict(self, request):
        return AGENT.predict(request)


mlflow.models.set_model(Silent())
"""),
    ),
    "deltas that the openai client does not find": breaks(
        "openai-client",
        "no text in the stream",
        another_agent("""
class Whole(Agent):
    def predict_stream(self, request):
        for item in AGENT.predict(request).output:
            yield ResponsesAgentStreamEvent(
                type="response.output_item.done", item=item.model_dump()
            )


mlflow.models.set_model(Whole(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    "a traceback in an error": breaks(
        "server-errors",
        "Traceback",
        in_agent(
            EVENTS,
            """        import traceback

        try:
            events = list(self.predict_stream(request))
        except Exception:
            raise RuntimeError(traceback.format_exc()) from None
""",
        ),
    ),
    "a traceback in the error of a stream": breaks(
        "server-errors",
        "Traceback",
        another_agent("""
class Talkative(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        import traceback

        try:
            yield from super().predict_stream(request)
        except Exception:
            raise RuntimeError(traceback.format_exc()) from None


mlflow.models.set_model(Talkative(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    "a token in an error": breaks(
        "server-errors",
        "token of Databricks",
        Patch(
            "llm.py",
            '            f"{uri} answered with status',
            "            f\"Bearer dapi{'0123456789abcdef' * 2}: {uri} answered with status",
        ),
    ),
    "custom_inputs that end in an error of the server": breaks(
        "every-request",
        "With custom_inputs: AttributeError",
        while_answering("        _ = request.custom_inputs and request.custom_inputs.tenant\n"),
    ),
    "work for a client that has left, which stops the next": breaks(
        "leaving-clients",
        "no answer|RefusedError|busy",
        another_agent("""
import threading


class Counting(Agent):
    seats = threading.Semaphore(2)

    def predict_stream(self, request):
        if not self.seats.acquire(timeout=1):
            raise TimeoutError("The agent is busy.")
        yield from super().predict_stream(request)
        self.seats.release()


mlflow.models.set_model(Counting(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    "requests that nobody validates": breaks(
        "bad-requests",
        "answered 500",
        at_import("""
from mlflow.genai.agent_server.validator import ResponsesAgentValidator

ResponsesAgentValidator.validate_and_convert_request = (
    lambda _, data: ResponsesAgentRequest.model_construct(**data)
)
"""),
    ),
}
