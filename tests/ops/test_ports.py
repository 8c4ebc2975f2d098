"""Ports of a deployment."""

import socket

import pytest

from ops.ports import PortInUseError, check_ports_free, free_base_port, required_ports
from topology.settings import Settings


def test_the_ports_are_those_of_the_contract() -> None:
    """Edge P, store P+1, worker P+2, notifier P+3, Kafka P+11 and P+12."""
    users = {port: user for port, (user, _) in required_ports(Settings(port=9000)).items()}

    assert users == {
        9000: "edge",
        9001: "store",
        9002: "worker",
        9003: "notifier",
        9011: "kafka",
        9012: "kafka's controller",
    }


def test_an_external_kafka_needs_no_ports_here() -> None:
    """Only the roles' ports are asked for."""
    assert set(required_ports(Settings(port=9000, kafka="k:9092"))) == {9000, 9001, 9002, 9003}


@pytest.mark.parametrize(("offset", "user"), [(0, "edge"), (1, "store"), (11, "kafka")])
def test_a_taken_port_is_named_with_its_user_and_the_way_out(offset: int, user: str) -> None:
    """The message says which port, for whom, and which base would do."""
    base = free_base_port()
    settings = Settings(port=base)
    check_ports_free(settings)

    with (
        socket.create_server(("127.0.0.1", base + offset)),
        pytest.raises(
            PortInUseError, match=rf"port {base + offset}, needed for {user},.*--port \d+"
        ),
    ):
        check_ports_free(settings)


def test_further_processes_have_ports_of_their_own() -> None:
    """Edge k on P+20+k, worker k on P+40+k, and all of them are looked at before a start."""
    settings = Settings(port=9000, kafka="k:9092", edges=3, workers=2)

    users = {port: user for port, (user, _) in required_ports(settings).items()}

    assert users == {
        9000: "edge",
        9001: "store",
        9002: "worker",
        9003: "notifier",
        9021: "edge-1",
        9022: "edge-2",
        9041: "worker-1",
    }
