"""The agent that answers a batch, loaded once per process."""

import asyncio
import gc
import sys
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from mlflow.types.responses import ResponsesAgentRequest

from ...runtime.items import done_item
from ..project import PACKAGE, ProjectError


@dataclass(frozen=True)
class BatchAgent:
    """An agent, and functions of its own code.

    Attributes:
        agent: The agent; one without `predict_stream_async` answers in threads.
        record_completions: Records the tokens of an answer.
        request_whole_completions: Stops the LLM from streaming, if the agent can do this.
    """

    agent: Any
    record_completions: Callable[[], Any]
    request_whole_completions: Callable[[], None]

    async def items(self, request: ResponsesAgentRequest) -> list[Any]:
        """Return the items of an answer."""
        if not hasattr(self.agent, "predict_stream_async"):
            response = await asyncio.to_thread(self.agent.predict, request)
            return response.model_dump(exclude_none=True)["output"]
        async with aclosing(self.agent.predict_stream_async(request)) as events:
            return [item async for event in events if (item := done_item(event))]


@cache
def load_agent(model_uri: str | None = None) -> BatchAgent:
    """Return the agent of the source, or of a logged model.

    Raises:
        ProjectError: The model is not available.
    """
    agent = _load_model(model_uri) if model_uri else _import("agent").AGENT
    client = _import("runtime.llm.client")
    # A model may be older than this function.
    request_whole_completions = getattr(client, "request_whole_completions", lambda: None)
    gc.freeze()  # so that later collections need not visit the modules again
    record_completions = _import("runtime.llm.usage").record_completions
    return BatchAgent(agent, record_completions, request_whole_completions)


def _load_model(model_uri: str) -> Any:
    """Load a model with its own code instead of that of the source."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        folder = mlflow.artifacts.download_artifacts(model_uri)
        _unload_code()
        model = mlflow.pyfunc.load_model(folder, suppress_warnings=True)
    except (MlflowException, OSError, ImportError) as error:
        reason = str(error).rstrip(".")
        raise ProjectError(f"Could not load {model_uri}: {reason}. Check --model-uri.") from error
    return model.get_raw_model()


def _unload_code() -> None:
    """Unload the modules that an agent imports, so that a model imports its own copies."""
    for name in list(sys.modules):
        package, module, *_ = [*name.split("."), ""]
        if package == PACKAGE.name and module not in ("ops", "commands"):
            del sys.modules[name]


def _import(module: str) -> Any:
    return import_module(f"{PACKAGE.name}.{module}")
