"""The agent under test, as those see it who call it: loaded from its model, or behind a URL."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import httpx
import mlflow
import pytest
from mlflow.pyfunc import PyFuncModel

from .rules import BrokenRuleError

Request = dict[str, Any]
Answer = dict[str, Any]
Item = dict[str, Any]
Event = dict[str, Any]

HELLO: Request = {"input": [{"role": "user", "content": "Hello, who are you?"}]}


class RefusedError(Exception):
    """A server did not answer a request; says its status and what it answered instead."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"status {status}: {body[:300]}")
        self.status = status
        self.body = body


class Subject(Protocol):
    """An agent that can be asked; each method takes a request as JSON has it.

    An agent may insist on the `custom_inputs` of its input example, so every request gets them
    that brings none of its own; a request with None for them is asked without any.
    """

    # How many requests may come at once without anybody having to pay for it.
    crowd: int
    example: Request

    def predict(self, request: Request) -> Answer:
        """The whole answer: `output`, a list of items, and perhaps `custom_outputs`."""
        ...

    def stream(self, request: Request) -> Iterator[Event]:
        """The events of the streamed answer, as they come."""
        ...


class LoadedAgent:
    """A logged agent, loaded as a server loads it."""

    crowd = 48

    def __init__(self, path: Path, settings: dict[str, Any] | None = None) -> None:
        _forget_code_of(path)
        self.example = example_in(path) or {}
        self.model: PyFuncModel = mlflow.pyfunc.load_model(str(path), model_config=settings)

    @property
    def instance(self) -> Any:
        """What the agent's file gave to `set_model`; a ResponsesAgent, if all is well."""
        try:
            return self.model.get_raw_model()
        except NotImplementedError:
            return self.model.unwrap_python_model()

    def predict(self, request: Request) -> Answer:
        answer: Any = self.model.predict(complete(request, self.example))
        return answer

    def stream(self, request: Request) -> Iterator[Event]:
        events: Any = self.model.predict_stream(complete(request, self.example))
        return iter(events)


class ServedAgent:
    """An agent behind HTTP: a server's address, or the whole URL of a deployed endpoint.

    Args:
        url: Where it answers.
        example: A request that it can answer.
        token: The bearer token that it asks for, if any.
        is_own: Whether it is the repository's own server, which promises more than others.
    """

    crowd = 8

    def __init__(
        self, url: str, example: Request, token: str | None, *, is_own: bool = False
    ) -> None:
        self.example = example
        self.url = url.rstrip("/")
        self.token = token
        self.is_own = is_own
        self.has_one_route = self.url.endswith(("/invocations", "/responses"))
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(headers=headers, timeout=120)

    def route(self, name: str) -> str:
        """The URL of a route; a deployed endpoint has no other than the one that was given."""
        return self.url if self.has_one_route else f"{self.url}/{name}"

    def post(self, body: bytes | Request, route: str = "invocations") -> httpx.Response:
        """Send a body as it is, or a request as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        return self.http.post(self.route(route), content=content, headers=headers)

    def predict(self, request: Request) -> Answer:
        response = self.post(complete(request, self.example))
        if response.status_code != httpx.codes.OK:
            raise RefusedError(response.status_code, response.text)
        return response.json()

    def stream(self, request: Request, route: str = "invocations") -> Iterator[Event]:
        body = complete(request, self.example) | {"stream": True}
        with self.http.stream("POST", self.route(route), json=body) as response:
            if response.status_code != httpx.codes.OK:
                response.read()
                raise RefusedError(response.status_code, response.text)
            for line in response.iter_lines():
                data = line.removeprefix("data:").strip()
                if line.startswith("data:") and data != "[DONE]":
                    event = json.loads(data)
                    if "error" in event and "type" not in event:
                        raise RefusedError(response.status_code, data)
                    yield event


def example_in(folder: Path) -> Any:
    """The input example that is saved in a folder, None where there is none."""
    path = folder / "input_example.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def complete(request: Request, example: Request) -> Request:
    """A request with the `custom_inputs` of the example, unless it says otherwise."""
    usual = {"custom_inputs": example.get("custom_inputs")} if isinstance(example, dict) else {}
    return {key: value for key, value in (usual | request).items() if value is not None}


def instance_of(agent: Subject) -> Any:
    """The agent's object, for rules about what no caller sees."""
    if isinstance(agent, LoadedAgent):
        return agent.instance
    pytest.skip("Behind a URL only the answers can be seen.")


def output_of(agent: Subject, request: Request) -> list[Item]:
    """The items that answer a request."""
    answer: Any = agent.predict(request)
    if not isinstance(answer, dict) or not isinstance(answer.get("output"), list):
        raise BrokenRuleError(f"The answer holds no list `output`: {answer!r}.")
    return answer["output"]


def done_items(events: list[Event]) -> list[Item]:
    """The items that a stream finished, in their order."""
    done = [event for event in events if event.get("type") == "response.output_item.done"]
    for event in done:
        if not isinstance(event.get("item"), dict):
            raise BrokenRuleError(f"A done event holds no item: {event}.")
    return [event["item"] for event in done]


def text_of(item: Item) -> str:
    """What an item says to the user; nothing unless it is a message."""
    parts = item.get("content") if item.get("type") == "message" else None
    texts = (part.get("text") for part in parts or [] if isinstance(part, dict))
    return "".join(text for text in texts if isinstance(text, str))


def _forget_code_of(model: Path) -> None:
    """Let the model import its own code, although this process knows the repository's."""
    code = model / "code"
    packages = {path.stem for path in code.iterdir()} if code.is_dir() else set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if name.partition(".")[0] in packages and not file.startswith(str(code)):
            del sys.modules[name]
