"""Labels of one body's new series: read for their id, and mostly kept until announced."""

from collections.abc import Callable

import numpy as np

from pipeline.errors import MalformedBody
from pipeline.hashing import series_id_of

# The rest are read twice.
_MAX_KEPT = 10_000


class NewLabels:
    """What a decoder asks for where it meets a series that it does not know.

    read: gives the labels of a number that the decoder chooses, None where there are none; raises
    ValueError where they cannot be read, MalformedBody where the body as a whole is broken.
    """

    def __init__(
        self, read: Callable[[int], dict[str, str] | None], tenant_seed: np.uint64
    ) -> None:
        self._read = read
        self._seed = tenant_seed
        self._kept: dict[int, dict[str, str]] = {}

    def id_of(self, number: int) -> int:
        """Return the id of the series, 0 where its labels cannot be read or it has none."""
        try:
            labels = self._read(number)
        except MalformedBody:
            raise  # the body as a whole is refused
        except ValueError:
            return 0
        if labels is None:
            return 0
        if len(self._kept) < _MAX_KEPT:
            self._kept[number] = labels
        return series_id_of(self._seed, labels)

    def labels(self, number: int) -> dict[str, str]:
        """Return the labels of a series that has an id."""
        return self._kept.get(number) or self._read(number) or {}

    def fault(self, number: int) -> str | None:
        """Return why the labels cannot be read, None where they can."""
        try:
            self._read(number)
        except ValueError as error:
            return str(error)
        return None
