"""The application: its routes, its token, and several applications."""

import logging
import threading

import httpx
import mlflow
import pytest
from jsonschema import Draft202012Validator, ValidationError
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.conftest import Package
from tests.server.conftest import RunApp
from tests.server.scripted import ScriptedAgent, answer_with
from tests.server.serving import HELLO, output_text, serving_app, wait_until


def test_health_and_agent_info(run_app: RunApp) -> None:
    url = run_app(answer_with("Hi")).url
    assert httpx.get(f"{url}/health").json() == {"status": "healthy"}
    assert httpx.head(f"{url}/health").status_code == httpx.codes.OK
    assert httpx.get(f"{url}/agent/info").json() == {
        "name": "weather-agent",
        "use_case": "agent",
        "agent_api": "responses",
        "mlflow_version": mlflow.__version__,
    }


@pytest.mark.parametrize("route", ["responses", "invocations"])
def test_both_routes_of_the_api(route: str, run_app: RunApp) -> None:
    assert output_text(run_app(answer_with("Hi")).post(HELLO, route).json()) == "Hi"


def test_openapi_describes_responses_and_errors(run_app: RunApp) -> None:
    app = run_app(answer_with("Hi"))
    document = httpx.get(f"{app.url}/openapi.json").json()
    assert document["paths"].keys() == {"/responses", "/invocations"}
    responses = document["paths"]["/responses"]["post"]["responses"]
    for response in (app.post(HELLO), app.post(b"[]")):
        schema = responses[str(response.status_code)]["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, "components": document["components"]}).validate(
            response.json()
        )
        with pytest.raises(ValidationError):
            Draft202012Validator({**schema, "components": document["components"]}).validate([])


def test_method_not_allowed_names_the_methods(run_app: RunApp) -> None:
    response = httpx.get(f"{run_app(answer_with('Hi')).url}/responses")
    assert response.status_code == httpx.codes.METHOD_NOT_ALLOWED
    assert response.headers["allow"] == "POST"
    assert response.json()["error"]["message"] == "/responses accepts POST."


@pytest.mark.parametrize("path", ["v1/responses", "responses/"])
def test_unknown_path_names_the_paths_of_the_api(path: str, run_app: RunApp) -> None:
    response = run_app(answer_with("Hi")).post(HELLO, path)
    text = f"There is no /{path}. The API is at /responses and /invocations."
    assert response.json()["error"]["message"] == text


def test_other_origins_may_not_read_responses(run_app: RunApp) -> None:
    app = run_app(answer_with("Hi"))
    origin = {"Origin": "https://elsewhere.example"}
    preflight = httpx.options(
        f"{app.url}/responses", headers=origin | {"Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == httpx.codes.FORBIDDEN
    for response in (app.post(HELLO, headers=origin), preflight):
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_token_is_required_if_one_is_set(run_app: RunApp) -> None:
    app = run_app(answer_with("Hi"), token="sesame")
    for value in (None, "sesame", "Bearer Sesame", "Bearer", "Bearersesame", "Basic sesame"):
        headers = {"authorization": value} if value else {}
        response = app.post(HELLO, headers=headers)
        assert response.status_code == httpx.codes.UNAUTHORIZED
        assert response.headers["www-authenticate"] == "Bearer"
        for path in ("agent/info", "chat/settings", "nowhere"):
            response = httpx.get(f"{app.url}/{path}", headers=headers)
            assert response.status_code == httpx.codes.UNAUTHORIZED
    for value in ("bearer sesame", "BEARER sesame", "Bearer  sesame", "Bearer sesame"):
        token = {"authorization": value}
        assert app.post(HELLO, headers=token).status_code == httpx.codes.OK
    assert httpx.get(f"{app.url}/agent/info", headers=token).status_code == httpx.codes.OK
    for path in ("health", ""):
        assert httpx.get(f"{app.url}/{path}").status_code == httpx.codes.OK


def test_several_apps_in_one_process(run_app: RunApp) -> None:
    one = run_app(answer_with("one"), token="token-1")
    two = run_app(answer_with("two"), max_requests=1, max_body_bytes=100)
    token = {"authorization": "Bearer token-1"}
    for _ in range(2):
        assert output_text(one.post(HELLO, headers=token).json()) == "one"
        assert output_text(two.post(HELLO).json()) == "two"
    large = {"input": "x" * 200}
    assert one.post(large, headers=token).status_code == httpx.codes.OK
    assert two.post(large).status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    assert one.post(HELLO).status_code == httpx.codes.UNAUTHORIZED


def test_app_mounted_in_another_app(package: Package, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    settings = package("server.settings").ServerSettings(token="secret")
    app = package("server").create_app(ScriptedAgent(answer_with("Hi")), settings)
    with serving_app(Starlette(routes=[Mount("/weather", app)])) as outer:
        url = f"{outer.url}/weather"
        assert httpx.get(f"{url}/health").status_code == httpx.codes.OK
        assert httpx.get(f"{url}/static/chat.js").status_code == httpx.codes.OK
        assert httpx.post(f"{url}/responses", json=HELLO).status_code == httpx.codes.UNAUTHORIZED
        token = {"authorization": "Bearer secret"}
        nowhere = httpx.get(f"{url}/nowhere", headers=token).text
        assert "There is no /weather/nowhere. The API is at /weather/responses and" in nowhere
        response = httpx.post(f"{url}/responses", json=HELLO, headers=token)
        assert output_text(response.json()) == "Hi"
        wait_until(lambda: "POST /weather/responses 200 in" in caplog.text)


@pytest.mark.parametrize(
    ("root_path", "path", "expected"),
    [
        ("", "/health", "/health"),
        ("/weather", "/weather/health", "/health"),
        ("/weather", "/weather", ""),
        ("/heal", "/health", "/health"),
        ("/heal", "/heal/health", "/health"),
    ],
)
def test_root_path_is_removed_from_whole_segments_only(
    root_path: str, path: str, expected: str, package: Package
) -> None:
    scope = {"path": path, "root_path": root_path}
    assert package("server.state").path_of(scope) == expected


def test_shutdown_calls_the_callback_after_the_last_request(package: Package) -> None:
    stopped = threading.Event()
    agent = ScriptedAgent(answer_with("Hi"))
    with serving_app(package("server").create_app(agent, on_shutdown=stopped.set)) as app:
        assert output_text(app.post(HELLO).json()) == "Hi"
        assert not stopped.is_set()
    assert stopped.is_set()
