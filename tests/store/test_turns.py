"""The queue of turns keeps them until the database takes them."""

from __future__ import annotations

import asyncio
import logging

import pytest

from claude_nb_gateway.errors import StoreUnavailable
from claude_nb_gateway.store.database_errors import LOCKED, REFUSED
from claude_nb_gateway.store.turns import BATCH_SIZE, TurnQueue

from .conftest import turn

pytestmark = pytest.mark.anyio


class Database:
    """Takes batches of turns, or refuses them."""

    def __init__(self):
        self.batches = []
        self.failures = []
        self.refused = set()
        self.written = asyncio.Condition()

    async def write(self, batch):
        if self.failures:
            raise StoreUnavailable(self.failures.pop(0))
        models = [turn.model for _, turn in batch]
        if self.refused & set(models):
            raise StoreUnavailable(REFUSED)
        self.batches.append(models)
        async with self.written:
            self.written.notify_all()

    @property
    def models(self):
        return [model for batch in self.batches for model in batch]


@pytest.fixture
def database():
    return Database()


@pytest.fixture
async def queue(database):
    queue = TurnQueue(
        database.write,
        max_turns=BATCH_SIZE + 10,
        retry_seconds=0,
        log=logging.getLogger("test"),
    )
    yield queue
    await queue.stop()


def add(queue, *models):
    for model in models:
        queue.add(turn(model=model))


async def test_turns_are_written_in_the_background(queue, database):
    add(queue, "a", "b")
    assert len(queue) == 2
    queue.start()
    queue.start()  # the writer is one
    async with asyncio.timeout(5), database.written:
        await database.written.wait_for(lambda: database.models == ["a", "b"])
    assert len(queue) == 0


async def test_batches_are_bounded(queue, database):
    add(queue, *(str(number) for number in range(BATCH_SIZE + 1)))
    await queue.flush()
    assert list(map(len, database.batches)) == [BATCH_SIZE, 1]


async def test_turns_stay_in_order_when_a_write_fails(queue, database):
    add(queue, "a", "b")
    database.failures = [LOCKED]
    with pytest.raises(StoreUnavailable):
        await queue.flush()
    add(queue, "c")
    await queue.flush()
    assert database.models == ["a", "b", "c"]


async def test_refused_turn_is_dropped_alone(queue, database, caplog):
    database.refused = {"b"}
    add(queue, "a", "b", "c")
    await queue.flush()
    assert database.models == ["a", "c"]
    assert "dropped a turn" in caplog.text


async def test_too_many_turns_lose_the_oldest(queue, database, caplog):
    add(queue, *(str(number) for number in range(BATCH_SIZE + 13)))
    await queue.flush()
    assert database.models[0] == "3"
    assert "3 turns were lost" in caplog.text


async def test_what_is_left_at_the_end_is_logged(queue, database, caplog):
    add(queue, "a", "b")
    await queue.stop()
    assert "2 turns were never stored" in caplog.text
