"""Breakages of traces."""

from tests.contract.breakages.changes import IN_A_THREAD, Patch, breaks, in_agent, while_answering

PREDICT = "    def predict(self, request"
STREAM = "    def predict_stream(\n"

TRACES = {
    "a trace of one's own around predict": breaks(
        "one-trace",
        "named 'answer'",
        in_agent(PREDICT, '    @mlflow.trace(name="answer")\n' + PREDICT),
    ),
    "a trace of one's own around predict_stream, without a reducer": breaks(
        "one-trace",
        "UNKNOWN",
        in_agent(STREAM, "    @mlflow.trace\n" + STREAM),
    ),
    "two traces for one request": breaks(
        "one-trace",
        "made [02] traces",
        while_answering("""
        from threading import Thread

        tracing = Thread(target=mlflow.trace(str, name="looking up"), args=("",))
        tracing.start()
        tracing.join()
"""),
    ),
    "tracing switched off while answering": breaks(
        "one-trace", "made 0 traces", while_answering("        mlflow.tracing.disable()\n")
    ),
    "tools that run in threads without the context": breaks(
        "one-trace",
        "made [0-9]+ traces",
        Patch(
            "toolbox.py",
            IN_A_THREAD,
            "await asyncio.get_running_loop().run_in_executor(\n"
            '                None, adapter.validate_json, arguments or "{}"\n            )',
        ),
        Patch("toolbox.py", "import inspect\n", "import asyncio\nimport inspect\n"),
    ),
    "the request left out of the trace": breaks(
        "one-trace",
        "without what the user said",
        while_answering("""
        if span := mlflow.get_current_active_span():
            span.set_inputs(None)
"""),
    ),
    "the trace's own span given another output": breaks(
        "one-trace",
        "output is",
        in_agent(
            "        events = list(self.predict_stream(request))\n",
            """        events = list(self.predict_stream(request))
        if span := mlflow.get_current_active_span():
            span.end(outputs="done")
""",
        ),
    ),
}
