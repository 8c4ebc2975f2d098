"""Engine and store together against the samples, in all widths, without Kafka."""

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.topics import Topic
from tests.pipeline.model_store import ModelStore, assert_same
from tests.pipeline.test_engine import WIDTHS, Drawn, end_of, lay_out, records
from tests.topology.store.logs import TOPICS, Log, Store, stored
from tests.topology.store.rows import new_tenant
from topology.store.client import Engine

# Which topics are read, how many records of each, and after how many steps the store is killed.
rounds = st.lists(
    st.tuples(
        st.sets(st.sampled_from(TOPICS), min_size=1),
        st.integers(1, 30),
        st.one_of(st.none(), st.integers(0, 4)),
    ),
    max_size=6,
)


def assert_all_widths(engine: Engine, tenant: str, model: ModelStore) -> None:
    for width_ms in WIDTHS:
        assert_same(stored(engine, tenant, width_ms), model.truth(width_ms))


@settings(max_examples=25)
@given(records, rounds)
def test_all_widths_equal_the_samples_however_the_topics_are_read(
    engine: Engine, drawn: Drawn, drawn_rounds: list[tuple[set[Topic], int, int | None]]
) -> None:
    """Late, repeated, stale, out of order; one topic far ahead of others; kills between steps."""
    tenant = new_tenant()
    log, model = Log(tenant), ModelStore()
    blocks = lay_out(drawn)
    for block in [*blocks, end_of(blocks)]:
        log.write(block)
        model.insert(block)
    store = Store(engine, log)

    for topics, n_records, n_steps in drawn_rounds:
        store.round([topic for topic in TOPICS if topic in topics], n_records, n_steps)
    store.finish()

    assert_all_widths(engine, tenant, model)
