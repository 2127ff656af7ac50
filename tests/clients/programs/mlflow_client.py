"""`mlflow.deployments`, as code on Databricks calls an endpoint."""

import json
import os
from functools import partial
from typing import Any

from mlflow.deployments import get_deploy_client
from situations import FOLLOW_UP, QUESTION, URL, run

os.environ |= {
    "DATABRICKS_HOST": URL,
    "DATABRICKS_TOKEN": "none",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DEPLOYMENT_PREDICT_TOTAL_TIMEOUT": "1",  # it repeats requests with status 429 so long
}
CLIENT: Any = get_deploy_client("databricks")
TOOL = {"type": "function", "name": "a", "parameters": {}, "strict": False}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FORMAT = {"type": "json_schema", "name": "answer", "schema": SCHEMA}


def ask(stream: bool, question: Any, **options: Any) -> list[Any]:
    """Return the items of the answer."""
    items = [user(question)] if isinstance(question, str) else question
    inputs = {"input": items, **options}
    if not stream:
        return CLIENT.predict(endpoint="weather-agent", inputs=inputs)["output"]
    events = list(CLIENT.predict_stream(endpoint="weather-agent", inputs=inputs))
    if errors := [event["message"] for event in events if event["type"] == "error"]:
        raise RuntimeError(*errors)
    return [event["item"] for event in events if event["type"] == "response.output_item.done"]


def user(text: str) -> Any:
    return {"role": "user", "content": text}


def text_of(items: list[Any]) -> str:
    parts = [part for item in items if item["type"] == "message" for part in item["content"]]
    return "".join(part["text"] for part in parts)


def turns(stream: bool) -> list[str]:
    first = ask(stream, QUESTION)
    second = ask(stream, [user(QUESTION), *first, user(FOLLOW_UP)])
    return [text_of(first), text_of(second)]


def structured() -> Any:
    return json.loads(text_of(ask(False, QUESTION, text={"format": FORMAT})))


def disconnect() -> str:
    inputs = {"input": [user("Talk")]}
    events = CLIENT.predict_stream(endpoint="weather-agent", inputs=inputs)
    text = next(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    events.close()
    return text


situations: dict[str, Any] = {
    "disconnect": disconnect,
    "turns": partial(turns, False),
    "turns_streamed": partial(turns, True),
    "structured": structured,
    "invalid": partial(ask, False, "Hello", tools=[TOOL]),
    "invalid_streamed": partial(ask, True, "Hello", tools=[TOOL]),
}
run(situations, ask)
