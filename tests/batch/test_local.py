"""`batch` on one machine: its output, how it continues, and what it refuses."""

import asyncio
import json
import re
import signal
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentStreamEvent

from tests.batch.conftest import Batch, Row, invalid_rows, read_output, wait_for
from tests.conftest import Package
from tests.helpers.agents import Agent, clean_environment
from tests.helpers.model_server import Turn, calls, text

TABLE = [
    {"id": "a", "question": "One, two"},
    {"id": "b", "question": "Two\nlines"},
    {"id": "07", "question": "7"},
]


def write_jsonl(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, rows: list[Row]) -> Path:
    pa.csv.write_csv(pa.Table.from_pylist(rows), path)
    return path


def write_parquet(path: Path, rows: list[Row]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def write_folder(path: Path, rows: list[Row]) -> Path:
    path.mkdir()
    for number, row in enumerate(rows):
        write_parquet(path / f"part-{number}.parquet", [row])
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("in.jsonl", write_jsonl),
        ("in.csv", write_csv),
        ("in.parquet", write_parquet),
        ("in", write_folder),
    ],
)
def test_formats(batch: Batch, name: str, write: Callable[[Path, list[Row]], Path]) -> None:
    code, printed = batch.run(write(batch.folder / name, TABLE))
    assert code == 0, printed
    assert [(row["id"], row["answer"]) for row in batch.rows()] == [
        ("07", "Answer to: 7"),
        ("a", "Answer to: One, two"),
        ("b", "Answer to: Two\nlines"),
    ]
    assert "3 answered, 0 failed in " in printed
    assert ", 15 tokens. The answers are in " in printed


def test_fields_of_the_output(batch: Batch) -> None:
    batch.run(write_jsonl(batch.folder / "in.jsonl", TABLE[:1]))
    (row,) = batch.rows()
    (item,) = json.loads(row["output"])
    assert item["content"][0]["text"] == row["answer"] == "Answer to: One, two"
    assert row["trace_id"].startswith("tr-")
    assert row["seconds"] > 0
    expected = {"error": None, "attempts": 1, "input_tokens": 3, "output_tokens": 2}
    assert {name: row[name] for name in expected} == expected
    assert row["status"] == "answered"


def test_conversations_custom_inputs_and_other_names(batch: Batch) -> None:
    conversation = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    items = [*conversation, {"role": "user", "content": "Bye"}]
    rows = [
        {"key": 1, "input": json.dumps(items), "custom_inputs": '{"tenant": "acme"}'},
        {"key": 2, "text": "Hello"},
    ]
    source = write_jsonl(batch.folder / "in.jsonl", rows)
    code, printed = batch.run(source, "--columns", "id=key", "--columns", "question=text")
    assert code == 0, printed
    assert [row["answer"] for row in batch.rows()] == ["Answer to: Bye", "Answer to: Hello"]
    first = next(body for body in batch.server.bodies if len(body["messages"]) > 2)
    assert "acme" in first["messages"][0]["content"]


def test_second_run_asks_only_what_is_missing(batch: Batch) -> None:
    source = write_jsonl(batch.folder / "in.jsonl", TABLE[:2])
    batch.run(source)
    code, printed = batch.run(write_jsonl(source, TABLE))
    assert code == 0
    assert "3 rows, 2 of them answered before." in printed
    assert len(batch.server.bodies) == len(batch.rows()) == 3


def test_another_input_with_the_same_output(batch: Batch) -> None:
    source = write_jsonl(batch.folder / "in.jsonl", TABLE[:2])
    batch.run(source)
    code, printed = batch.run(write_jsonl(source, TABLE[1:]))
    assert code == 0
    assert "2 rows, 1 of them answered before." in printed
    assert len(batch.server.bodies) == len(batch.rows()) == 3


def test_failed_rows_are_repeated(batch: Batch) -> None:
    source = write_jsonl(batch.folder / "in.jsonl", TABLE)
    batch.failing = {"7"}
    code, printed = batch.run(source)
    assert code == 1
    assert "2 answered, 1 failed" in printed
    failed, *_ = batch.rows()
    assert (failed["id"], failed["status"], failed["answer"]) == ("07", "failed", None)
    assert failed["error"].startswith("LLMError: openai:/model returned status 400: Refused.")
    batch.failing.clear()
    assert batch.run(source)[0] == 0
    assert [(row["id"], row["status"]) for row in batch.rows()] == [
        (name, "answered") for name in ("07", "a", "b")
    ]
    assert len(batch.server.bodies) == 4


def test_incomplete_answers_are_named(batch: Batch) -> None:
    batch.server.choose = lambda _: Turn(text("It is"), finish_reason="length")
    code, printed = batch.run(write_jsonl(batch.folder / "in.jsonl", TABLE[:1]))
    assert code == 0, printed
    (row,) = batch.rows()
    assert (row["answer"], row["status"]) == ("It is", "answered")
    assert row["error"] == "The answer is incomplete: max_output_tokens."


def test_answers_with_half_of_a_surrogate_pair_are_stored(batch: Batch) -> None:
    batch.server.choose = lambda _: Turn(text("Well \ud83c"))
    code, printed = batch.run(write_jsonl(batch.folder / "in.jsonl", TABLE[:1]))
    assert code == 0, printed
    (row,) = batch.rows()
    assert row["answer"] == "Well \\ud83c"
    assert json.loads(row["output"])[0]["content"][0]["text"] == "Well \ud83c"


def test_a_busy_llm_gets_time(batch: Batch) -> None:
    source = write_jsonl(batch.folder / "in.jsonl", TABLE)
    busy = [Turn(status=429, error="Slow down.", headers={"retry-after": "0.1"}) for _ in range(4)]
    batch.server.choose = lambda body: busy.pop() if busy else batch.reply(body)
    code, printed = batch.run(source)
    assert code == 0, printed
    assert max(row["attempts"] for row in batch.rows()) > 1


def test_unusable_llm_stops_the_batch(batch: Batch) -> None:
    rows: list[Row] = [{"id": one, "question": f"Question {one}"} for one in range(200)]
    batch.failing = {row["question"] for row in rows}
    code, printed = batch.run(write_jsonl(batch.folder / "in.jsonl", rows), "--concurrency", "4")
    assert code == 1
    assert "questions failed in a row: LLMError: openai:/model returned status 400" in printed
    assert 20 <= len(batch.rows()) < 60
    assert len(batch.rows()) <= len(batch.server.bodies)


def test_invalid_rows_say_nothing_about_the_llm(batch: Batch) -> None:
    rows = [*invalid_rows(30), {"id": "valid", "question": "Hello"}]
    code, printed = batch.run(write_jsonl(batch.folder / "in.jsonl", rows), "--concurrency", "4")
    assert code == 1
    assert "1 answered, 30 failed in " in printed


def test_two_batches_with_one_output(batch: Batch) -> None:
    (batch.folder / "out").mkdir()
    source = write_jsonl(batch.folder / "in.jsonl", TABLE)
    with closing(sqlite3.connect(batch.folder / "out" / "_lock")) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        code, printed = batch.run(source)
    assert code == 1
    assert "Another batch writes to" in printed
    assert not batch.server.bodies
    assert batch.run(source)[0] == 0


def message(content: Any) -> Row:
    """Return a row with a message of the user."""
    return {"id": 1, "input": [{"role": "user", "content": content}]}


INVALID: list[tuple[list[Row], tuple[str, ...], str]] = [
    ([{"question": "a"}], (), "It needs 'id', and 'question' or 'input'"),
    ([{"id": 1, "text": "a"}], (), "It needs 'id', and 'question' or 'input'"),
    ([{"id": 1, "question": "a"}], ("--columns", "question=text"), "It needs 'id', and 'text'"),
    ([{"id": 1, "question": "a"}], ("--columns", "text=question"), "is invalid. Write COLUMN=NAME"),
    ([TABLE[0]], ("--columns", "custom_inputs=who"), "It lacks 'who', which --columns names."),
    ([TABLE[0]], ("--columns=id=id", "--columns=id=key"), "--columns names 'id' twice."),
    ([{"id": None, "question": "a"}], (), "Row 1 of the input: the id is missing."),
    ([{"id": 1.5, "question": "a"}], (), "Row 1 of the input: the id 1.5 must be a string or an"),
    (
        [{"id": "\ud800", "question": "a"}],
        (),
        "Row 1 of the input: the id contains invalid Unicode.",
    ),
    ([{"id": " ", "question": "a"}], (), "Row 1 of the input: the id is missing."),
    ([TABLE[0], TABLE[1] | {"id": "a"}], (), "Row 2 of the input has the id 'a', as an earlier"),
    ([TABLE[0], TABLE[1] | {"question": " "}], (), "Row 2 of the input: the question is empty."),
    ([{"id": 1, "question": 5}], (), "Row 1 of the input: the question 5 must be a string."),
    (
        [{"id": 1, "question": ["a"]}],
        (),
        "Row 1 of the input: the question ['a'] must be a string.",
    ),
    ([{"id": 1, "question": "\udc00"}], (), "Row 1 of the input: the question contains invalid"),
    ([message(" ")], (), "Row 1 of the input: the question is empty."),
    ([message([])], (), "Row 1 of the input: the question is empty."),
    (
        [message([{"type": "input_text", "text": ""}])],
        (),
        "Row 1 of the input: the question is empty",
    ),
    ([message([{"text": " "}])], (), "Row 1 of the input: the question is empty."),
    (
        [{"id": 1, "input": "[" * 100_000 + "]" * 100_000}],
        (),
        "Row 1 of the input: input has too many levels of nesting.",
    ),
    ([{"id": 1, "input": "{"}], (), "Row 1 of the input: input is invalid JSON"),
    ([{"id": 1, "input": "[]"}], (), "Row 1 of the input: the input has no items."),
    ([{"id": 1, "input": '[{"role": "user"}]'}], (), "Row 1 of the input: "),
    ([TABLE[0] | {"custom_inputs": "{"}], (), "Row 1 of the input: custom_inputs is invalid JSON"),
]


@pytest.mark.parametrize(("rows", "options", "words"), INVALID)
def test_invalid_tables(
    batch: Batch, rows: list[Row], options: tuple[str, ...], words: str
) -> None:
    code, printed = batch.run(write_jsonl(batch.folder / "in.jsonl", rows), *options)
    assert code == 1
    assert words in printed
    assert "Traceback" not in printed
    assert not batch.server.bodies
    assert not (batch.folder / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.jsonl", None, "does not exist. Check the path of the input; URLs"),
        ("in.xlsx", b"", "is not a table that a batch reads"),
        ("in.parquet", b"no parquet", "Cannot read"),
        ("in.jsonl", b'{"id": 1, "question": ', "in.jsonl: line 1, column 23: Expecting value."),
        ("in.jsonl", b"[1]\n", "in.jsonl: line 1: it is not a JSON object."),
        ("in.jsonl", b'{"id": 1, "question": "\xe9"}', "in.jsonl: it is not encoded in UTF-8."),
        ("in.jsonl", b"\n", "The input has no rows."),
        ("in.csv", b"id,question\n", "The input has no rows."),
        (
            "in.csv",
            b"id,question\n1,a,b\n",
            "line 2: the number of values is 3 instead of 2.",
        ),
        ("in.csv", b"id,question\n1\n", "line 2: the number of values is 1 instead of 2."),
        ("in.csv", b"id,question,id\n1,a,2\n", "in.csv: the header has a name twice."),
        ("in.csv", b"id,question\n1,\xff\n", "in.csv: it is not encoded in UTF-8."),
        ("in.csv", b'id,question\n1,"a\n2,b\n', "in.csv: line 3: unexpected end of data."),
    ],
)
def test_invalid_files(batch: Batch, name: str, content: bytes | None, words: str) -> None:
    source = batch.folder / name
    if content is not None:
        source.write_bytes(content)
    code, printed = batch.run(source)
    assert code == 1
    assert words in printed
    assert "Traceback" not in printed
    assert len([line for line in printed.splitlines() if line.startswith("error: ")]) == 1


def test_invalid_outputs(batch: Batch) -> None:
    source = write_jsonl(batch.folder / "in.jsonl", TABLE)
    out = batch.folder / "out"
    out.write_text("")
    assert "is a file. Choose another output." in batch.run(source)[1]
    out.unlink()
    (out / "status=answered").mkdir(parents=True)
    (out / "status=answered" / "notes.txt").write_text("Mine.")
    assert "contains files that a batch did not write" in batch.run(source)[1]
    (out / "notes.txt").write_text("Mine.")
    assert "contains 'notes.txt', which a batch did not write." in batch.run(source)[1]
    assert not batch.server.bodies


def test_output_in_the_folder_of_the_input(batch: Batch) -> None:
    write_folder(batch.folder / "in", TABLE)
    (batch.folder / "in" / "out").mkdir()
    (batch.folder / "out").symlink_to(batch.folder / "in" / "out")
    assert (
        "is in the folder of the input. Choose another output." in batch.run(batch.folder / "in")[1]
    )


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("s3://bucket/answers", "is a URL. Choose a folder of this machine as the output."),
        ("/proc/answers", "Cannot create /proc/answers: No such file or directory."),
        ("/dev/null", "/dev/null is a file."),
    ],
)
def test_outputs_elsewhere(batch: Batch, target: str, words: str) -> None:
    source = write_jsonl(batch.folder / "in.jsonl", TABLE)
    done = batch.commands.run("batch", str(source), target, **batch.environment)
    assert done.returncode == 1
    assert words in done.stderr


def test_killed_batch_continues(agent: Agent, batch: Batch) -> None:
    rows = [{"id": number, "question": f"Question {number}"} for number in range(120)]
    source = write_jsonl(batch.folder / "in.jsonl", rows)
    batch.server.choose = lambda body: replace(batch.reply(body), delay=0.05)
    out = batch.folder / "out"
    options = (str(source), str(out), "--rows-per-commit=5", "--concurrency=4")
    process = subprocess.Popen(
        [agent.folder / ".venv/bin/weather-agent", "batch", *options],
        cwd=agent.folder,
        env=clean_environment() | batch.environment,
        stderr=subprocess.PIPE,
    )
    with process:
        wait_for(lambda: len(list(out.glob("status=answered/part-*"))) > 3)
        process.send_signal(signal.SIGKILL)
    stored = len(batch.rows())
    assert 0 < stored < len(rows)
    code, printed = batch.run(source)
    assert code == 0, printed
    assert f"120 rows, {stored} of them answered before." in printed
    assert sorted(int(row["id"]) for row in batch.rows()) == list(range(120))


def test_unfinished_files_of_spark_are_deleted(batch: Batch) -> None:
    source = write_jsonl(batch.folder / "in.jsonl", TABLE)
    unfinished = batch.folder / "out/_temporary"
    unfinished.mkdir(parents=True)
    assert batch.run(source)[0] == 0
    assert not unfinished.exists()


def test_full_disk(package: Package, tmp_path: Path) -> None:
    output = package("ops.batch.output")
    answers = package("ops.batch.answers")
    target = tmp_path / "status=answered"
    target.mkdir()
    row = {"answer": "Hi", "output": "[]", "error": None, "attempts": 1, "seconds": 0.1}
    row |= {"input_tokens": 0, "output_tokens": 0, "trace_id": None, "status": "answered"}
    error = OSError(28, "No space left on device")

    def fail(*_: Any) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output.pq, "write_table", fail)
        with pytest.raises(Exception, match="No space left on device"):
            output.commit(tmp_path, [answers.Answer(id="a", **row)], "first")
    assert not list(target.iterdir())


class EvenAgent:
    """Answers even numbers, and fails at odd ones."""

    async def predict_stream_async(self, request: Any) -> AsyncIterator[Any]:
        """Yield the only item."""
        question = request.input[0].content
        if int(question) % 2:
            raise ValueError("odd")
        item = ResponsesAgent.create_text_output_item("Even", "msg_1")
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)


def run_ten_rows(package: Package, folder: Path) -> None:
    """Answer ten rows, four per commit."""
    rows: list[Row] = [{"id": one, "question": str(one)} for one in range(10)]
    source = write_jsonl(folder / "in.jsonl", rows)
    names = package("ops.batch.columns").column_names([])
    record = package("runtime.llm.usage").record_completions
    agent = package("ops.batch.agent").BatchAgent(EvenAgent(), record, lambda: None)
    batch = package("ops.batch.local").LocalBatch(source, folder / "out", names, 2, 4)
    batch.run(agent, package("commands.batch").ProgressLine("out"))


def interrupt_once(function: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    """Return a function that is interrupted before or after its effect when it is called first."""
    interrupted: list[bool] = []

    def interrupt(*arguments: Any) -> None:
        if interrupted:
            function(*arguments)
            return
        interrupted.append(True)
        if after:
            function(*arguments)
        raise KeyboardInterrupt

    return interrupt


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["write_table", "replace", "commit"])
def test_an_interrupted_commit_is_repeated(
    package: Package, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: str, after: bool
) -> None:
    owners = {"write_table": pq, "replace": Path, "commit": package("ops.batch.local")}
    function = getattr(owners[step], step)
    monkeypatch.setattr(owners[step], step, interrupt_once(function, after=after))
    with pytest.raises(KeyboardInterrupt):
        run_ten_rows(package, tmp_path)
    ids = [row["id"] for row in read_output(tmp_path / "out")]
    assert len(ids) == len(set(ids)) == 4
    run_ten_rows(package, tmp_path)
    rows = read_output(tmp_path / "out")
    assert [(row["id"], row["status"]) for row in rows] == [
        (str(one), "failed" if one % 2 else "answered") for one in range(10)
    ]


def test_failures_that_cannot_be_deleted(
    package: Package, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_ten_rows(package, tmp_path)
    error = PermissionError(13, "Permission denied")
    monkeypatch.setattr("shutil.os.rmdir", Mock(side_effect=error))
    with pytest.raises(RuntimeError, match=r"Cannot delete .*/status=failed: Permission denied\."):
        run_ten_rows(package, tmp_path)


def test_a_locked_database_of_a_tool_is_not_another_batch(package: Package, tmp_path: Path) -> None:
    error = sqlite3.OperationalError("database is locked")
    with pytest.raises(sqlite3.OperationalError), package("ops.batch.output").open_output(tmp_path):
        raise error


def test_disk_that_becomes_full(package: Package, tmp_path: Path) -> None:
    output = package("ops.batch.output")
    write_table = output.pq.write_table

    def write(table: pa.Table, path: Path) -> None:
        if "status=failed" in str(path):
            raise OSError(28, "No space left on device")
        write_table(table, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output.pq, "write_table", write)
        with pytest.raises(Exception, match="No space left on device"):
            run_ten_rows(package, tmp_path)
    ids = [row["id"] for row in read_output(tmp_path / "out")]
    assert ids
    assert len(ids) == len(set(ids))


def test_whole_completions_with_tools(batch: Batch) -> None:
    def answer(body: Row) -> Turn:
        if body["messages"][-1]["role"] == "tool":
            return Turn([{"content": "It is noon."}])
        return Turn(calls(("current_time", {"timezone": "UTC"})), finish_reason="tool_calls")

    batch.server.choose = answer
    code, printed = batch.run(write_jsonl(batch.folder / "in.jsonl", TABLE[:1]))
    assert code == 0, printed
    (row,) = batch.rows()
    kinds = ["function_call", "function_call_output", "message"]
    assert [item["type"] for item in json.loads(row["output"])] == kinds
    assert row["answer"] == "It is noon."
    assert [body["stream"] for body in batch.server.bodies] == [False, False]
    assert not any("stream_options" in body for body in batch.server.bodies)


def test_cells_without_a_value(batch: Batch) -> None:
    source = batch.folder / "in.csv"
    source.write_text('id,question,input,custom_inputs\n2026-01-01,"a ""b""",,\n', encoding="utf-8")
    assert batch.run(source)[0] == 0
    (row,) = batch.rows()
    assert (row["id"], row["answer"]) == ("2026-01-01", 'Answer to: a "b"')


def test_nested_columns(batch: Batch) -> None:
    items = [{"role": "user", "content": "Hi"}]
    items.append({"role": "user", "content": "Bye", "type": "message"})
    rows = [{"id": 1, "input": items, "custom_inputs": {"tenant": "acme"}}]
    rows.append({"id": 2, "input": items[:1], "custom_inputs": {"user": "ann"}})
    assert batch.run(write_parquet(batch.folder / "in.parquet", rows))[0] == 0
    assert [row["answer"] for row in batch.rows()] == ["Answer to: Bye", "Answer to: Hi"]


def make_delta(folder: Path) -> Path:
    """Write a Delta table with one version, as its protocol describes it."""
    folder.mkdir()
    write_parquet(folder / "part-0.parquet", TABLE)
    fields = [
        {"name": name, "type": "string", "nullable": True, "metadata": {}} for name in TABLE[0]
    ]
    schema = json.dumps({"type": "struct", "fields": fields})
    size = (folder / "part-0.parquet").stat().st_size
    actions = [
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {
            "metaData": {
                "id": "1",
                "format": {"provider": "parquet", "options": {}},
                "schemaString": schema,
                "partitionColumns": [],
                "configuration": {},
            }
        },
        {
            "add": {
                "path": "part-0.parquet",
                "partitionValues": {},
                "size": size,
                "modificationTime": 0,
                "dataChange": True,
            }
        },
    ]
    (folder / "_delta_log").mkdir()
    write_jsonl(folder / "_delta_log" / f"{0:020}.json", actions)
    return folder


def test_delta_tables(agent: Agent, batch: Batch) -> None:
    code, printed = batch.run(make_delta(batch.folder / "in"))
    assert code == 1
    assert "Run `uv sync --extra delta`." in printed
    python = f"--python={agent.folder / '.venv'}"
    agent.check("uv", "pip", "install", "--quiet", python, "deltalake>=1.0")
    try:
        command = ("weather-agent", "batch", str(batch.folder / "in"), str(batch.folder / "out"))
        agent.check(*command, **batch.environment)
        log = batch.folder / "in" / "_delta_log" / f"{0:020}.json"
        log.write_text("{", encoding="utf-8")
        done = agent.run(*command, **batch.environment)
        assert done.stderr.startswith(f"error: Cannot read the Delta table {batch.folder / 'in'}: ")
        assert len(done.stderr.splitlines()) == 1
    finally:
        agent.check("uv", "pip", "uninstall", "--quiet", python, "deltalake", "arro3-core")
    assert len(batch.rows()) == 3


def test_model_answers_with_its_own_code(agent: Agent, batch: Batch) -> None:
    with agent.patched("instructions.md", None, "You are the logged one."):
        logged = agent.check("weather-agent", "log", **batch.environment)
    (uri,) = re.findall(r"models:/\S+", logged)
    code, printed = batch.run(write_jsonl(batch.folder / "in.jsonl", TABLE), f"--model-uri={uri}")
    assert code == 0, printed
    assert {row["input_tokens"] for row in batch.rows()} == {3}
    prompts = [str(body["messages"][0]["content"]) for body in batch.server.bodies[-3:]]
    assert all(prompt.startswith("You are the logged one.") for prompt in prompts)


def test_unknown_model(batch: Batch) -> None:
    source = write_jsonl(batch.folder / "in.jsonl", TABLE)
    code, printed = batch.run(source, "--model-uri=models:/none/1")
    assert code == 1
    assert "error: Could not load models:/none/1" in printed
    assert len(printed.splitlines()) == 1


SYNCHRONOUS_AGENT = '''"""An agent whose answers wait for each other."""

from threading import Barrier

from mlflow.models import set_model
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentResponse

TOGETHER = Barrier(20)


class WaitingAgent(ResponsesAgent):
    def predict(self, request):
        TOGETHER.wait(timeout=30)
        item = self.create_text_output_item("Hi", "msg_1")
        return ResponsesAgentResponse(output=[item])


AGENT = WaitingAgent()
set_model(AGENT)
'''


def test_synchronous_agents_answer_at_the_same_time(agent: Agent, batch: Batch) -> None:
    rows: list[Row] = [{"id": one, "question": "Hi"} for one in range(20)]
    source = write_jsonl(batch.folder / "in.jsonl", rows)
    with agent.patched("agent.py", None, SYNCHRONOUS_AGENT):
        command = ("weather-agent", "batch", str(source), str(batch.folder / "out"))
        agent.check(*command, "--concurrency=20", **batch.environment)
    assert [row["answer"] for row in batch.rows()] == ["Hi"] * 20


def test_without_traces(batch: Batch) -> None:
    source = write_jsonl(batch.folder / "in.jsonl", TABLE)
    assert batch.run(source, "--traces-per-second=0")[0] == 0
    assert {row["trace_id"] for row in batch.rows()} == {None}
    with closing(sqlite3.connect(batch.folder / "mlflow.db")) as store:
        assert store.execute("SELECT count(*) FROM trace_info").fetchone() == (0,)


def test_traces_are_sampled(batch: Batch) -> None:
    rows: list[Row] = [{"id": one, "question": "Hi"} for one in range(40)]
    batch.run(write_jsonl(batch.folder / "in.jsonl", rows), "--traces-per-second=2")
    traced = [row["trace_id"] for row in batch.rows() if row["trace_id"]]
    assert 2 <= len(traced) < 30
    with closing(sqlite3.connect(batch.folder / "mlflow.db")) as store:
        stored = store.execute("SELECT request_id FROM trace_info").fetchall()
    assert sorted(traced) == sorted(name for (name,) in stored)


def test_traces_have_the_request_and_the_answer(batch: Batch) -> None:
    batch.run(write_jsonl(batch.folder / "in.jsonl", TABLE[:1]))
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{batch.folder / 'mlflow.db'}"}
    done = batch.commands.run("evaluate", "--from-traces", "", **store)
    assert json.loads(done.stdout)["inputs"] == {"turns": ["One, two"]}, done.stderr


def test_a_longer_pause_delays_the_rows_that_wait(package: Package) -> None:
    limit = package("ops.batch.rate").RateLimit(8)

    async def start_of_a_row() -> float:
        async with limit.slot():
            return asyncio.get_running_loop().time()

    async def refuse_twice() -> float:
        limit.refused(0.05)
        row = asyncio.create_task(start_of_a_row())
        await asyncio.sleep(0.01)
        limit.refused(0.5)
        end = asyncio.get_running_loop().time() + 0.4
        return await row - end

    assert asyncio.run(refuse_twice()) > 0


def test_bound_halves_once_per_pause_and_grows_again(package: Package) -> None:
    limit = package("ops.batch.rate").RateLimit(8)

    async def refuse_and_answer() -> None:
        for _ in range(3):
            limit.refused(30)
        assert limit.current == 4
        for _ in range(5):
            limit.succeeded()
        assert 5 <= limit.current < 5.2

    asyncio.run(refuse_and_answer())
