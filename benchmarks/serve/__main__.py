"""Measures `serve` of a generated agent against a bare pass-through, in one run.

Creates an agent from the last commit. All servers use a fake model with the timing of a real one:
20 tokens, 20 ms apart. Each server has one core for itself; the model and the callers have another.
`share` is the throughput relative to the bare pass-through in the same run, with the same number of
callers.
"""

import argparse
from itertools import groupby

from benchmarks.serve.measure import Row, measure

TITLES = f"{'':30}{'per s':>7}{'share':>7}{'p50':>7}{'p95':>7}{'first':>7}{'CPU':>8}{'MiB':>6}"


def line(row: Row) -> str:
    """Return a line of the table; times are in milliseconds."""
    load, first = row.load, row.load.first_delta()
    return (
        f"  {row.callers:2} callers, {'streamed' if row.stream else 'whole':15}"
        f"{load.throughput:9.1f}{row.share:7.2f}"
        f"{load.percentile(50) * 1000:7.0f}{load.percentile(95) * 1000:7.0f}"
        f"{'' if first is None else f'{first * 1000:.0f}':>7}"
        f"{row.cpu * 1000:8.2f}{row.memory / 2**20:6.0f}"
        f"{f'  {len(load.errors)} errors: {load.errors[0]}' if load.errors else ''}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8, help="per load (default: 8)")
    parser.add_argument("--callers", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument(
        "--only", default="", help="measure only servers with this text in their name"
    )
    options = parser.parse_args()
    print(TITLES)
    rows = measure(options.callers, options.seconds, options.only)
    for _, (first, *others) in groupby(rows, key=lambda row: row.server):
        starts = f"{first.first_start:.1f} s, the next time after {first.start:.1f} s"
        print(f"{first.server}, healthy after {starts}")
        for row in (first, *others):
            print(line(row), flush=True)


if __name__ == "__main__":
    main()
