"""The scoped keys that requests come with."""

from __future__ import annotations

import time

from traitlets import Instance
from traitlets.config import LoggingConfigurable

from ..store.cache import Cache
from ..store.records import KeyRecord
from ..store.store import Store
from . import keys

# A revoked key stays good for at most so long, since the store is not asked again in
# each request.
CACHE_SECONDS = 2.0
MAX_CACHED = 1_000


class Keyring(LoggingConfigurable):
    """Checks keys against the store."""

    store = Instance(Store)

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._cache: Cache[str, KeyRecord] = Cache(MAX_CACHED, CACHE_SECONDS)

    async def check(self, text: str) -> KeyRecord | str:
        """The record of the key `text`, or why it is not good.

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
