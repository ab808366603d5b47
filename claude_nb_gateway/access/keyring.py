"""Checks the scoped keys of requests."""

from __future__ import annotations

import time

from traitlets import Instance
from traitlets.config import LoggingConfigurable

from ..store.records import KeyRecord
from ..store.store import Store
from . import keys

# The time for which a key from the store is remembered, so that not every request asks
# the store. For the same time a key stays valid after it is revoked.
KNOWN_SECONDS = 2.0
MOST_KNOWN = 1_000


class Keyring(LoggingConfigurable):
    """Checks keys against the store."""

    store = Instance(Store)

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._known: dict[str, tuple[float, KeyRecord]] = {}

    async def check(self, text: str) -> KeyRecord | str:
        """The record of the key `text`, or the reason why it is not valid.

        Raises
        ------
        StoreUnavailable
            The keys cannot be read.
        """
        key_id = keys.key_id(text)
        record = None if key_id is None else await self._record(key_id)
        if record is None or not keys.matches(text, record):
            return "There is no such API key; a key opens its owner's server alone."
        return keys.refusal(record, time.time()) or record

    async def _record(self, key_id: str) -> KeyRecord | None:
        asked, known = self._known.get(key_id, (0.0, None))
        if known is not None and time.monotonic() - asked < KNOWN_SECONDS:
            return known
        record = await self.store.key(key_id)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known.pop(key_id, None)
        if record is not None:
            self._known[key_id] = (time.monotonic(), record)
        return record
