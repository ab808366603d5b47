"""The one cache of this package: bounded in number, in weight and in age."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from math import inf
from typing import Generic, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class _Entry(NamedTuple, Generic[Value]):
    value: Value
    stored_at: float
    weight: int


class Cache(Generic[Key, Value]):
    """Values by key, for as long as they are fresh and there is room for them.

    A new value takes the place of the least recently used ones. The newest value
    stays, even if it alone is heavier than `max_weight`.

    Parameters
    ----------
    max_entries:
        Maximum number of values.
    max_age_seconds:
        Maximum age of a value that `get` returns.
    max_weight:
        Maximum sum of the weights of all values.
    weigh:
        Returns the weight of a value, at the time it is stored.
    clock:
        Returns the current time in seconds.
    """

    def __init__(
        self,
        max_entries: float = inf,
        max_age_seconds: float = inf,
        *,
        max_weight: float = inf,
        weigh: Callable[[Value], int] = lambda value: 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_entries = max_entries
        self._max_age_seconds = max_age_seconds
        self._max_weight = max_weight
        self._weigh = weigh
        self._clock = clock
        self._entries: OrderedDict[Key, _Entry[Value]] = OrderedDict()
        self._weight = 0
        self._generation = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def weight(self) -> int:
        """The sum of the weights of all values."""
        return self._weight

    @property
    def generation(self) -> int:
        """The number of times that `clear` was called; see `put`."""
        return self._generation

    def get(self, key: Key) -> Value | None:
        """The fresh value of `key`, None if there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._clock() - entry.stored_at >= self._max_age_seconds:
            self.forget(key)
            return None
        self._entries.move_to_end(key)
        return entry.value

    def put(self, key: Key, value: Value, generation: int | None = None) -> None:
        """Store `value`, and forget the least recently used values if need be.

        If the value was read while `clear` was called, it may be out of date. So read
        `generation` before you read the value, and pass it: then a value from before
        the last `clear` is not stored.
        """
        if generation is not None and generation != self._generation:
            return
        self.forget(key)
        weight = self._weigh(value)
        self._entries[key] = _Entry(value, self._clock(), weight)
        self._weight += weight
        while len(self._entries) > 1 and (
            len(self._entries) > self._max_entries or self._weight > self._max_weight
        ):
            self.forget(next(iter(self._entries)))

    async def load(
        self, key: Key, query: Callable[[Key], Awaitable[Value | None]]
    ) -> Value | None:
        """The value of `key`: the fresh one, or else the result of `query`.

        A result of None is not stored.
        """
        if (known := self.get(key)) is not None:
            return known
        generation = self._generation
        found = await query(key)
        if found is not None:
            self.put(key, found, generation)
        return found

    def forget(self, key: Key) -> None:
        """Forget the value of `key`, if there is one."""
        if (entry := self._entries.pop(key, None)) is not None:
            self._weight -= entry.weight

    def clear(self) -> None:
        """Forget all values, also those that are being read at this moment."""
        self._generation += 1
        self._entries.clear()
        self._weight = 0
