"""The operator's rules for scores, read from their file."""

import tomllib
from pathlib import Path

from pipeline.scoring.rules import SeriesRules


def read_rules(file: Path | None) -> SeriesRules:
    """Return the rules of a TOML file, the shipped ones without. Raises ValueError."""
    if file is None:
        return SeriesRules()
    try:
        return SeriesRules.parse(tomllib.loads(file.read_text()))
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
