"""LangChain: `ChatOpenAI` and, with the argument `databricks`, `ChatDatabricks`."""

import sys
from functools import partial, reduce
from operator import add
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel
from situations import FOLLOW_UP, QUESTION, URL, run

IS_DATABRICKS = "databricks" in sys.argv


class Answer(BaseModel):
    """An answer."""

    city: str
    days: int


def chat_model() -> Any:
    """Return the model."""
    if IS_DATABRICKS:
        from databricks.sdk import WorkspaceClient
        from databricks_langchain import ChatDatabricks

        workspace = WorkspaceClient(host=URL, token="none")
        options = {"workspace_client": workspace, "max_retries": 0}
        return ChatDatabricks(model="weather-agent", use_responses_api=True, **options)
    from langchain_openai import ChatOpenAI

    options = {"base_url": URL, "api_key": "none", "max_retries": 0}
    return ChatOpenAI(model="weather-agent", use_responses_api=True, **options)


MODEL = chat_model()


def tool(place: str) -> str:
    """Tell something about a place."""
    return place


def ask(stream: bool, messages: list[Any], model: Any = MODEL) -> AIMessage:
    """Return the answer."""
    return reduce(add, model.stream(messages)) if stream else model.invoke(messages)


def turns(stream: bool) -> list[str]:
    messages: list[Any] = [HumanMessage(QUESTION)]
    messages.append(first := ask(stream, messages))
    second = ask(stream, [*messages, HumanMessage(FOLLOW_UP)])
    return [first.text, second.text]


def structured() -> Any:
    answer = MODEL.with_structured_output(Answer, method="json_schema").invoke(QUESTION)
    return answer.model_dump()


def disconnect() -> str:
    events = MODEL.stream("Talk")
    text = next(event.text for event in events if event.text)
    events.close()
    return text


def failing(stream: bool, question: str, model: Any = MODEL) -> str:
    return ask(stream, [HumanMessage(question)], model).text


with_tools = MODEL.bind_tools([tool])
situations: dict[str, Any] = {
    "disconnect": disconnect,
    "turns": partial(turns, False),
    "turns_streamed": partial(turns, True),
    "structured": structured,
    "invalid": partial(failing, False, "Hello", with_tools),
    "invalid_streamed": partial(failing, True, "Hello", with_tools),
}
run(situations, failing)
