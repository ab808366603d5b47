"""What turns took, written to the store after each turn."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from traitlets import Instance
from traitlets.config import LoggingConfigurable

from ..access.callers import Caller
from ..claude_code.tasks import BackgroundTasks
from ..claude_code.usage import AccountTo, TurnAccount
from ..errors import ProjectNotFound, StoreUnavailable
from ..store.records import Project, SessionRecord, Tokens, TurnRecord
from ..store.store import Store
from .discovery import TERMINAL
from .projects import Projects

# Maximum time that a slow store delays the end of the server, and a list of sessions.
CLOSE_SECONDS = 5.0
FLUSH_SECONDS = 1.0


class UsageRecorder(LoggingConfigurable):
    """Writes the account of each turn to the store, and the new sessions."""

    store = Instance(Store)
    projects = Instance(Projects)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._tasks = BackgroundTasks(self.log)

    def recorder(
        self,
        caller: Caller,
        project: Project | None,
        session: SessionRecord | None,
        system: str = "",
    ) -> AccountTo:
        """A function that records the account of a turn of `caller`.

        Call it when the turn has ended. It does not wait for the store. A conversation
        in a project that has no `session` yet gets one, with the prompt `system`.
        """

        def record(account: TurnAccount) -> None:
            """Record `account` in the background."""
            if session is not None:
                session.totals.turns += 1  # so it counts as started from now on
            work = self._record(caller, project, session, system, account)
            self._tasks.start(work)

        return record

    async def flush(self) -> None:
        """Wait until the ended turns are in the store, or until `FLUSH_SECONDS` pass.

        Does nothing while the store is unavailable.
        """
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._tasks.wait_for_current()
                await self.store.flush()

    async def close(self) -> None:
        """Hand over to the store what is being recorded; `CLOSE_SECONDS` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._tasks.wait()

    async def _record(
        self,
        caller: Caller,
        project: Project | None,
        session: SessionRecord | None,
        system: str,
        account: TurnAccount,
    ) -> None:
        # The store looks for the project again when it writes the turn. So a failure
        # here does no harm.
        project_id = None if project is None else project.id
        try:
            if project is not None:
                project_id = (await self.projects.registered(project)).id
            if session is None and account.session_id:
                await self._add_session(
                    _session_of(caller, project_id, system, account)
                )
        except ProjectNotFound:
            project_id = None
            self.log.info("a turn ended in a project that is forgotten")
        except StoreUnavailable as error:
            # Discovery finds the session again, by its transcript.
            self.log.warning("session not recorded yet: %s %s", error, error.detail)
        self.store.record(_turn_of(caller, project_id, account))

    async def _add_session(self, record: SessionRecord) -> None:
        found = await self.store.put_session(record)
        if found.owner == TERMINAL:
            # Discovery found its transcript before its first turn ended.
            await self.store.update_session(
                record.id,
                owner=record.owner,
                model=record.model,
                system=record.system,
            )


def _session_of(
    caller: Caller, project_id: str | None, system: str, account: TurnAccount
) -> SessionRecord:
    return SessionRecord(
        id=account.session_id,
        owner=caller.principal,
        project_id=project_id,
        model=account.model,
        system=system,
        created_at=account.started_at,
        updated_at=account.started_at,
    )


def _turn_of(
    caller: Caller, project_id: str | None, account: TurnAccount
) -> TurnRecord:
    usage = account.usage
    return TurnRecord(
        owner=caller.principal,
        model=account.model,
        outcome=account.outcome,
        started_at=account.started_at,
        duration_seconds=account.duration_seconds,
        first_token_seconds=account.first_token_seconds,
        tokens=Tokens(
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_input_tokens,
            usage.cache_creation_input_tokens,
        ),
        cost_usd=usage.cost_usd,
        session_id=account.session_id or None,
        project_id=project_id,
        key_id=None if caller.key is None else caller.key.id,
    )
