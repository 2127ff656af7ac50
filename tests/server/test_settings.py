"""The settings of the server, read from environment variables."""

import pytest

from tests.conftest import Package

NUMBERS = {
    "AGENT_MAX_REQUESTS": 128,
    "AGENT_TRACES_PER_SECOND": 5,
    "AGENT_STOP_SECONDS": 30,
    "AGENT_MAX_BODY_BYTES": 10_000_000,
    "AGENT_BODY_TIMEOUT_SECONDS": 30,
    "AGENT_KEEP_ALIVE_SECONDS": 15,
}


def attribute(variable: str) -> str:
    """Return the attribute of the settings that a variable sets."""
    return variable.removeprefix("AGENT_").lower()


@pytest.mark.parametrize(("variable", "default"), NUMBERS.items())
def test_number(
    variable: str, default: int, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_settings = package("server.settings").load_settings
    assert getattr(load_settings(), attribute(variable)) == default
    monkeypatch.setenv(variable, "7")
    assert getattr(load_settings(), attribute(variable)) == 7


@pytest.mark.parametrize("variable", ["AGENT_BODY_TIMEOUT_SECONDS", "AGENT_KEEP_ALIVE_SECONDS"])
def test_fraction_of_a_second(
    variable: str, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "0.5")
    assert getattr(package("server.settings").load_settings(), attribute(variable)) == 0.5


@pytest.mark.parametrize(
    "hosts",
    ["https://a.example", "a.example:80", "*.a.example", "a.example b.example", "ü.example"],
)
def test_host_that_never_matches(
    hosts: str, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_ALLOWED_HOSTS", hosts)
    with pytest.raises(package("ops.project").ProjectError, match="AGENT_ALLOWED_HOSTS is invalid"):
        package("server.settings").load_settings()


@pytest.mark.parametrize(
    "name", ["AGENT_TOKENS", "AGENT_MAX_REQUEST", "AGENT_TOKN", "AGENT_MODELNAME"]
)
def test_misspelled_variable(name: str, package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    expected = f"^{name} is not a setting. Rename it to AGENT_"
    with pytest.raises(package("ops.project").ProjectError, match=expected):
        package("server.settings").load_settings()


@pytest.mark.parametrize(
    "name",
    ["AGENT_PORT", "AGENT_SERVICE_HOST", "AGENT_MAX_REQUEST_SIZE", "AGENT_UNCALLED_TOOLS"],
)
def test_variable_of_somebody_else(
    name: str, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    assert package("server.settings").load_settings().max_requests == 128


@pytest.mark.parametrize("variable", NUMBERS)
@pytest.mark.parametrize("value", ["many", "0", "-1", "", "inf", "nan"])
def test_invalid_number_names_the_variable(
    variable: str, value: str, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(package("ops.project").ProjectError, match=f"^{variable} is invalid: "):
        package("server.settings").load_settings()


@pytest.mark.parametrize("token", ["secret\n", " ", "two words", "gehëim"])
def test_token_that_no_client_can_send(
    token: str, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_TOKEN", token)
    expected = "AGENT_TOKEN is invalid: Use ASCII characters without spaces and line breaks."
    with pytest.raises(package("ops.project").ProjectError, match=f"^{expected}$") as raised:
        package("server.settings").load_settings()
    assert "input_value" not in str(raised.value.__cause__)  # it would be in the traceback


def test_all_invalid_variables_are_named(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_MAX_REQUESTS", "0")
    monkeypatch.setenv("AGENT_STOP_SECONDS", "soon")
    with pytest.raises(package("ops.project").ProjectError) as raised:
        package("server.settings").load_settings()
    assert "AGENT_MAX_REQUESTS is invalid" in str(raised.value)
    assert "AGENT_STOP_SECONDS is invalid" in str(raised.value)


def test_token_is_not_printed(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_TOKEN", "sesame")
    settings = package("server.settings").load_settings()
    assert settings.token == "sesame"
    assert "sesame" not in repr(settings)
