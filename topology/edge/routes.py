"""The table of all paths that take samples: each protocol adds its rows."""

from topology.edge.endpoint import Endpoint
from topology.edge.intake import Registry
from topology.edge.protocols import exposition, influx, json_points, otlp, remote_write
from topology.openapi import Spec

_PROTOBUF, _JSON, _TEXT = "application/x-protobuf", "application/json", "text/plain"
# Bodies and successes, for the OpenAPI document; by the beginning of a path.
_SPECS = {
    "/api/v1/ingest": Spec("takes JSON points", media_types=(_JSON, "application/x-ndjson")),
    "/functions/v1/ingest": Spec("takes JSON points", media_types=(_JSON, "application/x-ndjson")),
    "/api/v1/write": Spec("takes remote write", media_types=(_PROTOBUF,), answers=(204,)),
    "/v1/metrics": Spec("takes OTLP metrics", media_types=(_PROTOBUF, _JSON)),
    "/write": Spec("takes Influx line protocol", media_types=(_TEXT,), answers=(204,)),
    "/api/v2/write": Spec("takes Influx line protocol", media_types=(_TEXT,), answers=(204,)),
}
_OTHER = Spec("takes text exposition", media_types=(_TEXT,), answers=(200, 202, 204))


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
