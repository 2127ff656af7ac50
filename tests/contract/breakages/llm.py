"""Breakages that show when the LLM behind the agent fails, hangs or never stops."""

from tests.contract.breakages.changes import Patch, another_agent, at_import, breaks, in_agent

EVENTS = "        events = list(self.predict_stream(request))\n"

LLM = {
    "an apology for an answer": breaks(
        "llm-failures",
        "answered all the same: .*Sorry",
        in_agent(
            EVENTS,
            """        try:
            events = list(self.predict_stream(request))
        except Exception as error:
            sorry = self.create_text_output_item(f"Sorry: {error}", "msg_1")
            return ResponsesAgentResponse(output=[sorry])
""",
        ),
    ),
    "an empty output for an error": breaks(
        "llm-failures",
        "answered all the same",
        in_agent(
            EVENTS,
            """        try:
            events = list(self.predict_stream(request))
        except Exception:
            return ResponsesAgentResponse(output=[])
""",
        ),
    ),
    "the traceback for an answer": breaks(
        "llm-failures",
        "answered all the same: .*Traceback",
        in_agent(
            EVENTS,
            """        import traceback

        try:
            events = list(self.predict_stream(request))
        except Exception:
            text = traceback.format_exc()
            return ResponsesAgentResponse(output=[self.create_text_output_item(text, "msg_1")])
""",
        ),
    ),
    "a stream that ends quietly at an error": breaks(
        "llm-failures",
        "answered all the same",
        another_agent("""
class Quiet(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        try:
            yield from super().predict_stream(request)
        except Exception:
            mlflow.pyfunc._logger.exception("The stream ended.")


mlflow.models.set_model(Quiet(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    "an answer of nothing, taken for one": breaks(
        "llm-failures",
        "offline:/empty it answered all the same",
        Patch(
            "conversation.py",
            '    if not any(item["type"] in ("message", "function_call") for item in items):\n',
            "    if False:\n",
        ),
        in_agent("custom_outputs=events[-1].custom_outputs", "custom_outputs={}"),
    ),
    "an answer that breaks off, taken for a whole one": breaks(
        "llm-failures",
        "offline:/cut it answered all the same",
        Patch("conversation.py", "    if not any(choice", "    if False and not any(choice"),
    ),
    "an error that ends the process": breaks(
        "llm-failures",
        "it ended the process",
        in_agent(
            EVENTS,
            """        try:
            events = list(self.predict_stream(request))
        except Exception as error:
            raise SystemExit(1) from error
""",
        ),
    ),
    "an error that ends the process at once": breaks(
        "llm-failures",
        "The agent ended the process, with status 1",
        in_agent(
            EVENTS,
            """        try:
            events = list(self.predict_stream(request))
        except Exception:
            os._exit(1)
""",
        ),
    ),
    "no time-out": breaks(
        "time-out",
        "still waiting",
        Patch("llm.py", "timeout=timeout,\n        max", "timeout=3600,\n        max"),
    ),
    "only the last message told to the LLM": breaks(
        "whole-conversation",
        "was not told the system message",
        in_agent("*to_messages(request.input)]", "*to_messages(request.input[-1:])]"),
    ),
    "calls and outputs of before left out": breaks(
        "whole-conversation",
        "was not told the call of a tool, the output of a tool",
        in_agent(
            "*to_messages(request.input)]",
            '*to_messages([one for one in request.input if one.type == "message"])]',
        ),
    ),
    "a loop without a bound": breaks(
        "bounded-rounds",
        "and went on",
        in_agent(
            "        for rounds in range(1, self.config.max_rounds + 1):\n",
            "        for rounds in iter(int, 1):\n",
        ),
    ),
    "one answer at a time": breaks(
        "side-by-side",
        "While one request waited, a second was not",
        at_import("import threading\n"),
        in_agent(
            "    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:\n",
            """    lock = threading.Lock()

    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        with self.lock:
            return self.answer_alone(request)

    def answer_alone(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
""",
        ),
    ),
    "a pool of one thread for all answers": breaks(
        "side-by-side",
        "While one request waited, a second was not",
        in_agent(
            EVENTS,
            """        events = POOL.submit(lambda: list(self.predict_stream(request))).result()
""",
        ),
        at_import("""
from concurrent.futures import ThreadPoolExecutor

POOL = ThreadPoolExecutor(1)
"""),
    ),
}
