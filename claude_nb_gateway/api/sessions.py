"""`/v1/sessions`: list, make, read, rename, delete, interrupt, fork."""

from __future__ import annotations

import asyncio

from ..access.rights import Action, Resource
from ..wire.chat.history import chat_messages
from .auth import allowed_to
from .base import ResourceHandler
from .errors import http_errors
from .pages import list_of, page_asked_of
from .resources import (
    CREATE_SESSION,
    FORK_SESSION,
    UPDATE_SESSION,
    Deleted,
    Interrupted,
    SessionList,
    check_fields,
    session_object,
    session_with_messages,
)


class SessionsHandler(ResourceHandler):
    """All sessions of the caller."""

    @allowed_to("read")
    async def get(self) -> None:
        """List the sessions, the last used first, of all projects or of `project`."""
        with http_errors():
            page = page_asked_of(self, "project")
            await self.services.sessions.usage.flush()
            project = None
            if reference := self.get_query_argument("project", None):
                project = await self.services.projects.get(reference, self.caller)
            records, more = await self.services.sessions.page(
                self.caller, project, **page._asdict()
            )
            listed = [session_object(record) for record in records]
            self.send_json(list_of(SessionList, listed, has_more=more))

    @allowed_to("execute")
    async def post(self) -> None:
        """Make a session; its first turn will begin the conversation."""
        with http_errors():
            request = self.read(CREATE_SESSION)
            models = self.services.manager.models
            if request.model is not None and models.loaded:
                models.resolve(request.model)
            fields = check_fields(
                title=request.title, model=request.model, system=request.system
            )
            project = None
            if request.project_id is None:
                self.caller.require(Resource.CHAT, Action.ASK)
            else:
                projects = self.services.projects
                entered = await projects.resolve(request.project_id, self.caller)
                project = await projects.registered(entered.project)
            made = await self.services.sessions.create(self.caller, project, **fields)
            self.send_json(session_object(made))


class SessionHandler(ResourceHandler):
    """One session."""

    @allowed_to("read")
    async def get(self, session_id: str) -> None:
        """Give the session with its messages."""
        with http_errors():
            await self.services.sessions.usage.flush()
            sessions = self.services.sessions
            record, project = await sessions.get(self.caller, session_id, Action.READ)
            entries = await sessions.messages(record, project)
            messages = await asyncio.to_thread(chat_messages, entries)
            self.send_json(session_with_messages(record, messages))

    @allowed_to("execute")
    async def patch(self, session_id: str) -> None:
        """Change the title."""
        with http_errors():
            request = self.read(UPDATE_SESSION)
            title = check_fields(title=request.title)["title"]
            sessions = self.services.sessions
            record, project = await sessions.get(self.caller, session_id, Action.RENAME)
            renamed = await sessions.rename(record, project, title)
            self.send_json(session_object(renamed))

    @allowed_to("execute")
    async def delete(self, session_id: str) -> None:
        """Forget the session, and remove its transcript."""
        with http_errors():
            sessions = self.services.sessions
            record, project = await sessions.get(self.caller, session_id, Action.DELETE)
            await sessions.delete(record, project)
            self.send_json(Deleted(id=record.id, object="session.deleted"))


class InterruptHandler(ResourceHandler):
    """The turn of a session that runs now."""

    @allowed_to("execute")
    async def post(self, session_id: str) -> None:
        """Stop the turn; its request is answered with the text so far."""
        with http_errors():
            sessions = self.services.sessions
            record, _ = await sessions.get(self.caller, session_id, Action.INTERRUPT)
            stopped = await self.services.manager.interrupt(record.id)
            self.send_json(Interrupted(id=record.id, interrupted=stopped))


class ForkHandler(ResourceHandler):
    """Copies of a session."""

    @allowed_to("execute")
    async def post(self, session_id: str) -> None:
        """Make a session with a copy of this one's conversation so far."""
        with http_errors():
            request = self.read(FORK_SESSION, self.request.body or b"{}")
            title = check_fields(title=request.title)["title"]
            sessions = self.services.sessions
            record, project = await sessions.get(self.caller, session_id, Action.FORK)
            fork = await sessions.fork(self.caller, record, project, title)
            self.send_json(session_object(fork))
