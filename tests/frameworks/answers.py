"""Answers of agents with the fake LLM."""

import json
from typing import Any

from tests.helpers.agents import Agent
from tests.helpers.model_server import ChatServer

# Prints the items of an answer to the items of a request.
ANSWER = """
import json, sys
from mlflow.types.responses import ResponsesAgentRequest
from weather_agent.agent import AGENT
request = ResponsesAgentRequest(input=json.loads(sys.argv[1]))
print(json.dumps([item.model_dump() for item in AGENT.predict(request).output]))
"""


def answer_of(agent: Agent, server: ChatServer) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the items and the whole response of an answer to a greeting."""
    body = json.loads(
        agent.check("weather-agent", "ask", "--json", "Hello", **llm_settings(server))
    )
    return body["output"], body


def answer_to(agent: Agent, server: ChatServer, items: list[Any]) -> list[Any]:
    """Return the items of an answer to the items of a request."""
    return json.loads(
        agent.check("python", "-c", ANSWER, json.dumps(items), **llm_settings(server))
    )


def llm_settings(server: ChatServer) -> dict[str, str]:
    """Return the environment variables that select the fake LLM."""
    return {"AGENT_LLM": "openai:/m", "OPENAI_BASE_URL": f"{server.url}/v1"}
