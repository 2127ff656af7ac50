"""`register` and `promote` with a local registry: what they refuse, and what they record."""

from pathlib import Path
from unittest.mock import Mock

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tests.conftest import Package
from tests.helpers.agents import Agent
from tests.helpers.forked_commands import ForkedCommands
from tests.production.deployer import MODEL
from tests.release.repositories import git

DOWN = MlflowException("The store is down.")
# Names that only Unity Catalog refuses.
UC_NAMES = [("weather_agent", "databricks-uc"), ("main..weather_agent", "databricks-uc")]


@pytest.fixture
def store(tmp_path: Path) -> dict[str, str]:
    """The variables of an empty store of runs and versions."""
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}


def evaluated(client: MlflowClient, commit: str, result: str) -> str:
    """Store a run like that of `evaluate`, and return its id."""
    experiment = client.get_experiment_by_name("weather-agent")
    assert experiment
    tags = {"git_commit": commit, "evaluation": result}
    run_id = client.create_run(experiment.experiment_id, tags=tags).info.run_id
    client.log_text(run_id, result, "evaluation/report.html")
    return run_id


def test_only_a_complete_commit_is_registered(
    released: Agent, commands: ForkedCommands, store: dict[str, str]
) -> None:
    head = git(released.folder, "rev-parse", "HEAD").strip()
    git(released.folder, "update-ref", "-d", "HEAD")
    try:
        empty = commands.run("register", **store)
    finally:
        git(released.folder, "update-ref", "HEAD", head)
    assert "error: The repository has no commit, which a registered model must" in empty.stderr
    excluded = released.folder / ".git" / "info" / "exclude"
    git(released.folder, "rm", "--quiet", "--cached", "uv.lock")
    try:
        unlocked = commands.run("register", **store)
        git(released.folder, "commit", "--quiet", "-m", "Ignore the lock file")
        with released.patched(str(excluded), None, "uv.lock\n"):
            ignored = commands.run("register", **store)
    finally:
        git(released.folder, "reset", "--quiet", head)
    assert "error: uv.lock is not committed, and the model's packages" in unlocked.stderr
    assert "Run `git add --force uv.lock` and `git commit" in unlocked.stderr
    assert ignored.stderr == unlocked.stderr
    with released.patched("instructions.md", None, "Be brief.\n"):
        dirty = commands.run("register", **store)
    assert "src/weather_agent/instructions.md: not committed. Commit, stash" in dirty.stderr
    git(released.folder, "config", "status.showUntrackedFiles", "no")
    with released.patched("more_tools.py", None, "TOOLS = []\n"):
        hidden = commands.run("register", **store)
    git(released.folder, "config", "--unset", "status.showUntrackedFiles")
    assert "more_tools.py: not committed. Commit, stash" in hidden.stderr
    stranger = commands.run("register", GIT_TEST_ASSUME_DIFFERENT_OWNER="1", **store)
    assert "git config --global --add safe.directory" in stranger.stderr
    no_git = commands.run("register", PATH="/nowhere", **store)
    assert "No such file or directory: 'git'. Install git." in no_git.stderr
    for done in (empty, unlocked, ignored, dirty, hidden, stranger, no_git):
        assert done.returncode == 1


def test_the_lock_file_of_a_workspace_must_be_committed(
    package: Package, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = package("ops.git")
    root = tmp_path / "repository" / "agents" / "agent"
    (root / "lib").mkdir(parents=True)
    for name in ("ops.git", "ops.requirements"):
        monkeypatch.setattr(package(name), "ROOT", root)
    (tmp_path / "uv.lock").touch()  # outside of the repository
    (root / "pyproject.toml").touch()
    top = root.parents[1]
    git(top, "init", "--quiet")
    commit_all(top)
    with pytest.raises(RuntimeError, match=r"^uv\.lock is not committed"):
        module.require_commit()
    (top / "uv.lock").touch()
    with pytest.raises(RuntimeError, match=r"^\.\./\.\./uv.lock is .* --force \.\./\.\./uv.lock`"):
        module.require_commit()
    commit_all(top)
    assert module.require_commit() == module.clean_commit()
    (root / "lib" / "uv.lock").touch()  # of another project
    with pytest.raises(RuntimeError, match=r"^agents/agent/lib/: not committed"):
        module.require_commit()
    (top / "uv.lock").write_text("# newer\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"^\.\./\.\./uv.lock is not committed"):
        module.require_commit()


def commit_all(folder: Path) -> None:
    """Commit all files."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "All")


def test_errors_of_git_are_in_english(
    package: Package, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    translated = "test $LC_ALL = C && echo dubious ownership >&2 || echo zweifelhaft >&2"
    (tmp_path / "git").write_text(f"#!/bin/sh\n{translated}\nexit 128\n", encoding="utf-8")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    with pytest.raises(RuntimeError, match=r"^dubious ownership$"):
        package("ops.git").require_commit()


def test_a_commit_is_registered_once_and_promoted_after_its_evaluation(
    released: Agent, commands: ForkedCommands, store: dict[str, str]
) -> None:
    client = MlflowClient(store["MLFLOW_TRACKING_URI"])
    failed = commands.run("register", VERIFY_FAILS="1", **store)
    assert "error: The model is not registered: 1 failed: answer-text." in failed.stderr
    assert not client.search_registered_models()
    assert "has no challenger. Run `uv run" in commands.run("promote", **store).stderr
    evaluated(client, "0" * 40, "passed")  # of another commit
    for _ in range(2):
        done = commands.run("register", **store)
        assert done.returncode == 0, done.stderr
    (version,) = client.search_model_versions(f"name='{MODEL}'")
    commit = git(released.folder, "rev-parse", "HEAD").strip()
    assert version.tags["git_commit"] == commit
    assert {"template", "mlflow"} <= version.tags.keys()
    assert str(client.get_model_version_by_alias(MODEL, "challenger").version) == "1"
    artifacts = client.list_artifacts(version.run_id or "")
    assert [file.path for file in artifacts] == ["verification.json"]
    assert "has no version 9 that is ready" in commands.run("promote", "9", **store).stderr
    assert "has no champion. Run `uv run" in commands.run("rollback", **store).stderr
    refused = commands.run("promote", **store)
    assert "its evaluation is missing. At its commit, run" in refused.stderr
    assert refused.stderr.endswith("evaluate` and `register`.\n")
    evaluated(client, commit, "failed")
    assert "its evaluation is failed\n" in commands.run("register", **store).stdout
    assert "its evaluation is failed. At its commit" in commands.run("promote", **store).stderr
    run_id = evaluated(client, commit, "passed")
    assert commands.run("register", **store).returncode == 0
    tags = client.get_model_version(MODEL, "1").tags
    assert (tags["evaluation"], tags["evaluation_run"]) == ("passed", run_id)
    copied = client.download_artifacts(version.run_id or "", "evaluation/report.html")
    assert Path(copied).read_text(encoding="utf-8") == "passed"
    promoted = commands.run("promote", **store)
    assert promoted.returncode == 0, promoted.stderr
    assert "version 1" in promoted.stdout
    assert f"models:/{MODEL}@champion" in promoted.stdout
    tags = {"evaluation": "passed"}  # of another tool
    source = client.get_model_version_download_uri(MODEL, "1")
    client.create_model_version(MODEL, source, tags=tags)
    for _ in range(2):
        assert "version 2 (commit unknown), is" in commands.run("promote", "2", **store).stdout
    assert "version 1" in commands.run("rollback", **store).stdout
    assert str(client.get_model_version_by_alias(MODEL, "champion").version) == "1"
    rollback = commands.run("rollback", **store)
    assert "has no version before the champion, which is 1." in rollback.stderr


def test_a_registry_that_fails_has_no_status(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = package("ops.registry").Registry()
    monkeypatch.setattr(registry.client, "get_model_version_by_alias", Mock(side_effect=DOWN))
    assert registry.status() == "Which version is the champion is unknown."


@pytest.mark.parametrize(
    ("name", "registry"),
    [("main/agent", ""), ("models:agent", ""), ("..", ""), *UC_NAMES],
)
def test_a_name_that_the_registry_refuses_is_reported(
    name: str, registry: str, commands: ForkedCommands, store: dict[str, str]
) -> None:
    variables = {"AGENT_MODEL_NAME": name} | ({"MLFLOW_REGISTRY_URI": registry} if registry else {})
    done = commands.run("promote", **store, **variables)
    assert f"{name!r} is not the name of a registered model. Set `model_name`" in done.stderr
    assert done.returncode == 1


def test_a_repository_without_answers_has_an_unknown_template(
    package: Package, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    release = package("ops.release")
    monkeypatch.setattr(release, "ROOT", tmp_path)
    assert release.template_version() == "unknown"
    answers = tmp_path / ".copier-answers.yml"
    answers.write_text("project_name: weather-agent\n", encoding="utf-8")
    assert release.template_version() == "unknown"  # the template was not a git repository
    answers.write_text("_commit: v1.2.0\n", encoding="utf-8")
    assert release.template_version() == "v1.2.0"
    for broken in ("", "{", "<<<<<<< yours\n"):
        answers.write_text(broken, encoding="utf-8")
        with pytest.raises(RuntimeError, match=r"(?s)answers\.yml.* Restore it with git\."):
            release.template_version()
