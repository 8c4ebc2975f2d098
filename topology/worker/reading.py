"""From a record of topic samples to the blocks that the engine is fed, live and in a replay."""

import dataclasses

from schemas.samples import SampleBlock, check_storable, decode_samples


def read_blocks(payload: bytes, log_ms: int) -> list[SampleBlock]:
    """Return the record's blocks. Raises InvalidRecord or UnknownVersion.

    log_ms: when the broker took the record. No receive time is believed beyond it, so an edge
    whose clock is ahead does not close the windows of others; it stands in the log, so a
    replay sees the same.
    """
    blocks = [
        block if block.receive_ms <= log_ms else dataclasses.replace(block, receive_ms=log_ms)
        for block in decode_samples(payload)
    ]
    for block in blocks:
        check_storable(block)
    return blocks
