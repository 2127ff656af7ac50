"""`batch` with Spark: on this machine, and on a Spark Connect server that lacks the package."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.batch.conftest import Batch, Row, invalid_rows, read_output, wait_for
from tests.helpers.agents import Agent, clean_environment, install
from tests.helpers.model_server import Turn
from tests.server.serving import free_port

pytestmark = pytest.mark.proof

ITEMS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
TABLE: list[Row] = [
    {"id": "a", "question": "One, two"},
    {"id": "b", "question": 'Two\n"lines"'},
    {"id": "07", "question": "2026-01-01"},
    {"id": "é ", "question": "7", "custom_inputs": '{"tenant": "acme"}'},
    {"id": "c", "input": json.dumps([*ITEMS, {"role": "user", "content": "Bye"}])},
]

SERVER = """
import sys
import time
from pyspark.sql import SparkSession

settings = {
    "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
    "spark.connect.grpc.binding.address": "127.0.0.1",
    "spark.connect.grpc.binding.port": sys.argv[1],
    "spark.sql.warehouse.dir": sys.argv[2],
    "spark.ui.enabled": "false",
    "spark.log.level": "OFF",
}
SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
print("ready", flush=True)
time.sleep(3600)
"""

# Answers several inputs in one session, and prints the errors.
ERRORS = """
import json
import sys
from weather_agent.ops.batch.columns import column_names
from weather_agent.ops.batch.spark import SparkBatch
from weather_agent.ops.project import ProjectError

errors = {}
for source in sys.argv[2:]:
    try:
        SparkBatch(source, sys.argv[1], column_names([]), 2, 10).run(None)
    except ProjectError as error:
        errors[source] = str(error)
print(json.dumps(errors))
"""


def write_jsonl(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def write_csv(path: Path, rows: list[Row]) -> None:
    pa.csv.write_csv(pa.Table.from_pylist(rows, table_schema(rows)), path)


def write_parquet(path: Path, rows: list[Row]) -> None:
    pq.write_table(pa.Table.from_pylist(rows, table_schema(rows)), path)


def table_schema(rows: list[Row]) -> pa.Schema:
    return pa.schema(
        [(name, pa.string()) for name in dict.fromkeys(k for row in rows for k in row)]
    )


def numbered(number: int) -> list[Row]:
    return [{"id": str(one), "question": f"Question {one}"} for one in range(number)]


def essence(rows: list[Row]) -> list[tuple[Any, ...]]:
    """Return what both engines must write equally."""
    names = ("id", "answer", "error", "attempts", "input_tokens", "output_tokens", "status")
    return [tuple(row[name] for name in names) for row in rows]


@pytest.fixture(scope="module")
def spark_agent(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """The default project with Spark."""
    folder = tmp_path_factory.mktemp("spark") / "weather-agent"
    shutil.copytree(agent.folder, folder, ignore=shutil.ignore_patterns(".venv", ".git"))
    made = install(folder)
    add = ["uv", "add", "--quiet", "--optional=spark", "pyspark[connect]>=4,<5"]
    subprocess.run(add, cwd=folder, check=True)
    subprocess.run(["uv", "sync", "--quiet", "--extra=spark"], cwd=folder, check=True)
    return made


@dataclass(frozen=True)
class SparkRuns:
    """Runs `batch --engine spark` in processes.

    Attributes:
        agent: The agent.
        batch: The LLM and its environment.
    """

    agent: Agent
    batch: Batch

    def start(self, source: str | Path, target: str | Path, *options: str) -> subprocess.Popen[str]:
        """Start a batch."""
        program = self.agent.folder / ".venv/bin/weather-agent"
        command = [program, "batch", str(source), str(target), "--engine=spark", *options]
        return subprocess.Popen(
            command,
            cwd=self.agent.folder,
            env=clean_environment() | self.batch.environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, source: str | Path, target: str | Path, *options: str) -> tuple[int, str]:
        """Return the exit code of a batch, and what it prints to standard error."""
        process = self.start(source, target, *options)
        _, printed = process.communicate(timeout=300)
        return process.returncode, printed


@pytest.fixture
def spark(spark_agent: Agent, batch: Batch) -> SparkRuns:
    """Runs batches with Spark and the fake LLM."""
    return SparkRuns(spark_agent, batch)


@pytest.mark.parametrize(
    ("name", "write"),
    [("in.jsonl", write_jsonl), ("in.csv", write_csv), ("in.parquet", write_parquet)],
)
def test_engines_answer_equally(
    spark: SparkRuns, name: str, write: Callable[[Path, list[Row]], None]
) -> None:
    batch = spark.batch
    write(batch.folder / name, TABLE)
    assert batch.run(batch.folder / name)[0] == 0
    code, printed = spark.run(batch.folder / name, batch.folder / "spark")
    assert code == 0, printed
    assert essence(read_output(batch.folder / "spark")) == essence(batch.rows())
    assert "5 answered, 0 failed in " in printed
    assert "WARN" not in printed
    assert len(printed.splitlines()) <= 4


def test_engines_continue_each_other(spark: SparkRuns) -> None:
    batch, rows = spark.batch, numbered(30)
    source, out = batch.folder / "in.jsonl", batch.folder / "out"
    write_jsonl(source, rows[:10])
    batch.failing = {"Question 3", "Question 15"}
    assert batch.run(source)[0] == 1
    write_jsonl(source, rows[:20])
    code, printed = spark.run(source, out)
    assert code == 1
    assert "20 rows, 9 of them answered before." in printed
    assert "9 answered, 2 failed in " in printed
    assert sorted(row["id"] for row in batch.rows() if row["error"]) == ["15", "3"]
    batch.failing.clear()
    write_jsonl(source, rows)
    assert batch.run(source)[0] == 0
    assert sorted(int(row["id"]) for row in batch.rows()) == list(range(30))
    assert {row["status"] for row in batch.rows()} == {"answered"}
    assert len(batch.questions()) == 10 + 11 + 12


def test_invalid_rows_say_nothing_about_the_llm(spark: SparkRuns) -> None:
    batch = spark.batch
    write_jsonl(batch.folder / "in.jsonl", invalid_rows(60))
    code, printed = spark.run(batch.folder / "in.jsonl", batch.folder / "out")
    assert code == 1
    assert "0 answered, 60 failed in " in printed


def test_unusable_llm_stops_the_batch(spark: SparkRuns) -> None:
    batch, rows = spark.batch, numbered(400)
    write_jsonl(batch.folder / "in.jsonl", rows)
    batch.failing = {row["question"] for row in rows}
    options = ("--concurrency=8", "--rows-per-commit=200")
    code, printed = spark.run(batch.folder / "in.jsonl", batch.folder / "out", *options)
    assert code == 1
    assert "questions failed in a row: LLMError: openai:/model returned status 400" in printed
    assert "Traceback" not in printed
    assert 20 <= len(batch.rows()) < 100
    assert {row["status"] for row in batch.rows()} == {"failed"}


def test_concurrency_below_the_number_of_cores(spark: SparkRuns) -> None:
    batch = spark.batch
    starts: list[float] = []

    def reply(body: Row) -> Turn:
        starts.append(time.monotonic())
        return replace(batch.reply(body), delay=0.2)

    batch.server.choose = reply
    write_jsonl(batch.folder / "in.jsonl", numbered(8))
    code, printed = spark.run(batch.folder / "in.jsonl", batch.folder / "out", "--concurrency=1")
    assert code == 0, printed
    assert min(later - earlier for earlier, later in pairwise(starts)) >= 0.2


def test_model_answers_with_its_own_code(spark: SparkRuns) -> None:
    agent, batch = spark.agent, spark.batch
    write_jsonl(batch.folder / "in.jsonl", numbered(3))
    with agent.patched("instructions.md", None, "You are the logged one."):
        logged = agent.check("weather-agent", "log", **batch.environment)
    (uri,) = re.findall(r"models:/\S+", logged)
    assert spark.run(batch.folder / "in.jsonl", batch.folder / "out", f"--model-uri={uri}")[0] == 0
    prompts = {body["messages"][0]["content"] for body in batch.server.bodies[-3:]}
    assert all("the logged one" in prompt for prompt in prompts)


def test_invalid_inputs(spark: SparkRuns) -> None:
    folder = spark.batch.folder
    cases: dict[str, tuple[list[Row], str]] = {
        "columns.jsonl": ([{"id": "1", "text": "a"}], "It needs 'id', and 'question' or 'input'"),
        "id.jsonl": ([*TABLE, {"id": None, "question": "a"}], "A row of the input: the id is mis"),
        "twice.jsonl": ([*TABLE, TABLE[0]], "The input has 6 rows, but 5 ids. Give each row an id"),
        "blank.jsonl": (
            [{"id": "1", "question": " "}],
            "A row of the input: the question is empty",
        ),
        "five.jsonl": (
            [{"id": "1", "question": 5}],
            "A row of the input: the question 5 must be a",
        ),
        "float.jsonl": ([{"id": 1.5, "question": "a"}], "A row of the input: the id 1.5 must be a"),
        "half.jsonl": ([{"id": "\ud800", "question": "a"}], "the id contains invalid Unicode"),
        "json.jsonl": ([{"id": "1", "input": "{"}], "The row '1' of the input: input is invalid"),
    }
    for name, (rows, _) in cases.items():
        write_jsonl(folder / name, rows)
    expected = {name: words for name, (_, words) in cases.items()}
    (folder / "cut.jsonl").write_text(
        '{"id": "1", "question": "a"}\n{"id": "2", ', encoding="utf-8"
    )
    (folder / "none.csv").write_text("id,question\n", encoding="utf-8")
    (folder / "long.csv").write_text("id,question\n1,a,b\n", encoding="utf-8")
    (folder / "quote.csv").write_text('id,question\n1,"a\n2,b\n', encoding="utf-8")
    (folder / "latin.jsonl").write_bytes(b'{"id": "1", "question": "\xe9"}')
    (folder / "bad.parquet").write_bytes(b"no parquet")
    pq.write_table(pa.table({"id": [1.5], "question": ["a"]}), folder / "types.parquet")
    expected |= {
        "cut.jsonl": "line 2, column 13: Expecting",
        "latin.jsonl": "latin.jsonl: it is not encoded in UTF-8.",
        "none.csv": "The input has no rows.",
        "long.csv": "line 2: the number of values is 3 instead of 2.",
        "quote.csv": "line 3: unexpected end of data.",
        "bad.parquet": "Spark failed: ",
        "types.parquet": "The ids in the column 'id' have the type double.",
        "missing.csv": "Path does not exist",
    }
    sources = [str(folder / name) for name in expected]
    printed = spark.agent.check(
        "python", "-c", ERRORS, str(folder / "out"), *sources, **spark.batch.environment
    )
    errors = {Path(source).name: error for source, error in json.loads(printed).items()}
    assert errors.keys() == expected.keys()
    for name, words in expected.items():
        assert words in errors[name], errors[name]
        assert "\n" not in errors[name]
    assert not spark.batch.server.bodies


def test_killed_batch_continues(spark: SparkRuns) -> None:
    batch, rows = spark.batch, numbered(300)
    source, out = batch.folder / "in.jsonl", batch.folder / "out"
    write_jsonl(source, rows)
    batch.server.choose = lambda body: replace(batch.reply(body), delay=0.05)
    options = ("--rows-per-commit=50", "--concurrency=8")
    process = spark.start(source, out, *options)
    wait_for_answers(process, out)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    stored = len(batch.rows())
    assert 0 < stored < len(rows)
    code, printed = spark.run(source, out, *options)
    assert code == 0, printed
    assert f"300 rows, {stored} of them answered before." in printed
    assert sorted(int(row["id"]) for row in batch.rows()) == list(range(300))


def test_killed_worker(spark: SparkRuns) -> None:
    batch, rows = spark.batch, numbered(300)
    source, out = batch.folder / "in.jsonl", batch.folder / "out"
    write_jsonl(source, rows)
    batch.server.choose = lambda body: replace(batch.reply(body), delay=0.05)
    options = ("--rows-per-commit=100", "--concurrency=8")
    process = spark.start(source, out, *options)
    wait_for_answers(process, out)
    random.Random(1).choice(workers_of(process)).kill()
    _, printed = process.communicate(timeout=200)
    if process.returncode:
        assert printed.count("error: Spark failed: ") == 1
        code, printed = spark.run(source, out, *options)
        assert code == 0, printed
    assert sorted(int(row["id"]) for row in batch.rows()) == list(range(300))


def test_unfinished_files_of_a_killed_batch(spark: SparkRuns) -> None:
    batch = spark.batch
    source, out = batch.folder / "in.jsonl", batch.folder / "out"
    write_jsonl(source, numbered(20))
    assert spark.run(source, batch.folder / "other")[0] == 0
    # The files of tasks that ended before the batch was killed.
    task = out / "_temporary/0/task_202601010000000000000_0001_m_000000"
    shutil.copytree(batch.folder / "other", task, ignore=shutil.ignore_patterns("_*"))
    code, printed = spark.run(source, out)
    assert code == 0, printed
    assert sorted(int(row["id"]) for row in batch.rows()) == list(range(20))


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the Python workers of a batch: the children of Spark's daemon."""
    workers = []
    for one in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):  # it has ended
            parent = one.parent()
            if parent and all("pyspark.daemon" in each.cmdline() for each in (one, parent)):
                workers.append(one)
    return workers


def wait_for_answers(process: subprocess.Popen[str], out: Path) -> None:
    """Wait until a slice is stored."""
    wait_for(lambda: process.poll() is not None or any(out.glob("status=answered/*.parquet")))
    assert process.poll() is None, process.communicate()


@dataclass(frozen=True)
class ConnectServer:
    """A Spark Connect server whose workers lack the package.

    Attributes:
        url: Its URL.
        warehouse: The folder with its tables.
    """

    url: str
    warehouse: Path

    def rows(self, table: str) -> list[Row]:
        """Return the rows of a table, sorted by their ids."""
        return read_output(self.warehouse / table)


@pytest.fixture
def connect_server(spark: SparkRuns, tmp_path: Path) -> Iterator[ConnectServer]:
    """A Spark Connect server on this machine."""
    folder, port = tmp_path / "server", free_port()
    folder.mkdir()
    requirements, python = folder / "requirements.txt", folder / ".venv/bin/python"
    options = ("--quiet", "--no-emit-project", "--no-hashes", "--extra=spark")
    export = ["uv", "export", *options, f"--output-file={requirements}"]
    subprocess.run(export, cwd=spark.agent.folder, check=True)
    make = ["uv", "venv", "--quiet", f"--python={sys.executable}", folder / ".venv"]
    subprocess.run(make, check=True)
    fill = ["uv", "pip", "install", "--quiet", f"--python={python}", "-r", requirements]
    subprocess.run(fill, check=True)
    variables = {"PYSPARK_PYTHON": str(python), "SPARK_LOCAL_IP": "127.0.0.1"}
    variables["OPENAI_BASE_URL"] = spark.batch.server.url
    with subprocess.Popen(
        [python, "-c", SERVER, str(port), str(folder / "warehouse")],
        cwd=folder,
        env=clean_environment() | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield ConnectServer(f"sc://127.0.0.1:{port}", folder / "warehouse")
        os.killpg(process.pid, signal.SIGKILL)


def test_cluster(spark: SparkRuns, connect_server: ConnectServer) -> None:
    batch, rows = spark.batch, numbered(20)
    source, remote = batch.folder / "in.jsonl", f"--remote={connect_server.url}"
    write_jsonl(source, rows)
    batch.failing = {"Question 3"}
    code, printed = spark.run(source, "answers", remote)
    assert code == 1, printed
    assert "19 answered, 1 failed in " in printed
    batch.failing.clear()
    code, printed = spark.run(source, "answers", remote)
    assert code == 0, printed
    assert "20 rows, 19 of them answered before." in printed
    assert batch.run(source)[0] == 0
    assert essence(connect_server.rows("answers")) == essence(batch.rows())
    assert not (connect_server.warehouse / "answers_lock").exists()
    assert "'an answer' is not the name of a table." in spark.run(source, "an answer", remote)[1]


def test_unfinished_rows_of_a_table(spark: SparkRuns, connect_server: ConnectServer) -> None:
    source, remote = spark.batch.folder / "in.jsonl", f"--remote={connect_server.url}"
    write_jsonl(source, numbered(4))
    spark.batch.failing = {"Question 3"}
    assert spark.run(source, "answers", remote)[0] == 1
    table = connect_server.warehouse / "answers"
    answered = next(table.glob("status=answered/*.parquet"))
    task = table / "_temporary/0/task_202601010000000000000_0001_m_000000/status=answered"
    task.mkdir(parents=True)
    row = pq.read_table(answered, partitioning=None).slice(0, 1).to_pylist()[0]
    left = pa.Table.from_pylist([row | {"id": "3", "answer": "Left"}], pq.read_schema(answered))
    pq.write_table(left, task / answered.name.replace("part-", "part-1"))
    code, printed = spark.run(source, "answers", remote)
    assert code == 0, printed
    assert "4 rows, 4 of them answered before." in printed
    answers = {row["id"]: row["answer"] for row in connect_server.rows("answers")}
    assert answers["3"] == "Left"
    assert len(connect_server.rows("answers")) == 4


def test_two_batches_with_one_table(spark: SparkRuns, connect_server: ConnectServer) -> None:
    batch = spark.batch
    source, remote = batch.folder / "in.jsonl", f"--remote={connect_server.url}"
    write_jsonl(source, numbered(4))
    batch.server.choose = lambda body: replace(batch.reply(body), delay=20)
    first = spark.start(source, "answers", remote)
    wait_for(lambda: batch.server.bodies)
    code, printed = spark.run(source, "answers", remote)
    assert code == 1
    assert "Another batch writes to answers. Wait until it ends." in printed
    assert "run `DROP TABLE answers_lock`" in printed
    _, printed = first.communicate(timeout=200)
    assert first.returncode == 0, printed
    assert len(connect_server.rows("answers")) == 4


def test_unreachable_server(spark: SparkRuns) -> None:
    write_jsonl(spark.batch.folder / "in.jsonl", TABLE)
    remote = f"--remote=sc://127.0.0.1:{free_port()}"
    code, printed = spark.run(spark.batch.folder / "in.jsonl", "answers", remote)
    assert code == 1
    assert "error: Cannot connect to the Spark Connect server 127.0.0.1:" in printed
    assert len(printed.splitlines()) == 1
