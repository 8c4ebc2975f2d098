"""Runs the benchmarks: python -m ops.bench [--quick] [--only NAME] [--series N] [--steps N]."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from ops.bench import (
    anomaly_model,
    archive,
    codecs,
    edge,
    end_to_end,
    fairness,
    fleet,
    idle,
    json_ingest,
    live,
    memory,
    protocols,
    remote_write,
    scaling,
    tenants,
    victoria,
    windows,
)
from ops.bench.figures import Measurement, Plan
from ops.bench.report import (
    ROOT,
    missed,
    now_and_machine,
    ratios_to_peer,
    show_table,
    write_results,
)

BENCHES: dict[str, Callable[[Plan], Measurement]] = {
    module.NAME: module.run
    for module in (
        remote_write,
        json_ingest,
        protocols,
        windows,
        archive,
        codecs,
        edge,
        end_to_end,
        victoria,
        live,
        scaling,
        tenants,
        fairness,
        memory,
        idle,
        anomaly_model,
        fleet,
    )
}
_WIDTH = 120
QUICK = Plan(repeats=1, series=2_000, steps=12, idle_s=1.0, is_quick=True)


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments name; return 1 if a figure is not reached."""
    given = _parse(arguments)
    plan = _plan(given)
    # A file or a pipe has no width of its own.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    now, machine = now_and_machine()
    measured: dict[str, Measurement] = {}
    for name in given.only or BENCHES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        measured[name] = BENCHES[name](plan)
    if victoria.NAME in measured:
        measured[victoria.NAME].figures += ratios_to_peer(measured)
    file = write_results(given.out, plan, measured, machine, now)
    show_table(measured, console)
    console.print(f"\n{machine['cpu']}, {machine['cores']} cores, seed {plan.seed}; {file}")
    return 1 if missed(measured) and not plan.is_quick else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ops.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short: does it run at all?")
    parser.add_argument("--only", action="append", choices=BENCHES, help="may be repeated")
    parser.add_argument("--series", type=int, help=f"of the load (default {Plan().series})")
    parser.add_argument("--steps", type=int, help=f"scrapes of the load (default {Plan().steps})")
    parser.add_argument("--repeats", type=int, help=f"default {Plan().repeats}")
    parser.add_argument("--seed", type=int, default=Plan().seed)
    parser.add_argument("--corpora", help="folder of labelled series, for the anomaly figures")
    parser.add_argument("--out", type=Path, default=ROOT / "bench-results", help="folder")
    return parser.parse_args(arguments)


def _plan(given: argparse.Namespace) -> Plan:
    base = QUICK if given.quick else Plan()
    return Plan(
        seed=given.seed,
        repeats=given.repeats or base.repeats,
        series=given.series or base.series,
        steps=given.steps or base.steps,
        idle_s=base.idle_s,
        is_quick=given.quick,
        corpora=given.corpora,
    )


if __name__ == "__main__":
    sys.exit(main())
