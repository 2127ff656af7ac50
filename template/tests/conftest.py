"""Fixtures of all tests: the offline LLM answers, and traces go to a temporary MLflow store."""

import os
from collections.abc import Iterator

import mlflow
import pytest

# The names of tools with side effects, such as "send_mail". Tests and `verify` never call them.
UNCALLED_TOOLS: tuple[str, ...] = ()
# Prefixes of variables that change where MLflow logs, and what it traces.
TRACKING = (
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_",
    "MLFLOW_TRACE_SAMPLING_RATIO",
    "MLFLOW_TRACING_DESTINATION",
    "OTEL_",
)


@pytest.fixture(autouse=True, scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run without credentials, without a network and without the project's own MLflow store."""
    folder = tmp_path_factory.mktemp("mlflow")
    store = f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(TRACKING)]:
            patch.delenv(name)
        patch.setenv("AGENT_LLM", "offline:/demo")
        patch.setenv("AGENT_UNCALLED_TOOLS", ",".join(UNCALLED_TOOLS))
        patch.setenv("MLFLOW_TRACKING_URI", store)
        # Otherwise each test that reads traces waits for a second.
        patch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
        mlflow.set_tracking_uri(store)
        mlflow.create_experiment("tests", artifact_location=(folder / "artifacts").as_uri())
        mlflow.set_experiment("tests")
        yield
