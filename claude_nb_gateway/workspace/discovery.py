"""Sessions that were started in a terminal, found by their transcripts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from ..claude_code.transcripts import Transcripts
from ..store.cache import Cache
from ..store.records import Project, SessionRecord
from ..store.store import Store

#: The owner of the sessions that were started in a terminal.
TERMINAL = "terminal"

MAX_REMEMBERED = 100_000


class Discovery:
    """Adds to the store the sessions that it does not know yet.

    It remembers the transcripts that it has seen, and reads only those that changed.

    Parameters
    ----------
    store:
        Where the sessions are added.
    transcripts:
        Returns the CLI's transcripts. They move with the CLI's configuration.
    max_remembered:
        Maximum number of transcripts to remember. Those of a directory are forgotten
        together, and are read again next time.
    """

    def __init__(
        self,
        store: Store,
        transcripts: Callable[[], Transcripts],
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        self._store = store
        self._transcripts = transcripts
        # Of each directory, the sessions and the times when they last changed.
        self._seen: Cache[str, dict[str, float]] = Cache(
            max_weight=max_remembered, weigh=len
        )

    @property
    def remembered(self) -> int:
        """The number of transcripts that it remembers."""
        return self._seen.weight

    async def discover(self, projects: Sequence[Project]) -> None:
        """Add the sessions of `projects` that started, or went on, in a terminal."""
        transcripts = self._transcripts()
        looked_at = [
            (project, self._seen_in(project.directory)) for project in projects
        ]

        def look() -> list[tuple[Project, dict[str, tuple[float, str]]]]:
            """The sessions that changed, of each project; does file I/O."""
            return [
                (project, changed)
                for project, seen in looked_at
                if (changed := transcripts.changed(project.directory, seen))
            ]

        for project, changed in await asyncio.to_thread(look):
            await self._add(project, changed)

    async def _add(
        self, project: Project, changed: Mapping[str, tuple[float, str]]
    ) -> None:
        records = [
            SessionRecord(
                id=session_id,
                owner=TERMINAL,
                project_id=project.id,
                created_at=at,
                updated_at=at,
                last_uuid=tail,
            )
            for session_id, (at, tail) in changed.items()
        ]
        await self._store.put_sessions(records)
        known = self._seen_in(project.directory)
        for record in records:
            if record.id in known:
                await self._store.update_session(
                    record.id, updated_at=record.updated_at
                )
        seen = {record.id: record.updated_at for record in records}
        self._seen.put(project.directory, self._seen_in(project.directory) | seen)

    def _seen_in(self, directory: str) -> dict[str, float]:
        return self._seen.get(directory) or {}

    async def add_titles(
        self, records: Sequence[SessionRecord], projects: dict[str, Project]
    ) -> None:
        """Give each session without a title the one that its transcript suggests.

        `projects` are the projects of the sessions, by id.
        """
        describe = self._transcripts().describe
        for record in records:
            if record.title or record.project_id not in projects:
                continue
            directory = projects[record.project_id].directory
            recorded = await asyncio.to_thread(describe, directory, record.id)
            if recorded is not None and recorded.title:
                record.title = recorded.title
                record.created_at = recorded.created_at
                await self._store.update_session(
                    record.id, title=recorded.title, created_at=recorded.created_at
                )

    def forget(self, directory: str, session_id: str | None = None) -> None:
        """Forget a transcript of `directory`, or all of them."""
        if session_id is None:
            self._seen.forget(directory)
            return
        seen = self._seen_in(directory)
        if session_id in seen:
            rest = {known: at for known, at in seen.items() if known != session_id}
            self._seen.put(directory, rest)
