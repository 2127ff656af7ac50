"""Measures updates of a default project, as multiples of `copier copy` in the same round.

Each round creates a project from the newest release, and `copier update` brings it to the last
commit. The agent's own `update`, without the verification, brings a project of the last commit to a
commit after it. The template is a clone of this checkout with the tags of all releases, packed like
a published repository. The first round is not counted. Each time is the wall-clock time of a whole
process.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.environment import ROOT, environment

GIT_COMMIT = "git -c user.name=Benchmark -c user.email=benchmark@example.com commit --quiet"
COMMIT = f"git init --quiet && git add --all && {GIT_COMMIT} -m Made"
# Two releases: the last commit, and one that changes a file.
RELEASE = (
    "git tag v99.0.0 && echo >> template/README.md.jinja && "
    f"{GIT_COMMIT} --all -m Changed && git tag v99.1.0"
)


def run(command: str, folder: Path) -> float:
    """Run a shell command that must succeed, and return its time in seconds."""
    variables = environment()
    started = time.perf_counter()
    subprocess.run(command, shell=True, cwd=folder, env=variables, check=True, capture_output=True)
    return time.perf_counter() - started


def newest_release() -> str:
    """Return the tag of the newest release in `releases.yml`."""
    return yaml.safe_load((ROOT / "releases.yml").read_text(encoding="utf-8"))[-1]["version"]


def clone_with_tags(folder: Path) -> Path:
    """Clone this checkout, and create the tags that it may lack."""
    template = folder / "template"
    run(f"git clone --quiet --no-local '{ROOT}' '{template}'", ROOT)
    run("scripts/tags.sh", template)
    run(RELEASE, template)
    return template


def one_round(template: Path, release: str) -> tuple[float, float, float]:
    """Return the seconds of a copy, of `copier update`, and of the agent's `update`."""
    options = "--quiet --defaults --data=project_name=weather-agent"
    with tempfile.TemporaryDirectory() as temporary:
        older, newer = Path(temporary, "older"), Path(temporary, "newer")
        for folder in (older, newer):
            folder.mkdir()
        copied = run(f"copier copy {options} --vcs-ref={release} '{template}' .", older)
        run(COMMIT, older)
        # A release may have migrations, which run with trust only.
        updated = run("copier update --quiet --defaults --trust --vcs-ref=v99.0.0", older)
        run(f"copier copy {options} --vcs-ref=v99.0.0 '{template}' . && uv sync && {COMMIT}", newer)
        return copied, updated, run("uv run weather-agent update --no-verify", newer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds (default: 7)")
    rounds = parser.parse_args().rounds
    release = newest_release()
    with tempfile.TemporaryDirectory() as temporary:
        template = clone_with_tags(Path(temporary))
        one_round(template, release)
        results = [one_round(template, release) for _ in range(rounds)]
    copies = [result[0] for result in results]
    print(f"copier copy    {statistics.median(copies):4.1f} s")
    for number, name in enumerate(("copier update", "update"), start=1):
        seconds = statistics.median(result[number] for result in results)
        ratios = [result[number] / result[0] for result in results]
        limits = f"{min(ratios):.1f} to {max(ratios):.1f}"
        print(f"{name:<14} {seconds:4.1f} s, {statistics.median(ratios):.1f} times ({limits})")


if __name__ == "__main__":
    main()
