"""The table of all paths that take samples: each protocol adds its rows."""

from topology.edge.endpoint import Endpoint
from topology.edge.intake import Registry
from topology.edge.protocols import exposition, influx, json_points, otlp, remote_write


def make_endpoints(registry: Registry) -> list[Endpoint]:
    """Return the endpoints of all protocols; what they remember of series is in the registry."""
    return [
        *json_points.endpoints(registry),
        *remote_write.endpoints(registry),
        *otlp.endpoints(registry),
        *influx.endpoints(registry),
        *exposition.endpoints(registry),
    ]
