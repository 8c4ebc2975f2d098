"""Kernels are compiled at set-up, never while the pipeline runs."""

import subprocess
import sys

SCRIPT = """
import numba.core.dispatcher as d
from pipeline.warm import compile_all
compile_all()
compile_all()
from pipeline import arena, coarsen, hashing, known_series, label_cache, ordering, refold
from pipeline import remote_write, routing, rows, series_labels, sketch, stretches, window_state
from pipeline import wire
from pipeline.anomaly import step
for module in (arena, coarsen, hashing, known_series, label_cache, ordering, refold, remote_write,
               routing, rows, series_labels, sketch, step, stretches,
               window_state, wire):
    for name, kernel in vars(module).items():
        if isinstance(kernel, d.Dispatcher) and kernel.targetoptions.get('inline') != 'always':
            # One that only other kernels call is compiled into them.
            assert len(kernel.signatures) <= 1, (name, kernel.signatures)
            assert sum(kernel.stats.cache_misses.values()) == 0, (name, kernel.stats)
print('warm')
"""


def test_a_second_process_compiles_nothing() -> None:
    """Each kernel has one signature, and the cache holds it."""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
        )

    assert done.stdout == "warm\n", done.stderr
