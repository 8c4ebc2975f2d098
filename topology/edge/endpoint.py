"""What a protocol gives the edge: paths, how a body is read, and how its sender is answered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from topology.edge.compression import Encoding
from topology.edge.intake import Intake
from topology.http import Refused, answer_refused
from topology.keys import key_of_request
from topology.tenants import Tenant

# What compiled code decodes in some 2 ms; a larger body would hold up the requests of others.
AT_ONCE_BYTES = 1 << 20


class BodyFormat(Protocol):
    """One form of body of a protocol."""

    @property
    def name(self) -> str:
        """The `protocol` of the metrics."""

    @property
    def at_once_bytes(self) -> int:
        """Up to how many bytes are read in the event loop: some 2 ms of decoding."""

    @property
    def encodings(self) -> Mapping[str, Encoding]:
        """What each Content-Encoding that is taken means, lower case; "" for no such header."""

    def read(self, body: NDArray[np.uint8], tenant: Tenant, now_ms: int) -> Intake:
        """Decode a body, uint8 (n,), read-only and only lent. Raises MalformedBody.

        Runs in the event loop or in a thread beside it.
        """

    def answer(self, intake: Intake) -> Response:
        """Answer a request all of whose good samples the broker has acknowledged."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path that takes samples, by POST if nothing else is said.

    choose: returns the format of a request's body by its headers and query; raises Refused.
    refuse: the protocol's form of an answer to what was refused as a whole. key_of: where the
    protocol's senders put their key.
    """

    path: str
    choose: Callable[[Request], BodyFormat]
    refuse: Callable[[Request, Refused], Response] = lambda _, refused: answer_refused(refused)
    key_of: Callable[[Request], str | None] = lambda request: key_of_request(request.headers)
    methods: tuple[str, ...] = ("POST",)
