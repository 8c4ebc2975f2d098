"""Runs a campaign: python -m ops.faults [--faults N] [--seed N] [--out FILE] [--report FILE]."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ops.bench.machine import commit, describe_machine, describe_versions
from ops.bench.report import ROOT
from ops.demo.deployment import ended_by_sigterm
from ops.faults.campaign import Campaign, layout_options
from ops.faults.disk import Disk, disk
from ops.faults.plan import SHORT, UNASKED, Kind, Plan
from ops.faults.report import write_report
from ops.faults.result import Result
from ops.faults.running import Up
from ops.ports import free_base_port
from ops.setup import run_setup
from topology.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments name; return 1 if anything was lost, doubled, wrong or left over."""
    given = _parse(arguments)
    # Else the first faults would meet processes that compile.
    run_setup(Settings())
    with ended_by_sigterm():
        result = run_campaign(_plan(given), _say)
    result.facts["command"] = " ".join(["python -m ops.faults", *(arguments or sys.argv[1:])])
    found = result.as_json()
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")
    if given.report:
        write_report(given.report, found)
    _say(f"{len(result.faults)} faults, {result.totals()}, {result.orphans} orphans")
    _say(f"recovery: {found['recovery_s']} s")
    for violation in result.violations:
        _say(f"VIOLATION: {violation}")
    return 0 if result.is_clean else 1


def run_campaign(plan: Plan, say: Callable[[str], None]) -> Result:
    """Run a campaign on a new data directory; that is kept, and named, when something is wrong."""
    result = Result(
        facts={"time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}", "commit": commit(ROOT)}
    )
    result.facts |= {"machine": describe_machine(), "versions": describe_versions()}
    result.facts |= {"seed": plan.seed, "plan": plan.as_json()}
    folder = Path(tempfile.mkdtemp(prefix="observai-faults-"))
    began_s = time.monotonic()

    def say_when(line: str) -> None:
        say(f"{time.monotonic() - began_s:6.0f} s {line}")

    try:
        with disk(folder / "disk", plan.disk_mb) as place:
            result.facts["disk"] = place.how
            try:
                _run(plan, folder, place, result, say_when)
            except Exception as error:  # noqa: BLE001 - whatever ends a campaign is a finding
                say_when(traceback.format_exc())
                result.violations.append(f"{type(error).__name__}: {error}")
            result.facts["seconds"] = round(time.monotonic() - began_s)
            if not result.is_clean:
                shutil.copytree(place.folder, folder / "kept", ignore_dangling_symlinks=True)
                say_when(f"data and logs are kept in {folder}")
    finally:
        if result.is_clean:
            shutil.rmtree(folder, ignore_errors=True)
    return result


def _run(plan: Plan, folder: Path, place: Disk, result: Result, say: Callable[[str], None]) -> None:
    up = Up(
        folder,
        free_base_port(max(plan.layouts)),
        *layout_options(plan.layouts[0]),
        data_dir=place.folder / "data",
        environment=plan.environment(),
    )
    try:
        campaign = Campaign(plan, up, place, result, say)
        try:
            campaign.run()
        finally:
            campaign.abandon()
            result.facts |= campaign.load.facts()
    finally:
        up.close()


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ops.faults", description=__doc__)
    parser.add_argument("--faults", type=int, help=f"default {Plan().n_faults}")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--live-series", type=int, help="of the client that sends the present")
    parser.add_argument("--short", action="store_true", help="as in CI: few faults, short ones")
    parser.add_argument("--together", type=int, help="faults between two recoveries")
    parser.add_argument("--without", action="append", default=[], choices=list(map(str, Kind)))
    parser.add_argument("--grow", action="store_true", help="add a partition now and then")
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE of a setting")
    parser.add_argument("--layout", type=int, action="append", help="workers and edges of a group")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--report", type=Path, help="Markdown file to write")
    return parser.parse_args(arguments)


def _plan(given: argparse.Namespace) -> Plan:
    base = SHORT if given.short else Plan()
    return replace(
        base,
        seed=given.seed,
        n_faults=given.faults or base.n_faults,
        together=given.together or base.together,
        n_live=given.live_series or base.n_live,
        layouts=tuple(given.layout or base.layouts),
        without=frozenset(map(Kind, given.without)) | (UNASKED if not given.grow else frozenset()),
        settings=tuple(_pair(one) for one in given.set),
    )


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
