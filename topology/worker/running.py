"""A stage with the Faust app that drives it."""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from topology.readers import watch_readers
from topology.runtime import Context
from topology.skips import Skips
from topology.worker.app import build_app
from topology.worker.checkpoints import interval_s
from topology.worker.stage import Stage
from topology.worker.work import Work

_OBSERVE_S = 1.0
_LAST_CHECKPOINT_S, _STOP_S = 3.0, 5.0


class RunningStage:
    """Lets an app's stream and its rebalances drive a stage.

    least_s: between two checkpoints. waiting: names of stages that have no partitions yet; the
    role has started when there are none.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it is made of
        self,
        context: Context,
        producer: AIOKafkaProducer,
        work: Work[Any, Any],
        skips: Skips,
        least_s: float,
        waiting: set[str],
    ) -> None:
        self._context = context
        self._name = work.name
        self._least_s = least_s
        self._waiting = waiting
        waiting.add(work.name)
        self.app = build_app(context.settings, work.name)
        self._stage = Stage(context, self.app, producer, work, skips)
        self._skips_changed = asyncio.Event()
        self.app.agent(self.app.topic(self._stage.topic, value_serializer="raw"))(self._take_all)
        self.app.on_partitions_revoked.connect(self._revoked, weak=False)
        self.app.on_rebalance_complete.connect(self._assigned, weak=False)

    def watches(self) -> Iterator[Coroutine[None, None, None]]:
        """Yield what runs beside the stage until cancelled."""
        yield self._checkpoint_regularly()
        yield self._observe_regularly()
        yield self._watch()
        yield self._watch_readers()
        yield self._go_on_when_allowed()

    def skips_changed(self) -> None:
        """Look whether a partition that stands still may go on."""
        self._skips_changed.set()

    async def stop(self) -> None:
        """Write a last checkpoint if there is time, then leave the group."""
        if self._context.failed is None:
            # Shortens the replay after the restart; a kill instead costs nothing but that.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stage.checkpoint(), _LAST_CHECKPOINT_S)
        await asyncio.wait_for(self.app.stop(), _STOP_S)

    async def _take_all(self, stream: Any) -> None:
        # Not take(): that acknowledges a record even when this loop raises.
        async for event in stream.noack().events():
            try:
                await self._stage.take(event)
            except Exception as error:
                # A bug, or a broker that refuses: only a new start reads the record again.
                self._context.log.exception("stage", stage=self._name)
                self._context.fail(f"{self._name} stage: {error!r}")
                return

    async def _revoked(self, *_: Any, **__: Any) -> None:
        with contextlib.suppress(KafkaError, TimeoutError):
            await self._stage.revoke()

    async def _assigned(self, *_: Any, **__: Any) -> None:
        found = self.app.consumer.assignment()
        try:
            await self._stage.assign([tp for tp in found if tp.topic == self._stage.topic])
        except Exception as error:
            # Never go on with state that was not loaded.
            self._context.log.exception("loading checkpoints", stage=self._name)
            self._context.fail(f"{self._name} checkpoints: {error!r}")
            raise
        self._waiting.discard(self._name)
        if not self._waiting:
            self._context.health.set("start", None)

    async def _checkpoint_regularly(self) -> None:
        while True:
            await asyncio.sleep(interval_s(self._least_s, self._stage.checkpoint_bytes()))
            try:
                await self._stage.checkpoint()
            except KafkaError as error:
                self._context.fail(f"{self._name} checkpoint: {error!r}")

    async def _observe_regularly(self) -> None:
        while True:
            self._stage.observe()
            await asyncio.sleep(_OBSERVE_S)

    async def _watch_readers(self) -> None:
        await watch_readers(self._context, self.app.conf.id, [self._stage.topic], self._join_again)

    async def _go_on_when_allowed(self) -> None:
        """Begin all partitions anew, as after a restart, when one that stands still may go on."""
        while True:
            await self._skips_changed.wait()
            self._skips_changed.clear()
            if self._stage.may_go_on():
                self._context.log.info("joining again", reason="records may be passed over")
                await self._join_again()

    async def _join_again(self) -> None:
        await self.app.consumer.subscribe([self._stage.topic])

    async def _watch(self) -> None:
        await self.app.wait_until_stopped()
        self._context.fail(f"the Faust app of stage {self._name} has stopped by itself")
