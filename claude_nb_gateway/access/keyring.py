"""Checks the scoped keys of requests."""

from __future__ import annotations

import time

from traitlets import Instance
from traitlets.config import LoggingConfigurable

from ..store.cache import Cache
from ..store.records import KeyRecord
from ..store.store import Store
from . import keys

# The time for which a key from the store is remembered, so that not every request asks
# the store. For the same time a key stays valid after it is revoked.
CACHE_SECONDS = 2.0
MAX_CACHED = 1_000


class Keyring(LoggingConfigurable):
    """Checks keys against the store."""

    store = Instance(Store)

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._cache: Cache[str, KeyRecord] = Cache(MAX_CACHED, CACHE_SECONDS)

    async def check(self, text: str) -> KeyRecord | str:
        """The record of the key `text`, or the reason why it is not valid.

        Raises
        ------
        StoreUnavailable
            The keys cannot be read.
        """
        key_id = keys.key_id(text)
        record = None
        if key_id is not None:
            record = await self._cache.load(key_id, self.store.key)
        if record is None or not keys.matches(text, record):
            return "There is no such API key; a key opens its owner's server alone."
        return keys.refusal(record, time.time()) or record
