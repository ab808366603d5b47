"""Sessions: conversations that outlive processes, in the CLI's own transcripts."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

from traitlets import Instance, default
from traitlets.config import LoggingConfigurable

from ..access.callers import Caller
from ..access.rights import Action, Reach, Resource
from ..claude_code.locations import sessions_directory
from ..claude_code.manager import CLIManager
from ..claude_code.transcripts import Entry, Transcripts
from ..errors import ProjectNotFound, SessionNotFound
from ..store.cache import Cache
from ..store.records import Project, SessionRecord
from ..store.store import Store
from .discovery import Discovery
from .projects import Projects
from .usage import UsageRecorder

#: Maximum number of sessions that are cached between their turns.
MAX_CACHED = 1_000
#: Maximum number of characters of their system prompts, which may be long.
MAX_CACHED_CHARACTERS = 16 * 2**20

PROJECTS_PER_PAGE = 1_000
MAX_MOVED = 100_000


class Sessions(LoggingConfigurable):
    """Finds, creates, lists, forks and deletes sessions."""

    store = Instance(Store)
    manager = Instance(CLIManager)
    projects = Instance(Projects)
    usage = Instance(UsageRecorder)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._discovery = Discovery(self.store, self._transcripts)
        self._cache: Cache[str, SessionRecord] = Cache(
            MAX_CACHED,
            max_weight=MAX_CACHED_CHARACTERS,
            weigh=lambda record: len(record.system),
        )

    @default("usage")
    def _default_usage(self) -> UsageRecorder:
        return UsageRecorder(parent=self, store=self.store, projects=self.projects)

    async def create(
        self,
        caller: Caller,
        project: Project | None,
        *,
        title: str = "",
        model: str = "",
        system: str = "",
    ) -> SessionRecord:
        """Create a session of `caller`.

        It has no transcript before its first turn.
        """
        now = time.time()
        record = SessionRecord(
            id=str(uuid.uuid4()),
            owner=caller.principal,
            project_id=None if project is None else project.id,
            created_at=now,
            updated_at=now,
            title=title,
            model=model,
            system=system,
        )
        return await self.store.put_session(record)

    async def get(
        self, caller: Caller, session_id: str, action: Action
    ) -> tuple[SessionRecord, Project | None]:
        """The session and its project; the session may be from a terminal.

        Raises
        ------
        SessionNotFound
            There is no such session, or the caller may not see it.
        NotAllowed
            The caller may see it, but may not do `action` with it.
        StoreUnavailable
        """
        record = await self._stored(session_id)
        return record, await self._checked(caller, record, action)

    async def resolve(
        self, caller: Caller, session_id: str
    ) -> tuple[SessionRecord, Project | None]:
        """The session and its project, for a turn in it.

        This is like `get`, but takes the session from the cache if it is there.
        Another server may have changed its title meanwhile, which does not matter to
        the turn; or deleted it with its transcript, which the turn notices itself.
        """
        record = self._cache.get(session_id)
        if record is None:
            record = await self._stored(session_id)
        self._cache.put(record.id, record)
        return record, await self._checked(caller, record, Action.CONTINUE)

    async def page(
        self, caller: Caller, project: Project | None, **page: Any
    ) -> tuple[list[SessionRecord], bool]:
        """A page of the sessions that `caller` may open, and whether there are more.

        With `project` only the sessions of that project. `page` has the parameters of
        `Store.sessions`.
        """
        owner = None
        if project is not None:
            projects = [project]
        else:
            projects = await self._projects_of(caller)
            if caller.reach(Resource.LONE_SESSION, Action.READ) is Reach.OWN:
                owner = caller.principal
        await self._discovery.discover(projects)
        by_id = {project.id: project for project in projects}
        records, more = await self.store.sessions(
            project_ids=list(by_id), owner=owner, **page
        )
        await self._discovery.add_titles(records, by_id)
        return records, more

    async def messages(
        self, record: SessionRecord, project: Project | None
    ) -> list[Entry]:
        """The messages of the conversation; see `Transcripts.messages`."""
        return await asyncio.to_thread(
            self._transcripts().messages, self._directory(project), record.id
        )

    async def rename(
        self, record: SessionRecord, project: Project | None, title: str
    ) -> SessionRecord:
        """Give the session a title, which Claude Code shows too."""
        updated = await self.store.update_session(record.id, title=title)
        if updated is None:
            raise SessionNotFound(record.id)
        self._cache.forget(record.id)
        await asyncio.to_thread(
            self._transcripts().rename, self._directory(project), record.id, title
        )
        return updated

    async def delete(self, record: SessionRecord, project: Project | None) -> None:
        """Delete the session and its transcript.

        Raises
        ------
        SessionBusy
            The session is in the middle of a turn.
        """
        where = self._directory(project)
        async with self.manager.resting(record.id):
            await asyncio.to_thread(self._transcripts().delete, where, record.id)
            await self.store.delete_session(record.id)
            self._discovery.forget(where, record.id)
            self._cache.forget(record.id)

    async def fork(
        self,
        caller: Caller,
        record: SessionRecord,
        project: Project | None,
        title: str,
    ) -> SessionRecord:
        """Create a session of `caller` that starts with a copy of the conversation."""
        transcripts, where = self._transcripts(), self._directory(project)
        copied = await asyncio.to_thread(transcripts.fork, where, record.id, title)
        tail = copied and await asyncio.to_thread(transcripts.tail, where, copied)
        now = time.time()
        fork = SessionRecord(
            id=copied or str(uuid.uuid4()),
            owner=caller.principal,
            project_id=record.project_id,
            title=title or (f"{record.title} (fork)" if record.title else ""),
            model=record.model,
            system=record.system,
            created_at=now,
            updated_at=now,
            last_uuid=tail or "",
        )
        return await self.store.put_session(fork)

    async def move(self, project: Project, moved: Project) -> None:
        """Move the transcripts of `project` to its new directory."""
        if project.directory != moved.directory:
            await self.manager.release_directory(project.directory)
            own, _ = await self.store.sessions(project_ids=[moved.id], limit=MAX_MOVED)
            await asyncio.to_thread(
                self._transcripts().move,
                project.directory,
                moved.directory,
                {record.id for record in own},
            )

    def forget(self, project: Project) -> None:
        """Forget what is cached of the sessions of a project that is forgotten."""
        self._discovery.forget(project.directory)
        self._cache.clear()

    async def close(self) -> None:
        """Hand over to the store what is being recorded."""
        await self.usage.close()

    async def _stored(self, session_id: str) -> SessionRecord:
        record = None
        if _is_uuid(session_id):
            record = await self.store.session(session_id)
            if record is None:
                # It may have started just now, here or in a terminal.
                await self.usage.flush()
                await self._discovery.discover(await self._all_projects())
                record = await self.store.session(session_id)
        if record is None:
            self._cache.forget(session_id)
            raise SessionNotFound(session_id)
        return record

    async def _checked(
        self, caller: Caller, record: SessionRecord, action: Action
    ) -> Project | None:
        project = await self._project_of(record)
        kind = Resource.LONE_SESSION if project is None else Resource.PROJECT_SESSION
        if not caller.may(kind, Action.READ, project, record.owner):
            # The same error as for an id that does not exist: the caller cannot tell
            # whether the session exists.
            raise SessionNotFound(record.id)
        caller.require(kind, action, project, record.owner)
        return project

    async def _project_of(self, record: SessionRecord) -> Project | None:
        if record.project_id is None:
            return None
        try:
            return await self.projects.cached(record.project_id)
        except ProjectNotFound:
            raise SessionNotFound(record.id) from None

    async def _projects_of(self, caller: Caller) -> list[Project]:
        if caller.reaches_all:
            return await self._all_projects()
        bound = await self.projects.bound_to(caller)
        return [] if bound is None else [bound]

    async def _all_projects(self) -> list[Project]:
        found: list[Project] = []
        more = True
        while more:
            after = found[-1].id if found else None
            page, more = await self.store.projects(
                self.projects.root, PROJECTS_PER_PAGE, after
            )
            found += page
        return found

    def _transcripts(self) -> Transcripts:
        return self.manager.transcripts

    def _directory(self, project: Project | None) -> str:
        return sessions_directory() if project is None else project.directory


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
