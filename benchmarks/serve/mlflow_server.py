"""MLflow's own AgentServer with a synchronous handler, as its documentation shows it.

Run in the environment of a generated agent, whose code it serves:

    OPENAI_BASE_URL=… AGENT_LLM=openai:/m python mlflow_server.py PORT
"""

import sys
from importlib import import_module

import uvicorn
from mlflow.genai.agent_server import AgentServer, invoke, stream

AGENT = import_module("weather_agent.agent").AGENT


@invoke()
def answer(request):
    return AGENT.predict(request)


@stream()
def answer_in_pieces(request):
    yield from AGENT.predict_stream(request)


if __name__ == "__main__":
    server = AgentServer("ResponsesAgent")
    uvicorn.run(server.app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
