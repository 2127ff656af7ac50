"""A batch of an agent, its questions and its LLM."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from tests.helpers.agents import Agent
from tests.helpers.forked_commands import ForkedCommands, forked_commands
from tests.helpers.model_server import ChatServer, Turn

Row = dict[str, Any]


class Batch:
    """Runs `batch` with an LLM that repeats each question.

    Attributes:
        commands: The commands of the agent.
        server: The LLM.
        folder: The folder for tables.
        failing: The questions that the LLM refuses.
    """

    def __init__(self, commands: ForkedCommands, server: ChatServer, folder: Path) -> None:
        self.commands, self.server, self.folder = commands, server, folder
        self.failing: set[str] = set()
        self.environment = {
            "AGENT_LLM": "openai:/model",
            "OPENAI_BASE_URL": server.url,
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        }
        server.choose = self.reply

    def reply(self, body: Row) -> Turn:
        """Repeat the last message."""
        question = str(body["messages"][-1]["content"])
        if question in self.failing:
            return Turn(status=400, error="Refused.")
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        return Turn([{"content": f"Answer to: {question}"}], usage=usage)

    def run(self, source: Path, *options: str, **environment: str) -> tuple[int, str]:
        """Answer a table, and return the exit code and what is printed to standard error."""
        arguments = (str(source), str(self.folder / "out"), *options)
        done = self.commands.run("batch", *arguments, **self.environment | environment)
        return done.returncode, done.stderr

    def rows(self) -> list[Row]:
        """Return the rows of the output, sorted by their ids."""
        return read_output(self.folder / "out")

    def questions(self) -> list[str]:
        """Return the questions that the LLM received."""
        return [str(body["messages"][-1]["content"]) for body in self.server.bodies]


def invalid_rows(number: int) -> list[Row]:
    """Return rows that the agent refuses before it asks the LLM."""
    part = {"type": "input_file", "file_url": "https://example.com/report.pdf"}
    items = [{"role": "user", "content": [part]}]
    return [{"id": f"invalid {one}", "input": items} for one in range(number)]


def read_output(folder: Path) -> list[Row]:
    """Return the rows of an output, sorted by their ids."""
    table = ds.dataset(folder, format="parquet", partitioning="hive").to_table()
    return sorted(table.to_pylist(), key=lambda row: row["id"])


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition is true, for at most three minutes: Spark starts slowly."""
    for _ in range(1800):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("The condition did not become true within three minutes.")


@pytest.fixture(scope="module")
def commands(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedCommands]:
    """The commands of the agent."""
    with forked_commands(agent, tmp_path_factory.mktemp("commands")) as running:
        yield running


@pytest.fixture
def batch(commands: ForkedCommands, server: ChatServer, tmp_path: Path) -> Batch:
    """A batch with an LLM that repeats each question."""
    return Batch(commands, server, tmp_path)
