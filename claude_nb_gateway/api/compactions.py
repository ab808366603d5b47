"""Summaries that clients keep for the gateway, sealed so that nobody changes them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from jupyter_core.paths import jupyter_data_dir
from traitlets import Unicode
from traitlets.config import LoggingConfigurable

from ..errors import InvalidRequest
from ..wire.responses.compaction import MOST_CONTENT, summary_item
from ..wire.responses.request import Item


class _Summary(msgspec.Struct):
    principal: str
    summary: str


class Compactions(LoggingConfigurable):
    """Seals summaries, and opens them for the principal they were made for.

    A `compaction` item contains the whole summary, so it outlives the process.
    """

    secret_file = Unicode(
        "",
        config=True,
        help="""File with the key that seals `compaction` items. It is made if it does
        not exist. By default it is in Jupyter's data directory. Servers that must read
        each other's items share one file.""",
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._key: Fernet | None = None
        self._reading = asyncio.Lock()

    async def seal(self, principal: str, summary: str) -> str:
        """`summary`, encrypted for `principal`: only this gateway can read it."""
        key = await self._fernet()
        data = msgspec.json.encode(_Summary(principal, summary))
        return (await asyncio.to_thread(key.encrypt, data)).decode()

    async def opened(
        self, items: Sequence[Item], principal: str, path: str
    ) -> list[Item]:
        """`items`, each `compaction` item replaced by its summary.

        Parameters
        ----------
        path:
            The name of an item in errors; ``{}`` stands for its index.

        Raises
        ------
        InvalidRequest
            An item was made elsewhere or for another principal, or was changed.
        """
        opened = list(items)
        for index, item in enumerate(items):
            if item.get("type") == "compaction":
                content = item.get("encrypted_content")
                where = f"{path.format(index)}.encrypted_content"
                summary = await self._opened(content, principal, where)
                opened[index] = summary_item(summary)
        return opened

    async def _opened(self, content: Any, principal: str, where: str) -> str:
        key = await self._fernet()
        if _can_be_sealed(content):
            with contextlib.suppress(InvalidToken, msgspec.DecodeError):
                data = await asyncio.to_thread(key.decrypt, content)
                sealed = msgspec.json.decode(data, type=_Summary)
                if sealed.principal == principal:
                    return sealed.summary
        raise InvalidRequest(
            f"`{where}`: It was not made here for you, or was changed: send the items "
            "that it stands for.",
            param=where,
            code="invalid_encrypted_content",
        )

    async def _fernet(self) -> Fernet:
        async with self._reading:
            if self._key is None:
                self._key = await asyncio.to_thread(self._read)
        return self._key

    def _read(self) -> Fernet:
        default = Path(jupyter_data_dir(), "claude_nb_gateway", "compaction.key")
        path = Path(self.secret_file or default)
        try:
            return Fernet(_key_in(path))
        except (OSError, ValueError) as error:
            self.log.warning(
                "Compactions.secret_file: %s cannot be used (%s): `compaction` items "
                "of this server are lost with it.",
                path,
                error,
            )
            return Fernet(Fernet.generate_key())


def _can_be_sealed(content: Any) -> TypeGuard[str]:
    if not isinstance(content, str) or len(content) > MOST_CONTENT:
        return False
    return content.isascii()  # Fernet raises another error for other text


def _key_in(path: Path) -> bytes:
    """The key in `path`. It is made if there is none; of several makers one wins."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes().strip()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent)  # only its user can read it
    try:
        with open(descriptor, "wb") as file:
            file.write(Fernet.generate_key())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
    return path.read_bytes().strip()
