"""Checks JSON schemas of clients, and values against them.

A client can make a check very slow. So it runs in a process of its own, which is ended
when it takes too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from traitlets import Float
from traitlets.config import LoggingConfigurable

from ..errors import GatewayError, InvalidRequest, TooBusy

WORKER = str(Path(__file__).with_name("schema_worker.py"))

# What Python and its libraries need to start. The worker needs no secrets.
KEPT_VARIABLES = ("PATH", "HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")

# The worker writes short lines, whatever it is asked.
LINE_LIMIT_BYTES = 2**20

_SIMPLIFY = "simplify its patterns and references, or leave `strict` out"


class _OutOfTime(Exception):
    """A check took too long, and the worker was ended."""


class SchemaChecker(LoggingConfigurable):
    """Checks schemas and values in one worker process.

    The process starts when it is first needed, and again after it was ended. Checks
    wait in a queue. Whoever makes a checker must `close` it.
    """

    check_cpu_seconds = Float(
        1.0,
        config=True,
        help="""Maximum processor time for checking one JSON schema, or one value
        against a schema. The request is refused when it takes longer.""",
    )
    check_timeout_seconds = Float(
        30.0,
        config=True,
        help="""Maximum time that a request waits for such a check, including the time
        in the queue.""",
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lock = asyncio.Lock()
        self._worker: asyncio.subprocess.Process | None = None

    async def check_schema(self, schema: str, path: str) -> None:
        """Check that `schema` is a JSON schema; `path` names its field.

        Raises
        ------
        InvalidRequest
            It is no schema, or the check takes too long.
        TooBusy
            Too many other checks are waiting.
        """
        try:
            said = await self._ask(schema, None)
        except _OutOfTime:
            raise InvalidRequest(
                f"`{path}`: The schema takes too long to check: {_SIMPLIFY}.",
                param=path,
            ) from None
        if said["error"]:
            where = ".".join([path, *map(str, said["at"])])
            raise InvalidRequest(f"`{where}`: {said['error']}.", param=where)

    async def mismatch(self, schema: str, value: str, param: str) -> str:
        """Why `value`, JSON as text, does not match `schema`; empty if it matches.

        The dialect is the one that the schema names, else 2020-12. `param` is the field
        of the schema.

        Raises
        ------
        InvalidRequest
            The check takes too long.
        TooBusy
            Too many others wait for their checks.
        """
        try:
            return str((await self._ask(schema, value))["error"])
        except _OutOfTime:
            raise InvalidRequest(
                f"`{param}`: The answer takes too long to check against the schema: "
                f"{_SIMPLIFY}.",
                param=param,
            ) from None

    async def close(self) -> None:
        """End the worker; a later check starts another."""
        async with self._lock:
            await self._end()

    async def _ask(self, schema: str, value: str | None) -> dict[str, Any]:
        question = json.dumps({"schema": schema, "value": value}).encode() + b"\n"
        deadline = asyncio.get_running_loop().time() + self.check_timeout_seconds
        try:
            async with asyncio.timeout_at(deadline):
                await self._lock.acquire()
        except TimeoutError:
            raise TooBusy(
                "Too many JSON schemas wait to be checked.", retry_after_seconds=5
            ) from None
        try:
            async with asyncio.timeout_at(deadline):
                return await self._exchange(question)
        except TimeoutError:
            await self._end()
            raise _OutOfTime from None
        except BaseException:
            # Otherwise its answer would go to the next question.
            await self._end()
            raise
        finally:
            self._lock.release()

    async def _exchange(self, question: bytes) -> dict[str, Any]:
        if self._worker is None or self._worker.returncode is not None:
            self._worker = await self._start()
        stdin, stdout = self._worker.stdin, self._worker.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(ConnectionError):
            stdin.write(question)
            await stdin.drain()
        line = await stdout.readline()
        if not line.endswith(b"\n"):
            raise TimeoutError
        said: dict[str, Any] = json.loads(line)
        return said

    async def _start(self) -> asyncio.subprocess.Process:
        environment = {
            name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ
        }
        # The worker imports from where we did, never from the working directory.
        places = [place for place in sys.path if os.path.isabs(place)]
        environment["PYTHONPATH"] = os.pathsep.join(places)
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            WORKER,
            str(self.check_cpu_seconds),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            cwd=os.path.dirname(WORKER),
            limit=LINE_LIMIT_BYTES,
        )
        self._worker = worker
        assert worker.stdout is not None
        if not await worker.stdout.readline():
            raise GatewayError(
                "The JSON schema could not be checked; the server's log says more.",
                detail=f"the worker ended with status {await worker.wait()}",
            )
        return worker

    async def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        with contextlib.suppress(ProcessLookupError):
            worker.kill()
        await worker.wait()
