"""`observai setup`: everything that a first start would otherwise wait for."""

import sys
import time

from ops.broker.files import ensure_files
from ops.broker.process import BrokerError, train
from ops.kernels import drop_stale
from ops.progress import report_download
from pipeline.warm import compile_all
from topology.settings import Settings


def run_setup(settings: Settings) -> None:
    """Fetch Kafka, archive its classes, compile the numba kernels; done steps cost nothing.

    Raises BrokerFilesError.
    """
    if settings.kafka is None:
        _say("Kafka's files")
        ensure_files(settings.cache_dir, report_download())
        _say("Kafka's class archive (a trial run, once)")
        try:
            train(settings)
        except BrokerError as error:
            _say(f"left out, Kafka will start a second slower: {error}")
    compile_kernels()


def compile_kernels() -> None:
    """Compile what is not compiled of the sources as they are."""
    drop_stale()
    _say("compiling the pipeline's kernels")
    began_s = time.monotonic()
    compile_all()
    _say(f"done in {time.monotonic() - began_s:.0f} s")


def _say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)
