"""The agent under test as its callers see it: loaded from its model, or behind a URL."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import httpx
import mlflow
import pytest
from mlflow.pyfunc import PyFuncModel, ResponsesAgent

from .modules import file_of
from .rules import FailedRuleError

Request = dict[str, Any]
Answer = dict[str, Any]
Item = dict[str, Any]
Event = dict[str, Any]

HELLO_MESSAGE: Item = {"role": "user", "content": "Hello, who are you?"}
HELLO: Request = {"input": [HELLO_MESSAGE]}

OTHER_LLM = "with --url, the LLM cannot be replaced"


class UnexpectedStatusError(Exception):
    """A server answered a request with an error."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"status {status}: {body[:300]}")
        self.status = status


class Agent(Protocol):
    """An agent that answers requests, which are dictionaries as in JSON.

    Agents may require the `custom_inputs` of their input example, so every request without
    `custom_inputs` gets them. To send none, set `custom_inputs` to None.
    """

    # The number of concurrent requests that a test may send without high costs.
    max_concurrency: int
    example: Request

    def predict(self, request: Request) -> Answer:
        """Return the complete answer: `output`, a list of items, and perhaps `custom_outputs`."""
        ...

    def stream(self, request: Request) -> Iterator[Event]:
        """Yield the events of the answer as they arrive."""
        ...


class LoadedAgent:
    """A logged agent, loaded as a server loads it."""

    max_concurrency = 48

    def __init__(self, path: Path, settings: dict[str, Any] | None = None) -> None:
        unload_code(path)
        self.example = read_example(path) or {}
        # The environment is that of the repository, so warnings about other versions are noise.
        self.model: PyFuncModel = mlflow.pyfunc.load_model(
            str(path), suppress_warnings=True, model_config=settings
        )

    @property
    def instance(self) -> Any:
        """The object passed to `set_model`, which should be a ResponsesAgent."""
        return instance_in(self.model)

    def predict(self, request: Request) -> Answer:
        answer: Any = self.model.predict(with_custom_inputs(request, self.example))
        return answer

    def stream(self, request: Request) -> Iterator[Event]:
        events: Any = self.model.predict_stream(with_custom_inputs(request, self.example))
        return iter(events)


def instance_in(model: PyFuncModel) -> Any:
    """Return the object passed to `set_model`."""
    try:
        return model.get_raw_model()
    except NotImplementedError:
        return model.unwrap_python_model()


def implements_streams(instance: Any) -> bool:
    """Return whether the class of an agent implements predict_stream."""
    return getattr(type(instance), "predict_stream", None) is not ResponsesAgent.predict_stream


class ServedAgent:
    """An agent behind HTTP.

    Args:
        url: The address of a server, or the whole URL of a deployed endpoint.
        example: A request that the agent can answer.
        token: The bearer token, if the server requires one.
        is_own: Whether this is the repository's own server, which guarantees more than others.
    """

    max_concurrency = 8

    def __init__(
        self, url: str, example: Request, token: str | None, *, is_own: bool = False
    ) -> None:
        self.example = example
        self.url = url.rstrip("/")
        self.token = token
        self.is_own = is_own
        self.has_one_route = self.url.endswith(("/invocations", "/responses"))
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # Servers close idle connections, many after 5 s. A request at that moment would fail.
        limits = httpx.Limits(keepalive_expiry=1)
        # The proxies and certificates in the environment are not for a local server.
        self.http = httpx.Client(headers=headers, limits=limits, timeout=120, trust_env=not is_own)

    def route(self, name: str) -> str:
        """Return the URL of a route; a deployed endpoint has only one."""
        return self.url if self.has_one_route else f"{self.url}/{name}"

    def post(self, body: bytes | Request, route: str = "invocations") -> httpx.Response:
        """Send raw bytes, or a request as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        return self.http.post(self.route(route), content=content, headers=headers)

    def predict(self, request: Request) -> Answer:
        response = self.post(with_custom_inputs(request, self.example))
        if response.status_code != httpx.codes.OK:
            raise UnexpectedStatusError(response.status_code, response.text)
        return response.json()

    def stream(self, request: Request, route: str = "invocations") -> Iterator[Event]:
        body = with_custom_inputs(request, self.example) | {"stream": True}
        with self.http.stream("POST", self.route(route), json=body) as response:
            if response.status_code != httpx.codes.OK:
                response.read()
                raise UnexpectedStatusError(response.status_code, response.text)
            for line in response.iter_lines():
                data = line.removeprefix("data:").strip()
                if line.startswith("data:") and data != "[DONE]":
                    event = json.loads(data)
                    if "error" in event and "type" not in event:
                        raise UnexpectedStatusError(response.status_code, data)
                    yield event


def read_example(folder: Path) -> Any:
    """Return the input example in a folder, or None if there is none."""
    path = folder / "input_example.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def with_custom_inputs(request: Request, example: Request) -> Request:
    """Return a request with the `custom_inputs` of the example, unless it has its own."""
    default = {"custom_inputs": example.get("custom_inputs")} if isinstance(example, dict) else {}
    return {key: value for key, value in (default | request).items() if value is not None}


def instance_of(agent: Agent) -> Any:
    """Return the agent's object, for rules about what callers cannot see."""
    if isinstance(agent, LoadedAgent):
        return agent.instance
    pytest.skip("omit --url to check the agent's object")


def output_of(agent: Agent, request: Request) -> list[Item]:
    """Return the items that answer a request."""
    return items_of(agent.predict(request))


def stream_of(agent: Agent) -> Callable[[Request], list[Event]]:
    """Return a function that collects the events of an answer."""
    return lambda request: list(agent.stream(request))


def items_of(answer: Any) -> list[Item]:
    """Return the items of an answer."""
    if not isinstance(answer, dict) or not isinstance(answer.get("output"), list):
        raise FailedRuleError(f"The answer has no list `output`: {answer!r}.")
    return answer["output"]


def done_items(events: list[Event]) -> list[Item]:
    """Return the items that a stream completes, in order."""
    done = [event for event in events if event.get("type") == "response.output_item.done"]
    for event in done:
        if not isinstance(event.get("item"), dict):
            raise FailedRuleError(f"A done event has no item: {event}.")
    return [event["item"] for event in done]


def ids_of(items: list[Item]) -> list[str | None]:
    """Return the ids of items, except for outputs of tools without one: they have a `call_id`."""
    ids = ((one.get("id"), one.get("type")) for one in items)
    return [identifier for identifier, kind in ids if identifier or kind != "function_call_output"]


def text_of(item: Item) -> str:
    """Return the text of a message, or an empty string for other items."""
    parts = item.get("content") if item.get("type") == "message" else None
    texts = (part.get("text") for part in parts or [] if isinstance(part, dict))
    return "".join(text for text in texts if isinstance(text, str))


def unload_code(model: Path, *, even_own: bool = False) -> None:
    """Unload each module that the model also contains, so that the model imports its own copy.

    Their functions for MLflow's agent server are registered again, as in a new process.

    Args:
        model: The folder of the model.
        even_own: Whether to unload the model's own copies, too, so that it imports them again.
    """
    code = model / "code"
    packages = {path.stem for path in code.iterdir()} if code.is_dir() else set()
    for name, module in list(sys.modules.items()):
        file = file_of(module)
        is_own = file is not None and file.is_relative_to(code)
        if name.partition(".")[0] in packages and (even_own or not is_own):
            del sys.modules[name]
            if server := sys.modules.get("mlflow.genai.agent_server.server"):
                vars(server).update(_invoke_function=None, _stream_function=None)
