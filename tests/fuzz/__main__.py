"""A campaign of damaged bodies against every decoder.

Run: python -m tests.fuzz --bodies 1000000 [--only NAME] [--seed N] [--out FOLDER]
"""

import argparse
import sys
from pathlib import Path

from tests.fuzz.campaign import keep, run
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Return 1 if any decoder crashed or differed from its reference."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--bodies", type=int, default=100_000, help="of each decoder")
    parser.add_argument("--only", action="append", choices=TARGETS, help="may be repeated")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("fuzz-failures"), help="folder")
    given = parser.parse_args()
    n_failures = 0
    for name in given.only or TARGETS:
        report = run(TARGETS[name](), given.bodies, given.seed)
        print(report, flush=True)
        if report.failures:
            keep(report, given.out)
            n_failures += len(report.failures)
    return 1 if n_failures else 0


if __name__ == "__main__":
    sys.exit(main())
