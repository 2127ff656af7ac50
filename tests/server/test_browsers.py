"""Web pages of other sites cannot use the server of a developer."""

import gzip
import json

import httpx
import pytest

from tests.server.conftest import RunApp
from tests.server.scripted import answer_with
from tests.server.serving import HELLO

BODY = json.dumps(HELLO).encode()
FROM_ANOTHER_SITE = (
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "origin": "http://localhost:3000"},
    {
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "navigate",
        "origin": "https://evil.example",
    },
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://[::1"},
)


@pytest.mark.parametrize("headers", FROM_ANOTHER_SITE)
def test_requests_of_other_sites_are_refused(headers: dict[str, str], run_app: RunApp) -> None:
    response = run_app(answer_with("Hi")).post(
        BODY, headers={"content-type": "text/plain"} | headers
    )
    assert response.status_code == httpx.codes.FORBIDDEN
    assert "another site" in response.json()["error"]["message"]


def test_requests_of_the_page_and_of_programs_are_accepted(run_app: RunApp) -> None:
    app = run_app(answer_with("Hi"))
    host = app.url.removeprefix("http://")
    for headers in (
        {},
        {"sec-fetch-site": "same-origin"},
        {"origin": f"http://{host}"},
        {"origin": "https://agent", "host": "Agent:443"},  # as nginx sends it
    ):
        assert app.post(BODY, headers=headers).status_code == httpx.codes.OK


def test_a_link_of_another_site_opens_the_page(run_app: RunApp) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert httpx.get(run_app(answer_with("Hi")).url, headers=headers).status_code == httpx.codes.OK


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("agent:8000", 200),
        ("192.168.1.7", 200),
        ("[::1]:8000", 200),
        ("weather.localhost", 200),
        ("localhost.:8000", 200),
        ("host.docker.internal:8000", 200),
        ("agent.prod.svc.cluster.local", 200),
        ("evil.example", 403),
        ("evil.example:8000", 403),
        ("127.0.0.1.evil.example", 403),
        ("agent.example.com", 403),
    ],
)
def test_other_names_of_the_server_are_refused(host: str, status: int, run_app: RunApp) -> None:
    response = run_app(answer_with("Hi")).post(BODY, headers={"host": host})
    assert response.status_code == status
    assert status == httpx.codes.OK or "AGENT_ALLOWED_HOSTS" in response.text


@pytest.mark.parametrize(
    "settings",
    [{"allowed_hosts": "agent.lan, agent.example.com"}, {"allowed_hosts": "*"}],
)
def test_allowed_hosts_are_accepted(settings: dict[str, str], run_app: RunApp) -> None:
    headers = {"host": "Agent.example.com"}
    response = run_app(answer_with("Hi"), **settings).post(BODY, headers=headers)
    assert response.status_code == httpx.codes.OK


def test_a_token_protects_any_name(run_app: RunApp) -> None:
    app = run_app(answer_with("Hi"), token="sesame")
    headers = {"host": "agent.example.com"}
    assert app.post(BODY, headers=headers).status_code == httpx.codes.UNAUTHORIZED
    headers["authorization"] = "Bearer sesame"
    assert app.post(BODY, headers=headers).status_code == httpx.codes.OK


def test_databricks_apps_forwards_any_name(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_APP_PORT", "8000")
    app = run_app(answer_with("Hi"))
    headers = {"host": "weather-1.aws.databricksapps.com"}
    assert app.post(BODY, headers=headers).status_code == httpx.codes.OK


@pytest.mark.parametrize("path", ["health", "ping"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_needs_no_token(path: str, method: str, run_app: RunApp) -> None:
    app = run_app(answer_with("Hi"), token="sesame")
    assert httpx.request(method, f"{app.url}/{path}").status_code == httpx.codes.OK


def test_gzip_bodies_are_read(run_app: RunApp) -> None:
    app = run_app(answer_with("Hi"))
    for encoding in ("gzip", "x-gzip"):
        headers = {"content-encoding": encoding}
        assert app.post(gzip.compress(BODY), headers=headers).status_code == httpx.codes.OK


def test_bodies_with_a_byte_order_mark_are_read(run_app: RunApp) -> None:
    body = b"\xef\xbb\xbf" + BODY
    headers = {"content-encoding": ""}
    assert run_app(answer_with("Hi")).post(body, headers=headers).status_code == httpx.codes.OK


@pytest.mark.parametrize(
    ("body", "encoding", "status", "text"),
    [
        (BODY, "gzip", 400, "is not valid gzip."),
        (gzip.compress(BODY)[:-9], "gzip", 400, "its end is missing"),
        (gzip.compress(BODY) + gzip.compress(b" "), "gzip", 400, "more than one gzip member"),
        (gzip.compress(b" " * 2000 + BODY), "gzip", 413, "larger than 1,000 bytes"),
        (BODY, "br", 415, "encoding gzip or none"),
    ],
    ids=["no gzip", "a cut end", "two members", "too large", "another encoding"],
)
def test_other_encodings_are_refused(
    body: bytes, encoding: str, status: int, text: str, run_app: RunApp
) -> None:
    app = run_app(answer_with("Hi"), max_body_bytes=1000)
    response = app.post(body, headers={"content-encoding": encoding})
    assert response.status_code == status
    assert text in response.json()["error"]["message"]
