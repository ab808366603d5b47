"""How scoped API keys are made, read and checked.

A key is ``cnbg_<id>_<secret>``. The id finds its record. Only the hash of the whole key
is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from ..store.records import KeyRecord

KEY_PREFIX = "cnbg_"

_KEY = re.compile(KEY_PREFIX + r"([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


def new_key() -> tuple[str, str, str]:
    """A new key: its text, its id and its hash. The text must be shown only once."""
    identity = secrets.token_hex(6)
    text = f"{KEY_PREFIX}{identity}_{secrets.token_urlsafe(32)}"
    return text, identity, _hash(text)


def key_id(text: str) -> str | None:
    """The id in the key `text`; None if `text` does not have the form of a key."""
    found = _KEY.fullmatch(text)
    return found[1] if found else None


def matches(text: str, record: KeyRecord) -> bool:
    """Whether `text` is the key of `record`; it takes the same time either way."""
    return hmac.compare_digest(_hash(text), record.hash)


def refusal(record: KeyRecord, now: float) -> str:
    """Why the key is not valid at `now`, in Unix seconds; empty if it is valid."""
    if record.revoked_at is not None:
        return "The API key has been revoked."
    if record.expires_at is not None and record.expires_at <= now:
        return "The API key has expired."
    return ""


def _hash(text: str) -> str:
    # A random key of 256 bits needs no slow hash: nobody can guess it.
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
