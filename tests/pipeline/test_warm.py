"""Kernels are compiled at set-up, never while the pipeline runs."""

import subprocess
import sys

SCRIPT = """
import importlib
import pkgutil
import numba.core.dispatcher as d
import pipeline
from pipeline.warm import compile_all
compile_all()
compile_all()
for found in pkgutil.walk_packages(pipeline.__path__, 'pipeline.'):
    module = importlib.import_module(found.name)
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
