"""Runs the commands of a release with a fake workspace, and looks at what answers."""

from subprocess import CompletedProcess

from tests.helpers.fake_workspace import Fault, Workspace
from tests.helpers.forked_commands import ForkedCommands

ENDPOINT = "weather-agent"
MODEL = "main.default.weather_agent"
READ = "GET /api/2.0/serving-endpoints/{name}"
# Errors are not retried, so that each request fails at once.
NO_RETRIES = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


class Deployer:
    """Runs commands with a workspace."""

    def __init__(self, commands: ForkedCommands, workspace: Workspace) -> None:
        self.commands = commands
        self.workspace = workspace

    def run(self, *arguments: str, **variables: str) -> CompletedProcess[str]:
        """Run a command, which may fail."""
        environment = self.workspace.variables | NO_RETRIES | variables
        return self.commands.run(*arguments, **environment)

    def check(self, *arguments: str) -> str:
        """Run a command that must succeed, and return its output."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def promoted(self, *versions: str) -> None:
        """Deploy and promote versions."""
        for version in versions:
            self.check("deploy", version)
            self.check("promote", version)

    @property
    def answering(self) -> str | None:
        """The version that answers."""
        endpoint = self.workspace.state.endpoints.get(ENDPOINT)
        if endpoint is None or not endpoint.config:
            return None
        ((version, share),) = endpoint.answering.items()
        assert share == 100
        return version

    @property
    def registered(self) -> list[str]:
        """The versions that are registered with the Review App."""
        return [version for _, version in self.workspace.state.agents]

    @property
    def champion(self) -> str | None:
        """The version with the alias."""
        return self.workspace.state.models[MODEL].aliases.get("champion")


def check_interrupted(
    deployer: Deployer,
    fault: Fault,
    command: list[str],
    old: str | None,
    new: str,
    served: set[str],
) -> None:
    """Run a command with a fault and again without, and check what answers all the time."""
    endpoint = deployer.workspace.state.endpoints.get(ENDPOINT)
    before = len(endpoint.history) if endpoint else 0
    api = deployer.workspace.api
    api.fault = fault
    first = deployer.run(*command)
    api.fault = None
    assert deployer.answering in (old, new)
    if first.returncode:
        # While the endpoint is updated, the old version still answers.
        answering = old if "until the endpoint" in first.stderr else deployer.answering
        who = f"Version {answering} answers" if answering else "No version answers"
        if fault.route == READ and not fault.number:
            who = "Which version answers is unknown"
        assert who in first.stderr, first.stderr
        deployer.check(*command)
    endpoint = deployer.workspace.state.endpoints[ENDPOINT]
    assert set(endpoint.history[before:]) <= {old, new}
    assert deployer.answering == new
    assert sorted(endpoint.served) == sorted(served)
    assert sorted(deployer.registered) == sorted(served)
