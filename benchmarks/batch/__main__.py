"""Measures `batch` of a generated agent on both engines against a sequential loop.

Creates an agent from the last commit, and its store. The fake model answers after 400 ms, in a
process of its own. The loop and plain asyncio use a bare client, without an agent. The time of the
loop is calculated from 20 rows; all others are measured. They are those of whole processes, and
include imports and the start of Java. The second time of an engine is from the arrival of the line
with the number of rows, which `batch` prints before the first row, to that of its summary. `times`
is relative to the loop.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.batch.measure import Result, prepare
from benchmarks.environment import ROOT
from benchmarks.serve.servers import Server, running

ENGINES = ["local", "spark"]
MODEL_CORE = 1
TITLES = f"{'rows':>7}  {'way':26}{'seconds':>9}{'per s':>8}{'times':>7}"


def line(rows: int, result: Result, loop: Result) -> str:
    """Return a line of the table."""
    return (
        f"{rows:7,}  {result.way:26}{result.seconds:9.1f}{rows / result.seconds:8.1f}"
        f"{loop.seconds / result.seconds:7.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[2_000, 20_000])
    parser.add_argument("--engine", nargs="*", default=ENGINES, choices=ENGINES)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--rows-per-commit", type=int, help="default: that of each engine")
    options = parser.parse_args()
    without_java = "spark" in options.engine and shutil.which("java") is None
    engines = [one for one in options.engine if one != "spark" or not without_java]
    rows_per_commit = options.rows_per_commit
    limits = [f"--rows-per-commit={rows_per_commit}"] if rows_per_commit else []
    command = [sys.executable, "-m", "benchmarks.serve.fake_model"]
    with (
        tempfile.TemporaryDirectory() as temporary,
        running(Server("fake model", command, ROOT), MODEL_CORE) as model,
    ):
        url, spark = f"{model.url}/v1", "spark" in engines
        bench = prepare(Path(temporary), url, limits, options.concurrency, spark)
        print(f"{options.concurrency} rows at the same time\n{TITLES}")
        for rows in options.rows:
            loop = None
            for result in bench.measure(rows, engines):
                loop = loop or result
                print(line(rows, result, loop), flush=True)
            if without_java:
                print(f"{rows:7,}  {'batch, spark':26}  not measured: Java is missing")
    if without_java:
        print("Java is not installed, so Spark was not measured.")


if __name__ == "__main__":
    main()
