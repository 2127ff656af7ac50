"""Agents of each framework: what a new user does with one, and the whole contract."""

import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError

from tests.batch.conftest import read_output
from tests.conftest import Render
from tests.contract.verify import results_of
from tests.frameworks.answers import answer_of, answer_to, llm_settings
from tests.helpers.agents import Agent, install
from tests.helpers.model_server import ChatServer, Turn, calls, chat_server, text
from tests.helpers.template import QUESTIONS
from tests.server.serving import TOKYO, Served, serving

FRAMEWORKS = [name for name in QUESTIONS["framework"]["choices"].values() if name != "openai"]
# Closes streams and cancels their tasks after each number of events, cancels others at each of the
# first turns of the event loop, and prints what is left, or is closed as garbage.
EARLY_ENDS = """
import asyncio, gc, sys
from contextlib import aclosing
from mlflow.types.responses import ResponsesAgentRequest
from weather_agent.agent import AGENT

REQUEST = ResponsesAgentRequest(input=[{"role": "user", "content": "What time is it in Tokyo?"}])
problems = []


async def read(stop, wait):
    number = 0
    async with aclosing(AGENT.predict_stream_async(REQUEST)) as events:
        async for _ in events:
            number += 1
            if number == stop and wait:
                await asyncio.Event().wait()
            if number == stop:
                break


async def cancel(reading):
    reading.cancel()
    await asyncio.wait([reading])


async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: problems.append(context))
    finalize = sys.get_asyncgen_hooks().finalizer

    def note(generator):
        path = generator.ag_code.co_filename
        if "weather_agent/" in path and "/llm/" not in path:
            problems.append(generator.ag_code.co_qualname)
        finalize(generator)

    sys.set_asyncgen_hooks(finalizer=note)
    for stop in range(1, 12):
        await read(stop, wait=False)
        reading = asyncio.create_task(read(stop, wait=True))
        await asyncio.wait([reading], timeout=0.05)
        await cancel(reading)
    for turns in range(100):
        reading = asyncio.create_task(read(0, wait=False))
        for _ in range(turns):
            await asyncio.sleep(0)
        await cancel(reading)
    gc.collect()
    for _ in range(100):
        if len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.1)
    print(problems, len(asyncio.all_tasks()) - 1)


asyncio.run(main())
"""
COUNT_PIECES = """
from importlib import import_module
import sys

from mlflow.types.responses import ResponsesAgentRequest

from weather_agent.agent import AGENT

adapter = import_module(f"weather_agent.runtime.{sys.argv[1]}")
delta_event = adapter.delta_event
pieces = []


def record(text, *arguments, **options):
    pieces.append(text)
    return delta_event(text, *arguments, **options)


adapter.delta_event = record
request = ResponsesAgentRequest(input=[{"role": "user", "content": "Hello"}])
AGENT.predict(request)
print(len(pieces))
pieces.clear()
list(AGENT.predict_stream(request))
print(len(pieces) > 1)
"""
TEXT: Any = [{"type": "input_text", "text": "Hello"}]
MODULES = {
    "openai-agents": ("openai_agents", "from agents import"),
    "langgraph": ("langgraph", "langchain"),
    "pydantic-ai": ("pydantic_ai",),
    "dspy": ("dspy",),
}


@pytest.fixture(scope="module", params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def agent(framework: str, render: Render, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """An agent of the framework, installed."""
    folder = tmp_path_factory.mktemp(framework) / "weather-agent"
    shutil.copytree(render(framework=framework), folder)
    return install(folder)


@pytest.fixture(scope="module")
def served(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The agent behind `serve`, with the offline LLM."""
    with serving(agent, tmp_path_factory.mktemp("serve")) as running:
        yield running


def test_every_rule_passes(agent: Agent) -> None:
    results = results_of(agent)
    assert {name: found for name, (result, found) in results.items() if result != "passed"} == {}


def test_own_tests_types_and_lint_pass(agent: Agent) -> None:
    agent.check("pytest", "-q", "tests/test_agent.py")
    agent.check("ruff", "check")
    agent.check("ruff", "format", "--check")
    agent.check("ty", "check", "--error-on-warning")


def test_a_question_is_answered_with_a_tool(agent: Agent, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    done = agent.run("weather-agent", "ask", TOKYO, MLFLOW_TRACKING_URI=store)
    assert done.returncode == 0, done.stderr
    assert "current_time says: " in done.stdout
    lines = done.stderr.splitlines()
    assert all(line.startswith(("→ current_time(", "← ")) for line in lines), done.stderr


def test_four_turns_with_the_openai_client(served: Served) -> None:
    client, items = served.client(), []
    for question in (TOKYO, "Hello", "How many days between 2026-01-31 and 2026-03-01?", "Thanks"):
        items.append({"role": "user", "content": question})
        response = client.responses.create(model="weather-agent", input=items)
        assert response.output_text
        items += [item.model_dump(exclude_none=True) for item in response.output]
    assert [item["name"] for item in items if item.get("type") == "function_call"] == [
        "current_time",
        "days_between",
    ]


def test_a_stream_arrives_word_by_word(served: Served) -> None:
    events = list(served.events({"input": TOKYO}))
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert len(deltas) > 5
    assert events[-1]["type"] == "response.completed"


def test_a_whole_answer_is_one_piece(framework: str, agent: Agent) -> None:
    counts = agent.check("python", "-c", COUNT_PIECES, MODULES[framework][0]).split()
    assert counts == ["1", "True"]


def test_an_image_reaches_the_llm(served: Served) -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    content: Any = [{"type": "input_text", "text": "Look at"}, image]
    response = served.client().responses.create(
        model="weather-agent", input=[{"role": "user", "content": content}]
    )
    assert "Look at [image_url]" in response.output_text


def test_items_of_other_apis_are_made_valid(served: Served) -> None:
    """The offline LLM refuses what OpenAI's chat completions refuse."""
    call_id, name = f"call_{'x' * 60}", "files.read"
    image = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    outputs = [{"text": "Done."}, image]
    items: Any = [
        {"role": "user", "content": " "},
        {"type": "function_call", "call_id": call_id, "name": name, "arguments": "{'a'}"},
        {"type": "function_call_output", "call_id": call_id, "output": ""},
        {"type": "function_call", "call_id": "call_2", "name": "", "arguments": "[1]"},
        {"type": "function_call_output", "call_id": "call_2", "output": outputs},
        {"role": "user", "content": [{"type": "input_text", "text": " "}, *TEXT]},
    ]
    response = served.client().responses.create(model="weather-agent", input=items)
    assert "Hello" in response.output_text


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
    ],
)
def test_a_part_that_cannot_be_sent_is_an_error_of_the_caller(served: Served, part: Any) -> None:
    with pytest.raises(BadRequestError, match="Send"):
        served.client().responses.create(
            model="weather-agent", input=[{"role": "user", "content": [*TEXT, part]}]
        )


def test_an_image_for_the_agent_is_an_error_of_the_caller(served: Served) -> None:
    image = {"type": "input_image", "image_url": "https://example.com/map.png"}
    items: Any = [{"role": "developer", "content": [image]}, {"role": "user", "content": "Hello"}]
    with pytest.raises(BadRequestError, match="only in messages of the user"):
        served.client().responses.create(model="weather-agent", input=items)


def test_an_image_in_an_answer_is_named(agent: Agent, server: ChatServer) -> None:
    image = {"type": "input_image", "image_url": "https://example.com/map.png"}
    question = {"role": "user", "content": "Hello"}
    server.reply(text("Welcome"))
    answer_to(agent, server, [question, {"role": "assistant", "content": [image]}, question])
    assert "(image)" in str(server.bodies[-1]["messages"][2]["content"])


@pytest.mark.parametrize("framework", ["pydantic-ai"], indirect=True, scope="module")
@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("JVBERi0=", "must be a data URI"),
        ("data:text/plain;base64,//4=", "must be UTF-8"),
        ("data:application/json;base64,//4=", "must be UTF-8"),
        ("data:application/x-unknown;base64,//4=", "must be UTF-8"),
        ("data:;base64,A", "must be a data URI"),
        ("data:audio/flac;base64,AAAA", "audio/flac cannot be sent"),
        ("data:video/mp4;base64,AAAA", "video/mp4 cannot be sent"),
    ],
)
def test_an_invalid_file_is_an_error_of_the_caller(served: Served, data: str, problem: str) -> None:
    with pytest.raises(BadRequestError, match=problem):
        send_file(served, data)


@pytest.mark.parametrize("framework", ["pydantic-ai"], indirect=True, scope="module")
@pytest.mark.parametrize(
    ("kind", "received"),
    [
        *[(kind, "Hello") for kind in ("", "text/plain", "application/json", "application/x-own")],
        ("application/pdf", "[file]"),
        ("image/png", "[image_url]"),
        ("audio/mpeg", "[input_audio]"),
    ],
)
def test_files_that_the_llm_receives(served: Served, kind: str, received: str) -> None:
    assert received in send_file(served, f"data:{kind};base64,SGVsbG8=")


def send_file(served: Served, data: str) -> str:
    """Send a file as the only part of a message, and return the text of the answer."""
    content: Any = [{"type": "input_file", "file_data": data, "filename": "a.txt"}]
    message: Any = {"role": "user", "content": content}
    return served.client().responses.create(model="weather-agent", input=[message]).output_text


def test_streams_that_end_early_leave_nothing(agent: Agent) -> None:
    assert agent.check("python", "-c", EARLY_ENDS, AGENT_LLM="offline:/demo").strip() == "[] 0"


def test_several_calls_have_their_outputs_in_order(agent: Agent, server: ChatServer) -> None:
    requests = [("days_between", {"start": "2026-01-31", "end": "2026-03-01"})]
    requests += [("current_time", {"place": "Tokyo"}), ("no_such_tool", {}), requests[0]]
    server.reply(Turn(calls(*requests), usage=usage(7)), Turn(text("It is"), usage=usage(5)))
    output, body = answer_of(agent, server)
    kinds = [item["type"] for item in output]
    called = [item for item in output if item["type"] == "function_call"]
    outputs = [item for item in output if item["type"] == "function_call_output"]
    assert kinds[-1] == "message"
    assert [one["call_id"] for one in called] == [one["call_id"] for one in outputs]
    assert (outputs[0]["output"], outputs[3]["output"]) == ("29", "29")
    assert "no_such_tool" in outputs[2]["output"]
    assert body["usage"]["total_tokens"] == 12


def test_the_last_round_allows_no_calls(agent: Agent, server: ChatServer) -> None:
    call = calls(("current_time", {"place": "Tokyo"}))
    server.reply(*[call] * 7, text("Nine"))
    output, _ = answer_of(agent, server)
    assert output[-1]["content"][0]["text"] == "Nine"
    choices = [body.get("tool_choice", "auto") for body in server.bodies[-8:]]
    assert choices == [*["auto"] * 7, "none"]


def test_a_tool_that_fails_tells_the_llm_why(agent: Agent, server: ChatServer) -> None:
    server.reply(calls(("current_time", {"place": "Nowhere"})), text("Sorry"))
    answer_of(agent, server)
    assert "No time zone is named after 'Nowhere'" in json.dumps(server.bodies[-1]["messages"])


# Prints the text, the usage and the type of the chunks of each kind of completion.
COMPLETIONS = """
import asyncio
from contextlib import suppress
from weather_agent.runtime.llm import LLMError, connect
from weather_agent.runtime.llm.transport import openai_client, select_llm

client = openai_client().chat.completions
question = {"model": "llm", "messages": [{"role": "user", "content": "Hello"}]}


async def read(stream):
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    return text, chunks[-1].usage.total_tokens, type(chunks[0]).__name__


async def main():
    select_llm(connect("offline:/demo", timeout=5, max_retries=0))
    whole = await client.create(**question)
    print((whole.choices[0].message.content, whole.usage.total_tokens, "ChatCompletionChunk"))
    print(await read(await client.create(**question, stream=True)))
    raw = await client.with_raw_response.create(**question, stream=True)
    print(await read(raw.parse()))
    with suppress(LLMError):
        await read(await client.create(**question, stream=True, extra_body={"top_p": 3}))
        print("An option in extra_body was lost.")


asyncio.run(main())
"""


def test_a_client_gets_the_same_completion_in_each_way(agent: Agent) -> None:
    whole, *streams = agent.check("python", "-c", COMPLETIONS).strip().split("\n")
    assert "offline LLM" in whole
    assert streams == [whole, whole]


SYNCHRONOUS = """
import contextlib
from weather_agent.runtime.langgraph import chat_model
for call in (lambda: chat_model().invoke("Hello"), lambda: list(chat_model().stream("Hello"))):
    with contextlib.suppress(TypeError):
        call()
        raise SystemExit("It called another client.")
"""


# Sends a tool message with an image, as tools of LangChain may return it.
IMAGE_OF_A_TOOL = """
import asyncio
from weather_agent.runtime.llm import connect
from weather_agent.runtime.llm.transport import openai_client, select_llm

call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
image = {"type": "image_url", "image_url": {"url": "https://example.com/1.png"}}
output = [{"type": "text", "text": "A map:"}, image]
messages = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": None, "tool_calls": [call]},
    {"role": "tool", "tool_call_id": "call_1", "content": output},
]


async def main():
    select_llm(connect("openai:/m", timeout=5, max_retries=0))
    await openai_client().chat.completions.create(model="llm", messages=messages)


asyncio.run(main())
"""


def test_an_image_of_a_tool_is_named(agent: Agent, server: ChatServer) -> None:
    server.reply(text("Hello"))
    settings = llm_settings(server) | {"OPENAI_API_KEY": "key"}
    agent.check("python", "-c", IMAGE_OF_A_TOOL, **settings)
    assert server.bodies[-1]["messages"][-1]["content"] == "A map:\n(image)"


@pytest.mark.parametrize("framework", ["langgraph"], indirect=True, scope="module")
def test_a_graph_cannot_call_another_client(agent: Agent) -> None:
    agent.check("python", "-c", SYNCHRONOUS, OPENAI_API_KEY="none", OPENAI_BASE_URL="http://[::1]")


@pytest.mark.parametrize("framework", ["openai-agents"], indirect=True, scope="module")
def test_a_handoff_is_a_call_with_an_output(agent: Agent, server: ChatServer) -> None:
    billing = 'agents.Agent(name="billing", instructions="Bill them.", model=chat_model())'
    server.reply(calls(("transfer_to_billing", {})), text("Billing speaking"))
    with agent.patched("agent.py", "    tools=tools", f"    handoffs=[{billing}], tools=tools"):
        output, _ = answer_of(agent, server)
    assert [item["type"] for item in output] == ["function_call", "function_call_output", "message"]
    assert output[0]["call_id"] == output[1]["call_id"]
    assert "Bill them." in json.dumps(server.bodies[-1]["messages"])


def test_reasoning_is_an_item_before_what_follows(agent: Agent, server: ChatServer) -> None:
    thoughts = [{"reasoning_content": "A place "}, {"reasoning_content": "in Japan."}]
    server.reply(
        [*thoughts, *calls(("current_time", {"place": "Tokyo"}))],
        [{"reasoning_content": "Late."}, *text("It is")],
    )
    output, _ = answer_of(agent, server)
    kinds = ["reasoning", "function_call", "function_call_output", "reasoning", "message"]
    assert [item["type"] for item in output] == kinds
    assert [item["summary"][0]["text"] for item in output[::3]] == ["A place in Japan.", "Late."]


@pytest.fixture(scope="module")
def served_with_server(
    agent: Agent, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, ChatServer]]:
    """The agent behind `serve`, with the fake LLM."""
    folder = tmp_path_factory.mktemp("serve")
    with chat_server() as server, serving(agent, folder, **llm_settings(server)) as running:
        yield running, server


def test_a_text_before_a_call_is_streamed_once(
    served_with_server: tuple[Served, ChatServer],
) -> None:
    served, server = served_with_server
    server.reply(
        [*text("Let me check"), *calls(("current_time", {"place": "Tokyo"}))], text("It is")
    )
    events = list(served.events({"input": TOKYO}))
    deltas = [one["delta"] for one in events if one["type"] == "response.output_text.delta"]
    assert "".join(deltas) == "LetmecheckItis"
    added = [one for one in events if one["type"] == "response.output_item.added"]
    assert [one["output_index"] for one in added] == [0, 1, 2, 3]
    kinds = ["message", "function_call", "function_call_output", "message"]
    assert [item["type"] for item in events[-1]["response"]["output"]] == kinds
    assert server.bodies[-1]["messages"][-2]["content"] == "Letmecheck"


def test_reasoning_after_the_start_of_a_text_follows_the_message(
    served_with_server: tuple[Served, ChatServer],
) -> None:
    served, server = served_with_server
    deltas = [*text("It"), {"reasoning_content": "Late."}, *text("is late")]
    server.reply(Turn(deltas, seconds_between=0.2))  # the text arrives before the reasoning
    events = list(served.events({"input": TOKYO}))
    added = [one for one in events if one["type"] == "response.output_item.added"]
    assert [one["item"]["type"] for one in added] == ["message", "reasoning"]
    message, _ = events[-1]["response"]["output"]
    assert message["content"][0]["text"] == "Itislate"


def test_white_space_before_a_call_is_no_message(agent: Agent, server: ChatServer) -> None:
    blank = [{"content": "\n"}, {"content": "\n"}]
    server.reply([*blank, *calls(("current_time", {"place": "Tokyo"}))], [*blank, *text("It is")])
    output, _ = answer_of(agent, server)
    kinds = ["function_call", "function_call_output", "message"]
    assert [item["type"] for item in output] == kinds
    assert output[-1]["content"][0]["text"] == "\n\nItis"


def test_citations_are_annotations(agent: Agent, server: ChatServer) -> None:
    source = {"url": "https://example.com", "title": "Clocks"}
    annotation = {"type": "url_citation", "url_citation": source}
    server.reply([*text("It is"), {"annotations": [annotation]}])
    (message,), _ = answer_of(agent, server)
    (found,) = message["content"][0]["annotations"]
    assert found["url"] == "https://example.com"


def test_messages_arrive_as_the_llm_accepts_them(
    served_with_server: tuple[Served, ChatServer],
) -> None:
    served, server = served_with_server
    server.reply(text("It is"))
    image = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    call = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"}
    items: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [*TEXT, image | {"detail": "low"}]},
        {"role": "assistant", "content": "Let me look."},
        call,
        {"type": "function_call_output", "call_id": "call_1", "output": [*TEXT, image]},
        {"role": "user", "content": "And now?"},
    ]
    served.client().responses.create(model="weather-agent", input=items)
    messages = server.bodies[-1]["messages"]
    assert "developer" not in [message["role"] for message in messages]
    assert "Be brief." in json.dumps(messages)
    assert '"detail": "low"' in json.dumps(messages)
    (answer,) = [message for message in messages if message["role"] == "assistant"]
    assert (answer["content"], len(answer["tool_calls"])) == ("Let me look.", 1)
    (output,) = [message for message in messages if message["role"] == "tool"]
    assert output["content"].replace("\\n", "\n") == "Hello\n(image)"


@pytest.mark.parametrize("name", ["config", "run_manager", "context", "ctx"])
def test_tools_may_have_arguments_of_any_name(agent: Agent, server: ChatServer, name: str) -> None:
    code = f'def find({name}: str) -> str:\n    """Find it."""\n    return {name}.upper()\n\n\n'
    server.reply(calls(("find", {name: "a lamp"})), text("It is"))
    with agent.patched("tools.py", "TOOLS = [", f"{code}TOOLS = [find, "):
        answer_of(agent, server)
    assert server.bodies[-1]["messages"][-1]["content"] == "A LAMP"


def test_a_refusal_is_the_answer(agent: Agent, server: ChatServer) -> None:
    server.reply([{"refusal": "I cannot "}, {"refusal": "do that."}])
    (message,), _ = answer_of(agent, server)
    assert message["content"][0]["text"] == "I cannot do that."


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_message_that_is_cut_off_is_incomplete(
    agent: Agent, server: ChatServer, reason: str
) -> None:
    server.reply(Turn(text("It is"), finish_reason=reason))
    (message,), body = answer_of(agent, server)
    assert (message["status"], body["status"]) == ("incomplete", "incomplete")


def test_an_evaluation_passes(agent: Agent, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    done = agent.run("weather-agent", "evaluate", MLFLOW_TRACKING_URI=store)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr


def test_an_evaluation_counts_tokens_once(agent: Agent, server: ChatServer, tmp_path: Path) -> None:
    server.choose = lambda _: Turn(text("It is"), usage=usage(5))
    environment = {"AGENT_LLM": "openai:/model", "OPENAI_BASE_URL": f"{server.url}/v1"}
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    done = agent.run(
        "weather-agent", "evaluate", "--json", MLFLOW_TRACKING_URI=store, **environment
    )
    rows = json.loads(done.stdout)["rows"]
    assert [row["scores"]["total_tokens"]["value"] for row in rows] == [
        5 * len(row["case"]["inputs"]["turns"]) for row in rows
    ]


def test_a_batch_counts_tokens(agent: Agent, server: ChatServer, tmp_path: Path) -> None:
    server.choose = lambda body: Turn(text("Hi"), usage=usage(5))
    rows = [{"id": number, "question": "Hello"} for number in range(20)]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    environment = {"AGENT_LLM": "openai:/model", "OPENAI_BASE_URL": server.url}
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    command = ("weather-agent", "batch", str(source), str(tmp_path / "out"))
    agent.check(*command, **environment, MLFLOW_TRACKING_URI=store)
    answers = read_output(tmp_path / "out")
    assert [row["answer"] for row in answers] == ["Hi"] * 20
    expected = usage(5)
    tokens = {(row["input_tokens"], row["output_tokens"]) for row in answers}
    assert tokens == {(expected["prompt_tokens"], expected["completion_tokens"])}


def test_nothing_of_other_frameworks_is_rendered(framework: str, agent: Agent) -> None:
    settings = tomllib.loads((agent.folder / "pyproject.toml").read_text(encoding="utf-8"))
    others = [name for one in FRAMEWORKS if one != framework for name in MODULES[one]]
    texts = [path.read_text("utf-8") for path in agent.folder.glob("src/**/*.py")]
    texts += [(agent.folder / name).read_text("utf-8") for name in ("README.md", "AGENTS.md")]
    texts.append(str(settings))
    found = [name for name in others if any(name in one.casefold() for one in texts)]
    assert found == []
    assert len((agent.package / "agent.py").read_text("utf-8").splitlines()) <= 90


def usage(tokens: int) -> dict[str, int]:
    """Return the usage of a completion."""
    return {"prompt_tokens": tokens - 1, "completion_tokens": 1, "total_tokens": tokens}
