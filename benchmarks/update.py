"""Measures `copier update` of a default project, as a multiple of `copier copy` in the same round.

Each round makes a project of the newest release and updates it to the last commit, both from a
clone of this checkout, which git has packed as it packs what is published. The first round is not
counted. Whole processes are timed, from the outside.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMIT = (
    "git init --quiet && git add --all && "
    "git -c user.name=Benchmark -c user.email=benchmark@example.com commit --quiet -m Made"
)


def run(command: str, folder: Path) -> float:
    """How many seconds a shell command takes; it must succeed."""
    begun = time.perf_counter()
    subprocess.run(command, shell=True, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - begun


def newest_release() -> str:
    """The newest tag that the last commit holds."""
    described = ("git", "describe", "--tags", "--abbrev=0", "--match=v*")
    return subprocess.run(described, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def one_round(template: Path, release: str) -> tuple[float, float]:
    """The seconds of a copy and of an update."""
    options = "--quiet --defaults --data=project_name=weather-agent"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copied = run(f"copier copy {options} --vcs-ref={release} '{template}' .", folder)
        run(COMMIT, folder)
        updated = run("copier update --quiet --defaults --vcs-ref=HEAD", folder)
    return copied, updated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count (default: 7)")
    rounds = parser.parse_args().rounds
    release = newest_release().strip()
    with tempfile.TemporaryDirectory() as temporary:
        template = Path(temporary) / "template"
        run(f"git clone --quiet --no-local '{ROOT}' '{template}'", ROOT)
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
