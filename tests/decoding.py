"""Looks at what decoders give."""

import numpy as np

from pipeline.decoded import Decoded


def all_labels(decoded: Decoded) -> list[dict[str, str]]:
    """Return the labels of each series of a body."""
    table = decoded.labels_of(np.arange(len(decoded.series_ids)))
    return [dict(table.labels(row)) for row in range(len(table))]
