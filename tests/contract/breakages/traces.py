"""Mistakes in traces."""

from tests.contract.breakages.changes import (
    RUN_IN_THREAD,
    Patch,
    at_import,
    breaks,
    in_answer,
    method,
)

TRACES = {
    "a decorated predict": breaks(
        "one-trace",
        "'answer'",
        method("""
@mlflow.trace(name="answer")
def predict(self, request):
    return super().predict(request)
"""),
    ),
    "a decorated predict_stream without a reducer": breaks(
        "one-trace",
        "UNKNOWN",
        method("""
@mlflow.trace
def predict_stream(self, request):
    yield from super().predict_stream(request)
"""),
    ),
    "two traces for one request": breaks(
        "one-trace",
        "created [02] traces",
        in_answer("""
from threading import Thread

thread = Thread(target=mlflow.trace(str, name="looking up"), args=("",))
thread.start()
thread.join()
"""),
    ),
    "tracing disabled by a request": breaks(
        "one-trace", "created 0 traces", in_answer("mlflow.tracing.disable()")
    ),
    "tools that run in threads without the context": breaks(
        "one-trace",
        "created [0-9]+ traces",
        Patch(
            "runtime/toolbox.py",
            RUN_IN_THREAD,
            "await asyncio.get_running_loop().run_in_executor(\n"
            '                None, adapter.validate_json, arguments or "{}"\n            )',
        ),
        Patch("runtime/toolbox.py", "import inspect\n", "import asyncio\nimport inspect\n"),
    ),
    "a trace without the request": breaks(
        "one-trace",
        "lacks the user message",
        in_answer("""
if span := mlflow.get_current_active_span():
    span.set_inputs(None)
"""),
    ),
    "a root span with another output": breaks(
        "one-trace",
        "output of the root span has no items",
        method("""
def predict(self, request):
    response = super().predict(request)
    if span := mlflow.get_current_active_span():
        span.end(outputs="done")
    return response
"""),
    ),
    # Credentials
    "a token in a tag of the trace": breaks(
        "closed-traces",
        "The info of the trace contains the value of the variable SEARCH_TOKEN",
        at_import("import os"),
        in_answer(
            'mlflow.update_current_trace(tags={"login": f"{os.environ.get(\'SEARCH_TOKEN\')}"})'
        ),
    ),
    "the headers of the request in a tag of the trace": breaks(
        "closed-traces",
        "The info of the trace contains the header 'authorization' of the request",
        at_import("from mlflow.genai.agent_server import get_request_headers"),
        in_answer('mlflow.update_current_trace(tags={"headers": str(get_request_headers())})'),
    ),
    "the environment in the metadata of the trace": breaks(
        "closed-traces",
        "The info of the trace contains the variables ",
        at_import("import os"),
        in_answer("""
if mlflow.get_current_active_span():
    mlflow.update_current_trace(metadata={"environment": str(dict(os.environ))})
"""),
    ),
    "the settings in a tag of the trace": breaks(
        "closed-traces",
        "The info of the trace contains the settings ",
        in_answer('mlflow.update_current_trace(tags={"config": self.config.model_dump_json()})'),
    ),
    "the environment in the span of a failed request": breaks(
        "closed-traces",
        "The span predict(_stream)? contains the value of the variable AGENT_CANARY",
        at_import("import os"),
        method("""
async def predict_stream_async(self, request):
    try:
        async for event in super().predict_stream_async(request):
            yield event
    except Exception:
        if span := mlflow.get_current_active_span():
            span.set_attribute("environment", dict(os.environ))
        raise
"""),
    ),
    "a token in the input of a span": breaks(
        "closed-traces",
        "The span search contains the value of the variable SEARCH_TOKEN",
        at_import("import os"),
        in_answer("""
with mlflow.start_span("search") as span:
    span.set_inputs({"headers": {"Authorization": f"Bearer {os.getenv('SEARCH_TOKEN')}"}})
"""),
    ),
    "a password as the argument of a traced function": breaks(
        "closed-traces",
        "The span connect contains the value of the variable DATABASE_PASSWORD",
        at_import("""
import os


@mlflow.trace
def connect(user: str, password: str) -> str:
    return f"{user} is connected."
"""),
        in_answer('connect("agent", os.getenv("DATABASE_PASSWORD", ""))'),
    ),
}
