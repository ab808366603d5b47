"""Sessions: conversations that outlive processes, in the CLI's own transcripts."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from traitlets import Instance
from traitlets.config import LoggingConfigurable

from ..access.callers import Caller
from ..access.rights import Action, Reach, Resource
from ..claude_code.locations import sessions_directory
from ..claude_code.manager import CLIManager
from ..claude_code.usage import TurnAccount
from ..errors import ProjectNotFound, SessionNotFound, StoreUnavailable
from ..store.records import Project, SessionRecord, Tokens, TurnRecord
from ..store.store import Store
from ..wire.chat.history import chat_messages
from .projects import Projects

#: The owner of the sessions that were begun in a terminal.
TERMINAL = "terminal"

# A store that is slow keeps a server from its end, and a listing from its reader, for
# no longer.
CLOSE_SECONDS = 5.0
SETTLE_SECONDS = 1.0

#: So many sessions are remembered between their turns.
MOST_KNOWN = 1_000
#: Their system prompts may be long.
MOST_KNOWN_CHARACTERS = 16 * 2**20
#: So many transcripts are remembered to have been seen.
MOST_SEEN = 100_000
MOST_MOVED = 100_000


class Sessions(LoggingConfigurable):
    """Finds, makes, lists, forks and forgets sessions, and keeps their accounts."""

    store = Instance(Store)
    manager = Instance(CLIManager)
    projects = Instance(Projects)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._seen: OrderedDict[str, dict[str, float]] = OrderedDict()
        self._known: OrderedDict[str, SessionRecord] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    async def create(
        self,
        caller: Caller,
        project: Project | None,
        *,
        title: str = "",
        model: str = "",
        system: str = "",
    ) -> SessionRecord:
        """A new session of `caller`.

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
        """The session, which may have been begun in a terminal, and its project.

        Raises
        ------
        SessionNotFound
            There is none, or the caller may not see it.
        NotAllowed
            The caller sees it, and may not do `action` with it.
        StoreUnavailable
        """
        record = await self._stored(session_id)
        return record, await self._checked(caller, record, action)

    async def enter(
        self, caller: Caller, session_id: str
    ) -> tuple[SessionRecord, Project | None]:
        """The session, for a turn in it: the same, without asking the store again.

        What another server has changed of it meanwhile is its title, or it is gone
        with its transcript, which the turn itself finds out.
        """
        record = self._known.get(session_id)
        if record is None:
            record = await self._stored(session_id)
        self._remember(record)
        return record, await self._checked(caller, record, Action.CONTINUE)

    async def page(
        self, caller: Caller, project: Project | None, **page: Any
    ) -> tuple[list[SessionRecord], bool]:
        """A page of the sessions that `caller` may open, and whether there are more.

        With `project` those of that one; `page` is as `Store.sessions` has it.
        """
        owner = None
        if project is not None:
            projects = [project]
        else:
            projects = await self._projects_of(caller)
            if caller.reach(Resource.LONE_SESSION, Action.READ) is Reach.OWN:
                owner = caller.principal
        await self._discover(projects)
        ids = [project.id for project in projects]
        records, more = await self.store.sessions(project_ids=ids, owner=owner, **page)
        named = {project.id: project for project in projects}
        await self._title(records, named)
        return records, more

    async def messages(
        self, record: SessionRecord, project: Project | None
    ) -> list[dict[str, Any]]:
        """The messages of the conversation, as a chat completion request has them."""
        transcripts, where = self.manager.transcripts, self._directory(project)

        def read() -> list[dict[str, Any]]:
            return chat_messages(transcripts.messages(where, record.id))

        return await asyncio.to_thread(read)

    async def rename(
        self, record: SessionRecord, project: Project | None, title: str
    ) -> SessionRecord:
        """Give the session a title, which Claude Code shows too."""
        updated = await self.store.update_session(record.id, title=title)
        if updated is None:
            raise SessionNotFound(record.id)
        self._known.pop(record.id, None)
        transcripts, where = self.manager.transcripts, self._directory(project)
        await asyncio.to_thread(transcripts.rename, where, record.id, title)
        return updated

    async def delete(self, record: SessionRecord, project: Project | None) -> None:
        """Forget the session, and remove its transcript.

        Raises
        ------
        SessionBusy
            It is in the middle of a turn.
        """
        where = self._directory(project)
        async with self.manager.resting(record.id):
            await asyncio.to_thread(self.manager.transcripts.delete, where, record.id)
            await self.store.delete_session(record.id)
            self._seen.get(where, {}).pop(record.id, None)
            self._known.pop(record.id, None)

    async def fork(
        self,
        caller: Caller,
        record: SessionRecord,
        project: Project | None,
        title: str,
    ) -> SessionRecord:
        """A new session of `caller` that begins with the conversation as it stands."""
        transcripts, where = self.manager.transcripts, self._directory(project)
        copied = await asyncio.to_thread(transcripts.fork, where, record.id, title)
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
            last_uuid=(copied and await self._tail(where, copied)) or "",
        )
        return await self.store.put_session(fork)

    async def move(self, project: Project, moved: Project) -> None:
        """Take the transcripts of `project` along to where its directory is now."""
        if project.directory != moved.directory:
            await self.manager.release_directory(project.directory)
            own, _ = await self.store.sessions(project_ids=[moved.id], limit=MOST_MOVED)
            await asyncio.to_thread(
                self.manager.transcripts.move,
                project.directory,
                moved.directory,
                {record.id for record in own},
            )

    def forget(self, project: Project) -> None:
        """Know no more of the sessions of a project that is forgotten."""
        self._seen.pop(project.directory, None)
        self._known.clear()

    def recorder(
        self,
        caller: Caller,
        project: Project | None,
        session: SessionRecord | None,
        system: str = "",
    ) -> Callable[[TurnAccount], None]:
        """Who writes down what a turn of `caller` took, after it has ended.

        A conversation in a project that has no record yet gets one, with its turn.
        """

        def record(account: TurnAccount) -> None:
            if session is not None:
                session.totals.turns += 1  # so that it is known to have begun
            self._own(self._record(caller, project, session, system, account))

        return record

    async def settle(self) -> None:
        """Wait until the turns that have ended are in the accounts, if they can be."""
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._written_down()
                await self.store.flush()

    async def _stored(self, session_id: str) -> SessionRecord:
        record = None
        if _is_uuid(session_id):
            record = await self.store.session(session_id)
            if record is None:
                await self.settle()  # it may have begun just now
                await self._discover(await self._all_projects())
                record = await self.store.session(session_id)
        if record is None:
            self._known.pop(session_id, None)
            raise SessionNotFound(session_id)
        return record

    def _remember(self, record: SessionRecord) -> None:
        self._known[record.id] = record
        self._known.move_to_end(record.id)
        characters = sum(len(known.system) for known in self._known.values())
        while len(self._known) > MOST_KNOWN or characters > MOST_KNOWN_CHARACTERS:
            _, oldest = self._known.popitem(last=False)
            characters -= len(oldest.system)

    async def _checked(
        self, caller: Caller, record: SessionRecord, action: Action
    ) -> Project | None:
        project = await self._project_of(record)
        kind = Resource.LONE_SESSION if project is None else Resource.PROJECT_SESSION
        if not caller.may(kind, Action.READ, project, record.owner):
            # What one may not see is not there: ids of others cannot be told from none.
            raise SessionNotFound(record.id)
        caller.require(kind, action, project, record.owner)
        return project

    async def close(self) -> None:
        """Wait until what is being written down is with the store."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._written_down()

    async def _written_down(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _record(
        self,
        caller: Caller,
        project: Project | None,
        session: SessionRecord | None,
        system: str,
        account: TurnAccount,
    ) -> None:
        # Also when the store cannot say so now: it looks again when it writes the turn.
        project_id = None if project is None else project.id
        try:
            if project is not None:
                project_id = (await self.projects.registered(project)).id
            if session is None and account.session_id:
                record = _session_of(caller, project_id, system, account)
                found = await self.store.put_session(record)
                if found.owner == TERMINAL:
                    # A listing came upon its transcript before its first turn ended.
                    await self.store.update_session(
                        record.id,
                        owner=record.owner,
                        model=record.model,
                        system=record.system,
                    )
        except ProjectNotFound:
            project_id = None
            self.log.info("a turn ended in a project that is forgotten")
        except StoreUnavailable as error:
            # The session is found again by its transcript.
            self.log.warning("not written down yet: %s %s", error, error.detail)
        self.store.record(_turn_of(caller, project_id, account))

    async def _project_of(self, record: SessionRecord) -> Project | None:
        if record.project_id is None:
            return None
        try:
            return await self.projects.known(record.project_id)
        except ProjectNotFound:
            raise SessionNotFound(record.id) from None

    async def _projects_of(self, caller: Caller) -> list[Project]:
        if caller.reaches_all:
            return await self._all_projects()
        bound = await self.projects.bound_to(caller)
        return [] if bound is None else [bound]

    async def _all_projects(self) -> list[Project]:
        projects, more = await self.store.projects(self.projects.root, 1_000, None)
        while more:
            page, more = await self.store.projects(
                self.projects.root, 1_000, projects[-1].id
            )
            projects += page
        return projects

    async def _discover(self, projects: Sequence[Project]) -> None:
        """Take over the sessions that were begun, or went on, in a terminal."""
        transcripts = self.manager.transcripts

        def look() -> list[tuple[Project, dict[str, tuple[float, str]]]]:
            return [
                (project, changed)
                for project in projects
                if (
                    changed := transcripts.changed(
                        directory := project.directory, self._seen.get(directory, {})
                    )
                )
            ]

        for project, changed in await asyncio.to_thread(look):
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
            await self.store.put_sessions(records)
            seen = self._seen.setdefault(project.directory, {})
            for session_id, (at, _) in changed.items():
                if session_id in seen:
                    await self.store.update_session(session_id, updated_at=at)
                seen[session_id] = at
            self._forget_seen(project.directory)

    def _forget_seen(self, latest: str) -> None:
        """Bound what was seen; where it is forgotten, all is looked at again."""
        self._seen.move_to_end(latest)
        count = sum(map(len, self._seen.values()))
        while count > MOST_SEEN and len(self._seen) > 1:
            _, oldest = self._seen.popitem(last=False)
            count -= len(oldest)

    async def _title(
        self, records: Sequence[SessionRecord], projects: dict[str, Project]
    ) -> None:
        """Name those that have no title yet by what they began with."""
        describe = self.manager.transcripts.describe
        for record in records:
            if record.title or record.project_id not in projects:
                continue
            where = projects[record.project_id].directory
            told = await asyncio.to_thread(describe, where, record.id)
            if told is not None and told.title:
                record.title = told.title
                record.created_at = told.created_at
                await self.store.update_session(
                    record.id, title=told.title, created_at=told.created_at
                )

    async def _tail(self, directory: str, session_id: str) -> str | None:
        transcripts = self.manager.transcripts
        return await asyncio.to_thread(transcripts.tail, directory, session_id)

    def _directory(self, project: Project | None) -> str:
        if project is None:
            return sessions_directory()
        return project.directory

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


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


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
