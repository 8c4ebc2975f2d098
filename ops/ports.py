"""Ports of one deployment: which are taken, and a free base for tests and trials."""

import contextlib
import random
import socket

from ops.supervise.instances import FURTHER_PORTS, instances
from topology.settings import BROKER_PORT, CONTROLLER_PORT, ROLE_PORTS, Settings

# Above the usual services, below the range from which Linux takes ports of outgoing connections.
_FREE_RANGE = (20_000, 32_000)


class PortInUseError(Exception):
    """A port that the deployment needs is taken; the text names it and the way out."""


def required_ports(settings: Settings) -> dict[int, tuple[str, str]]:
    """Return by port who listens there and on which address."""
    ports = {one.port(settings): (one.name, settings.host) for one in instances(settings)}
    if settings.kafka is None:
        ports[settings.port + BROKER_PORT] = ("kafka", "127.0.0.1")
        ports[settings.port + CONTROLLER_PORT] = ("kafka's controller", "127.0.0.1")
    return ports


def check_ports_free(settings: Settings) -> None:
    """Raise PortInUseError for the first port that somebody listens on."""
    for port, (user, host) in required_ports(settings).items():
        if not _is_free(host, port):
            raise PortInUseError(
                f"port {port}, needed for {user}, is in use on {host}. Stop the program that "
                f"listens there (ss -ltnp 'sport = :{port}' names it), or choose another base: "
                f"--port {free_base_port(max(settings.edges, settings.workers))}"
            )


def free_base_port(n_processes: int = 1) -> int:
    """Return a base port whose whole range is free at this moment.

    n_processes: how many edges and workers are to find ports.
    """
    # Not of the shared generator, which test libraries set to the same state in each process.
    candidates = random.SystemRandom().sample(range(*_FREE_RANGE, CONTROLLER_PORT + 1), 100)
    offsets = [*ROLE_PORTS.values(), BROKER_PORT, CONTROLLER_PORT]
    offsets += [first + k for first in FURTHER_PORTS.values() for k in range(1, n_processes)]
    for base in candidates:
        if all(_is_free("127.0.0.1", base + offset) for offset in offsets):
            return base
    raise PortInUseError("no base port with all its ports free between 20000 and 32000")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        # As the servers do: connections of an earlier run that wait to time out are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
