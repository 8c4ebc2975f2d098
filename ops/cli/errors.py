"""What a command says when it fails for a reason that its user can change."""

import contextlib
import sys
from collections.abc import Iterator

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
# Of commands whose 1 says that something differs: they could not tell.
EXIT_UNDECIDED = 2

# By name, so that a command that fails need not import the modules of all others.
_FAILURES = {
    "ApiError",
    "BacktestError",
    "BadSeriesFile",
    "BrokerError",
    "BrokerFilesError",
    "DataDirInUseError",
    "DeploymentError",
    "LogError",
    "MigrationError",
    "PartitionsError",
    "PortInUseError",
    "ReplayError",
    "SendError",
    "StoreUnavailable",
    "TooMuch",
    "TopicError",
    "VerifyError",
}
_USAGE = {"LimitError", "SettingsError", "TimeError"}


@contextlib.contextmanager
def explained(exit_failed: int = EXIT_FAILED) -> Iterator[None]:
    """Turn known errors into one line and an exit code; anything else is a bug and shows all."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader (head, less) has gone; a second error while closing would only confuse.
        sys.stderr.close()
        sys.exit(EXIT_FAILED)
    except Exception as error:
        name = type(error).__name__
        if name not in _FAILURES | _USAGE:
            raise
        print(f"observai: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE if name in _USAGE else exit_failed)
