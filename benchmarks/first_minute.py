"""Measures a newcomer's first minute: from `copier copy` to a verified agent.

Each round starts in an empty folder and uses the machine's package caches. The first round fills
them and is not counted. Prints the median and the range of each step, as the table in the README.
Each time is the wall-clock time of a whole process.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.environment import ROOT, environment, remove_cached_bytecode

COPY = f"copier copy --quiet --defaults --vcs-ref=HEAD --data=project_name=weather-agent {ROOT} ."
STEPS = {
    "`copier copy`": COPY,
    "`uv sync`": "git init --quiet && uv sync --quiet",
    "`ask`, the first time": 'uv run weather-agent ask "What time is it in Tokyo?"',
    "`ask`, from then on": 'uv run weather-agent ask "What time is it in Tokyo?"',
    "`log`": "uv run weather-agent log",
    "`verify`": "uv run weather-agent verify",
}


def seconds(command: str, folder: Path) -> float:
    """Run a shell command, which must succeed, and return its duration."""
    variables = environment()
    started = time.perf_counter()
    subprocess.run(command, shell=True, cwd=folder, env=variables, check=True, capture_output=True)
    return time.perf_counter() - started


def one_round() -> dict[str, float]:
    """Return the seconds of each step, and of `make demo`, which runs them all."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "weather-agent"
        folder.mkdir()
        times = {name: seconds(command, folder) for name, command in STEPS.items()}
        demo = f"make --no-print-directory -C '{ROOT}' demo FOLDER='{temporary}/demo'"
        return {**times, "`make demo`": seconds(demo, ROOT)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds (default: 3)")
    rounds = parser.parse_args().rounds
    remove_cached_bytecode()
    one_round()
    results = [one_round() for _ in range(rounds)]
    print("| step | median, s | range, s |\n|---|---|---|")
    for name in results[0]:
        times = [result[name] for result in results]
        median, low, high = statistics.median(times), min(times), max(times)
        print(f"| {name} | {median:.1f} | {low:.1f} to {high:.1f} |")


if __name__ == "__main__":
    main()
