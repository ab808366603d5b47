"""Check with `claude auth status` whether the CLI is logged in."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping

import msgspec


class _Status(msgspec.Struct, rename="camel"):
    logged_in: bool


async def is_logged_in(
    cli: str, environment: Mapping[str, str], *, timeout_seconds: float
) -> bool | None:
    """Whether `cli` has a login or a key for its model; None if it does not say.

    The CLI runs in an empty directory, and sends no request to the model's API.
    """
    with tempfile.TemporaryDirectory(prefix="claude-gateway-") as directory:
        process = await asyncio.create_subprocess_exec(
            cli,
            *("auth", "status", "--json"),
            env=environment,
            cwd=directory,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
        )
        try:
            async with asyncio.timeout(timeout_seconds):
                output, _ = await process.communicate()
            return msgspec.json.decode(output, type=_Status).logged_in
        except (TimeoutError, msgspec.MsgspecError):
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
