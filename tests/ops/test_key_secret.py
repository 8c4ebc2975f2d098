"""A key secret that has leaked is given up: all keys end, and the next start takes another."""

import pytest

from ops.key_secret import forget
from tests.topology.running import bootstrap, make_context
from topology.bootstrap import bootstrap_records
from topology.config_feed import ConfigFeed
from topology.settings import Settings
from topology.tenants import built_in_tiers, default_tenant

pytestmark = pytest.mark.broker


async def test_a_secret_is_given_up_and_the_next_one_taken(own_settings: Settings) -> None:
    """Keys under the old one open nothing; whoever has the machine has a new one."""
    old = await bootstrap(own_settings)
    await forget(own_settings)
    own_settings.key_file.unlink()
    own_settings.key_secret_file.unlink()

    feed = ConfigFeed(make_context("store", own_settings))
    await feed.start()
    ring = feed.ring
    wanted = default_tenant(own_settings)
    for record in bootstrap_records(ring, own_settings.key_file, wanted, built_in_tiers(), 0):
        ring.apply(*record)
    await feed.stop()

    assert ring.problem is None
    assert ring.lookup(old, 1) is None
    new = ring.lookup(own_settings.key_file.read_text().strip(), 1)
    assert new is not None
    assert "admin" in new.scopes
