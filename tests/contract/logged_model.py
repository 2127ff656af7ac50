"""A logged model whose code can be replaced, which is faster than logging the model again."""

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.agents import Agent

WITHOUT_BYTECODE = shutil.ignore_patterns("__pycache__")


@dataclass(frozen=True)
class LoggedModel:
    """The model of an agent, logged before the agent was changed.

    Attributes:
        agent: The agent.
        folder: The folder of its model.
    """

    agent: Agent
    folder: Path

    @contextmanager
    def with_current_code(self) -> Generator[Path]:
        """Yield the folder of a copy with the package as it is now.

        The copy is what logging the changed agent creates, if the change affects only the code of
        the package: MLflow copies the package to `code/` and `agent.py` to the root of the model.
        """
        package = self.agent.package
        with tempfile.TemporaryDirectory() as name:
            copy = Path(name, "model")
            shutil.copytree(self.folder, copy, ignore=shutil.ignore_patterns("code"))
            shutil.copytree(package, copy / "code" / package.name, ignore=WITHOUT_BYTECODE)
            shutil.copy(package / "agent.py", copy)
            yield copy
