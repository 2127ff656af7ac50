"""Measures `copier update` of a default project, as a multiple of `copier copy` in the same round.

Each round creates a project from the newest release and updates it to the last commit. The template
is a clone of this checkout with the tags of all releases, packed like a published repository. The
first round is not counted. Each time is the wall-clock time of a whole process.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.environment import ROOT, environment

COMMIT = (
    "git init --quiet && git add --all && "
    "git -c user.name=Benchmark -c user.email=benchmark@example.com commit --quiet -m Made"
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
    return template


def one_round(template: Path, release: str) -> tuple[float, float]:
    """Return the seconds of a copy and of an update."""
    options = "--quiet --defaults --data=project_name=weather-agent"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copied = run(f"copier copy {options} --vcs-ref={release} '{template}' .", folder)
        run(COMMIT, folder)
        # A release may have migrations, which run with trust only.
        updated = run("copier update --quiet --defaults --trust --vcs-ref=HEAD", folder)
    return copied, updated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds (default: 7)")
    rounds = parser.parse_args().rounds
    release = newest_release()
    with tempfile.TemporaryDirectory() as temporary:
        template = clone_with_tags(Path(temporary))
        one_round(template, release)
        results = [one_round(template, release) for _ in range(rounds)]
    copies, updates = zip(*results, strict=True)
    ratios = [updated / copied for copied, updated in results]
    print(f"copier copy    {statistics.median(copies):.1f} s")
    print(f"copier update  {statistics.median(updates):.1f} s")
    print(
        f"ratio          {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
    )


if __name__ == "__main__":
    main()
