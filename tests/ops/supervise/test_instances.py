"""The role processes of one `observai up`."""

import pytest

from ops.supervise.instances import Instance
from topology.settings import Settings


@pytest.mark.parametrize(("own", "slots"), [("0", ["0", "1", "2"]), ("eu", ["eu", "eu-1", "eu-2"])])
def test_slots_differ_on_one_machine_and_between_machines(own: str, slots: list[str]) -> None:
    """Two machines with one Kafka give their `up` different slots, and none meets another."""
    base = Settings(slot=own)

    assert [Instance("worker", number).slot(base) for number in range(3)] == slots


def test_a_process_is_given_its_port_and_the_deployments_settings() -> None:
    base = Settings(port=9000, partitions=8)

    own = Instance("worker", 2).settings(base)

    assert own == base.model_copy(update={"slot": "2", "listen_port": 9042})
    assert own.kafka_bootstrap == base.kafka_bootstrap
    assert own.process_name("worker") == Instance("worker", 2).name
