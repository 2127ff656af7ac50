"""`serve`: the agent over HTTP, as clients of the Responses API meet it, and what goes wrong."""

import json
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import Package
from tests.contract.breakages.changes import in_agent, while_answering
from tests.helpers.agents import Agent
from tests.helpers.model_server import ChatServer, Turn, text
from tests.server.serving import (
    HELLO,
    TOKYO,
    Serve,
    Served,
    free_port,
    runs,
    spoken,
    store_in,
    stored_traces,
    tells_nothing,
    wait_until,
)


def test_the_client_of_the_api_gets_a_whole_response(served: Served) -> None:
    answer = served.client().responses.create(model="agent", input=TOKYO)
    assert re.fullmatch(r"resp_\w+", answer.id)
    assert (answer.status, answer.model, answer.object) == (
        "completed",
        "weather-agent",
        "response",
    )
    assert abs(answer.created_at - time.time()) < 60
    assert "Asia/Tokyo" in answer.output_text
    kinds = [item.type for item in answer.output]
    assert kinds == ["function_call", "function_call_output", "message"]


def test_the_client_of_the_api_reads_a_stream(served: Served) -> None:
    with served.client().responses.stream(model="agent", input=TOKYO) as stream:
        events = list(stream)
        answer = stream.get_final_response()
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == answer.output_text
    assert "Asia/Tokyo" in said


def test_the_client_of_the_api_is_told_of_tokens(server: ChatServer, serve: Serve) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    server.say(Turn(text("Hello"), usage=usage))
    client = serve(OPENAI_BASE_URL=f"{server.url}/v1", AGENT_LLM="openai:/fake").client()
    whole = client.responses.create(model="agent", input="Hello")
    with client.responses.stream(model="agent", input="Hello") as stream:
        streamed = stream.get_final_response()
    for answer in (whole, streamed):
        assert answer.usage
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 2)
        assert answer.usage.total_tokens == 9


def test_only_streams_ask_balancers_to_hold_nothing_back(served: Served) -> None:
    streamed = served.post(HELLO | {"stream": True}).headers
    assert (streamed["x-accel-buffering"], streamed["cache-control"]) == ("no", "no-cache")
    assert not {"x-accel-buffering", "cache-control"} & served.post(HELLO).headers.keys()


def test_events_are_numbered_and_in_their_places(served: Served) -> None:
    *events, last = served.events({"input": TOKYO})
    assert [event["sequence_number"] for event in [*events, last]] == [*range(len(events) + 1)]
    done = [event for event in events if event["type"] == "response.output_item.done"]
    assert [event["output_index"] for event in done] == [0, 1, 2]
    assert last["response"]["output"] == [event["item"] for event in done]
    begun = [event for event in events if event["type"] == "response.output_item.added"]
    assert [event["item"]["id"] for event in begun] == [event["item"]["id"] for event in done]


def test_a_stream_begins_with_its_trace_for_those_who_ask(served: Served) -> None:
    begun, *_ = served.events({"input": TOKYO})
    assert begun["response"]["metadata"] == {}
    begun, *_, ended, last = served.events({"input": TOKYO}, **{"x-mlflow-return-trace-id": "true"})
    assert begun["response"]["metadata"] == ended["response"]["metadata"] == last
    assert re.fullmatch(r"tr-\w+", last["trace_id"])


def test_a_conversation_goes_on_with_the_items_sent_back(served: Served) -> None:
    client = served.client()
    first = client.responses.create(model="agent", input=TOKYO)
    turns: Any = [{"role": "user", "content": TOKYO}]
    turns += [item.model_dump(exclude_none=True) for item in first.output]
    turns += [{"role": "user", "content": "What time is it in Paris?"}]
    assert "Europe/Paris" in client.responses.create(model="agent", input=turns).output_text


def test_both_routes_answer_and_the_contract_holds(agent: Agent, served: Served) -> None:
    assert spoken(served.post(HELLO, "invocations").json())
    printed = agent.check("weather-agent", "verify", "--url", served.url)
    (held, rest) = re.findall(r"^(\d+) of \d+ rules hold(.*)", printed, re.MULTILINE)[0]
    assert int(held) >= 15
    assert "broken" not in rest


def test_a_failing_llm_is_an_error_that_tells_nothing(server: ChatServer, serve: Serve) -> None:
    served = serve()
    server.say(Turn(status=400, error="secret-7 of /opt/model.py"))
    response = served.post(HELLO)
    assert response.status_code == 502
    (name,) = re.findall(r"at failure (\w+)", response.text)
    events = list(served.events(HELLO))
    assert [event["type"] for event in events] == ["response.created", "error", "response.failed"]
    for told in (response.text, json.dumps(events)):
        assert tells_nothing(told)
        assert "secret-7" not in told
    log = served.log.read_text(encoding="utf-8")
    assert f"Failure {name}" in log
    assert "secret-7" in log
    server.say(text("Good day"))
    assert spoken(served.post(HELLO).json()) == "Goodday"


def test_a_failure_is_told_once_in_the_log_and_in_its_trace(
    server: ChatServer, serve: Serve, tmp_path: Path
) -> None:
    served = serve()
    server.say(Turn(status=400, error="No such tool"))
    assert served.post(HELLO).status_code == 502
    assert [event["type"] for event in served.events(HELLO)][-1] == "response.failed"
    assert served.stop()
    log = served.log.read_text(encoding="utf-8")
    assert (log.count("Failure"), log.count("Error in")) == (2, 0)
    assert {trace.info.state for trace in stored_traces(store_in(tmp_path))} == {"ERROR"}


def test_a_request_that_the_agent_refuses_is_its_senders_to_mend(
    agent: Agent, server: ChatServer, serve: Serve
) -> None:
    refusing = """        if not request.custom_inputs:
            raise RequestError("Say in custom_inputs.tenant whose question it is.")
"""
    patches = [
        while_answering(refusing),
        in_agent("    done_item,\n", "    RequestError,\n    done_item,\n"),
    ]
    server.say(text("Good day"))
    with agent.changed(patches):
        served = serve()
    refused = served.post(HELLO)
    *_, error, failed = served.events(HELLO)
    assert refused.status_code == 400
    for said in (
        refused.json()["detail"],
        error["message"],
        failed["response"]["error"]["message"],
    ):
        assert said == "Say in custom_inputs.tenant whose question it is."
    assert error["code"] == failed["response"]["error"]["code"] == "invalid_prompt"
    assert served.post(HELLO | {"custom_inputs": {"tenant": "a"}}).status_code == 200
    assert "Traceback" not in served.log.read_text(encoding="utf-8")
    assert len(server.bodies) == 1


def test_a_failure_has_the_status_of_its_cause(package: Package) -> None:
    server = package("server")
    for kind, status in ((package("llm").LLMError, 502), (TimeoutError, 504), (KeyError, None)):
        exchange = package("guard").Exchange()
        package("guard").current_exchange.set(exchange)
        assert "secret-7" not in server.told(kind("secret-7"))
        assert exchange.failure == status


def test_each_request_has_a_line_in_the_log(server: ChatServer, serve: Serve) -> None:
    served = serve(AGENT_TOKEN="of-the-server")
    server.say(Turn(text("Good day"), silent_for=0.3))
    token = {"Authorization": "Bearer of-the-server"}
    served.post(HELLO, headers=token)
    served.post(HELLO | {"stream": True}, "invocations", headers=token)
    served.post({"input": []}, headers=token)
    served.post(HELLO)
    line = r"POST (\S+) (\d+): ([\d.]+) s, first event after (?:([\d.]+) s|-), trace (\S+)$"
    wait_until(lambda: len(re.findall(line, served.log.read_text("utf-8"), re.MULTILINE)) == 4)
    lines = re.findall(line, served.log.read_text("utf-8"), re.MULTILINE)
    assert [(path, status) for path, status, *_ in lines] == [
        ("/responses", "200"),
        ("/invocations", "200"),
        ("/responses", "400"),
        ("/responses", "401"),
    ]
    for _, _, whole, first, _ in lines[:2]:
        assert 0.3 <= float(first) <= float(whole)
    assert [(first, trace) for *_, first, trace in lines[2:]] == [("", "none")] * 2
    store = f"sqlite:///{served.log.parent / 'mlflow.db'}"
    assert served.stop()
    traces = {trace.info.trace_id for trace in stored_traces(store)}
    assert {trace for *_, trace in lines[:2]} == traces


def test_a_store_that_is_down_at_the_start_fails_no_request(
    serve: Serve, server: ChatServer
) -> None:
    server.say(text("Good day"))
    served = serve(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    assert spoken(served.post(HELLO).json()) == "Goodday"
    log = served.log.read_text(encoding="utf-8")
    assert log.count("nothing is traced") == 1
    assert "Retrying" not in log


def test_several_processes_share_the_work_and_a_new_store(serve: Serve, tmp_path: Path) -> None:
    new = f"sqlite:///{tmp_path / 'new.db'}"
    served = serve("--workers=2", AGENT_LLM="offline:/demo", MLFLOW_TRACKING_URI=new)
    answers = [spoken(served.post(HELLO).json()) for _ in range(6)]
    assert len(set(answers)) == 1
    family = served.family()
    assert served.stop()
    wait_until(lambda: not any(map(runs, family)))
    lines = re.findall(r"INFO POST /responses 200: .*", served.log.read_text(encoding="utf-8"))
    assert len(lines) == 6


def test_it_starts_anew_when_the_package_changes(agent: Agent, serve: Serve) -> None:
    served = serve("--reload", AGENT_LLM="offline:/demo")
    project, instructions = agent.package / "project.py", agent.package / "instructions.md"
    before = project.read_text(encoding="utf-8"), instructions.read_text(encoding="utf-8")

    def model() -> str | None:
        with suppress(httpx.TransportError):
            return served.post(HELLO).json()["model"]
        return None

    assert model() == "weather-agent"
    try:
        project.write_text(before[0].replace('"weather-agent"', '"other-agent"'), encoding="utf-8")
        wait_until(lambda: model() == "other-agent")
        instructions.write_text("Be brief.\n", encoding="utf-8")
        wait_until(lambda: "instructions.md" in served.log.read_text(encoding="utf-8"))
    finally:
        project.write_text(before[0], encoding="utf-8")
        instructions.write_text(before[1], encoding="utf-8")
    assert served.stop()


def test_it_listens_where_it_is_told(served: Served, agent: Agent) -> None:
    assert "Serving at http://127.0.0.1:" in served.log.read_text(encoding="utf-8")
    port = served.url.rpartition(":")[2]
    taken = agent.run("weather-agent", "serve", f"--port={port}")
    assert taken.returncode != 0
    assert "Traceback" not in taken.stderr
