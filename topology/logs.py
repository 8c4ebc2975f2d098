"""Logs: JSON lines per role under the data directory, readable lines on a terminal."""

import faulthandler
import logging
import logging.handlers
import sys
from pathlib import Path

import structlog
from structlog.typing import Processor

MAX_BYTES, KEPT_FILES = 10 << 20, 5

# Libraries whose INFO lines tell an operator nothing, or (faust's livelock hints) something false.
_QUIET = {
    "aiokafka": logging.WARNING,
    "faust": logging.WARNING,
    "mode": logging.WARNING,
    "numba": logging.WARNING,
    "asyncio": logging.WARNING,
    "clickhouse_connect": logging.WARNING,
    "uvicorn": logging.WARNING,
    "sqlglot": logging.ERROR,
    "topology.worker.app": logging.WARNING,  # mode logs under the name of the app's module
}

_REPEAT_AFTER_S = 10.0
_REMEMBERED = 100


class _RepeatFilter(logging.Filter):
    """Passes a line of aiokafka again only after a while.

    Without a broker it repeats itself a hundred times a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._passed_s: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes."""
        if not record.name.startswith("aiokafka"):
            return True
        line = (record.name, record.msg)
        if record.created - self._passed_s.get(line, 0.0) < _REPEAT_AFTER_S:
            return False
        if len(self._passed_s) >= _REMEMBERED:
            self._passed_s.clear()
        self._passed_s[line] = record.created
        return True


class _LogFile(logging.handlers.RotatingFileHandler):
    """A log file; on a full disk its lines are on standard error only, without tracebacks."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Let go of a line that there is no room for."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def configure_logs(role: str, folder: Path, level: str) -> structlog.stdlib.BoundLogger:
    """Send this process's logs to FOLDER/ROLE.jsonl (rotated) and to standard error.

    Standard error gets readable lines where it is a terminal and JSON elsewhere.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    as_json = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        foreign_pre_chain=shared,
    )
    readable = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.dev.ConsoleRenderer(colors=True),
        ],
        foreign_pre_chain=shared,
    )
    file = _LogFile(folder / f"{role}.jsonl", maxBytes=MAX_BYTES, backupCount=KEPT_FILES)
    file.setFormatter(as_json)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(readable if sys.stderr.isatty() else as_json)
    for handler in (file, terminal):
        handler.addFilter(_RepeatFilter())
    logging.basicConfig(level=level, handlers=[file, terminal], force=True)
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(max(quiet, logging.getLevelName(level)))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # A crash in native code leaves its Python stacks where the supervisor looks.
    faulthandler.enable(file=(folder / f"{role}.crash").open("w"))
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(role)
    return logger
