"""The table of all paths that take samples: each protocol adds its rows."""

from typing import Any

import msgspec

from topology.edge.endpoint import Endpoint
from topology.edge.intake import Registry
from topology.edge.protocols import exposition, influx, json_points, otlp, remote_write
from topology.openapi import Error, Spec, choice

_PROTOBUF, _JSON, _TEXT = "application/x-protobuf", "application/json", "text/plain"


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a request, as OTLP (google.rpc.Status) and InfluxDB 2 say it.

    code: a number of google.rpc.Code, or a word of InfluxDB. line: the first that is refused.
    """

    code: int | str
    message: str
    line: int | None = None


class PushRefused(msgspec.Struct, frozen=True):
    """How many samples of a text are taken and refused, and what is wrong with lines of it."""

    error: str
    accepted: int
    rejected: int
    errors: list[dict[str, int | str]]


_INGEST = Spec(
    "takes JSON points",
    media_types=(_JSON, "application/x-ndjson"),
    answer=json_points.Ingested,
    refusals=(Error, json_points.Ingested),
)
_INFLUX_1 = Spec(
    "takes Influx line protocol, as InfluxDB 1",
    media_types=(_TEXT,),
    query=(choice("precision", "unit of timestamps", influx.PRECISIONS_1),),
    answers=(204,),
)
_INFLUX_2 = Spec(
    "takes Influx line protocol, as InfluxDB 2",
    media_types=(_TEXT,),
    query=(choice("precision", "unit of timestamps", influx.PRECISIONS_2),),
    answers=(204,),
    refusals=(Fault,),
    more_refusals=(422,),
)
# Bodies and answers, for the OpenAPI document; by path.
_SPECS = {
    **dict.fromkeys(json_points.PATHS, _INGEST),
    remote_write.PATH: Spec(
        "takes remote write",
        media_types=(_PROTOBUF,),
        answers=(204,),
        refusal_types=(_JSON, _TEXT),
    ),
    otlp.PATH: Spec(
        "takes OTLP metrics",
        media_types=(_PROTOBUF, _JSON),
        answer=dict[str, Any],
        produces=(_PROTOBUF,),
        refusals=(Fault,),
        refusal_types=(_JSON, _PROTOBUF),
    ),
    influx.PATH_1: _INFLUX_1,
    influx.PATH_2: _INFLUX_2,
}
_OTHER = Spec(
    "takes text exposition",
    media_types=(_TEXT, "application/openmetrics-text"),
    answers=(204,),
    refusals=(Error, PushRefused),
)


def spec_of(path: str) -> Spec:
    """Return what the OpenAPI document says of a path that takes samples."""
    return _SPECS.get(path, _OTHER)


def make_endpoints(registry: Registry) -> list[Endpoint]:
    """Return the endpoints of all protocols; what they remember of series is in the registry."""
    return [
        *json_points.endpoints(registry),
        *remote_write.endpoints(registry),
        *otlp.endpoints(registry),
        *influx.endpoints(registry),
        *exposition.endpoints(registry),
    ]
