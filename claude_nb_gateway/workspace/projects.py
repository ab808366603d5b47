"""Projects: directories below the server's root in which Claude Code works."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from traitlets import Bool, Enum, Instance, List, Unicode
from traitlets.config import LoggingConfigurable

from ..access.callers import Caller
from ..access.rights import Action, Reach, Resource
from ..claude_code.profile import Profile
from ..errors import (
    InvalidRequest,
    NotAllowed,
    ProjectNotFound,
    StoreUnavailable,
    quoted,
)
from ..store.records import Project, new_project_id
from ..store.store import Store
from . import directories
from .directories import Place

# Files of a directory that Claude Code reads on its own, and follows where they lead.
MEMORY_FILES = ("CLAUDE.md", os.path.join(".claude", "CLAUDE.md"))

# What the store says of a project is asked again after so long, since another server
# may have changed it.
CACHE_SECONDS = 2.0
MOST_KNOWN = 1_000

# Left out are those that ask a person, or act when no turn runs.
TOOLS = [
    "Agent",
    "Bash",
    "Edit",
    "Glob",
    "Grep",
    "NotebookEdit",
    "Read",
    "Skill",
    "TodoWrite",
    "WebFetch",
    "WebSearch",
    "Write",
]

# Nothing that runs a program, or sends what was read elsewhere.
KEY_TOOLS = ["Edit", "Glob", "Grep", "NotebookEdit", "Read", "TodoWrite", "Write"]


_ID = re.compile("proj_[0-9a-f]{24}")

Asking = Callable[[str], Awaitable[Project | None]]


@dataclass(frozen=True)
class Entered:
    """A project whose directory was there a moment ago."""

    project: Project
    place: Place


class Projects(LoggingConfigurable):
    """Finds, makes, changes and forgets projects, and says what Claude may do there."""

    trusted_projects = List(
        Unicode(),
        config=True,
        help="""Directories whose own settings take effect: hooks, MCP servers,
        environment and key helpers, which are code. Absolute, or relative to the
        server's root directory.""",
    )
    permission_mode = Enum(
        ["default", "acceptEdits", "plan", "dontAsk", "bypassPermissions"],
        "default",
        config=True,
        help="""Claude Code's permission mode in projects. What needs leave in it is
        denied, since nobody is asked: in `default` all but reading, in `acceptEdits`
        commands.""",
    )
    tools = List(
        Unicode(), TOOLS, config=True, help="The built-in tools there are in projects."
    )
    allowed_tools = List(
        Unicode(),
        config=True,
        help="""Rules of Claude Code for what needs no leave in projects:
        ["Bash(git log:*)", "WebSearch"].""",
    )
    key_tools = List(
        Unicode(),
        KEY_TOOLS,
        config=True,
        help="""The tools of requests with a scoped key that names none, and of those
        without a key: no Bash, which is a shell of the user.""",
    )
    user_memory = Bool(
        False,
        config=True,
        help="""Whether Claude, in trusted directories and asked with the server's own
        token or login, has the user's memory: it reads the user's own CLAUDE.md and
        rules, and reads and writes what Claude Code remembers of the directory. No
        other caller ever does.""",
    )
    store = Instance(Store)

    def __init__(
        self, root: str, allow_hidden: Callable[[], bool], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.root = os.path.realpath(root)
        self._allow_hidden = allow_hidden
        self._known: dict[str, tuple[float, Project]] = {}
        self._changes = 0
        # That are not in the store yet; of no interest when nobody works there.
        self._new: WeakValueDictionary[str, Project] = WeakValueDictionary()

    def path_of(self, project: Project) -> str:
        """The path of its directory relative to the root, ``.`` for the root."""
        return os.path.relpath(project.directory, self.root)

    def directory_at(self, path: str | None) -> str | None:
        """The directory at `path` below the root; None if that is no such path."""
        try:
            return None if path is None else self._directory_at(path)
        except InvalidRequest:
            return None

    async def enter(self, reference: str, caller: Caller) -> Entered:
        """The project with this id or path, for `caller`'s work in its directory.

        A directory that is no project yet is one from now on.

        Raises
        ------
        InvalidRequest
            The path is none that may be; see `directories`.
        NotAllowed
            The caller may not work there, whether it is there or not.
        ProjectNotFound
            There is no such project or directory.
        """
        await self._require(caller, Action.WORK, reference)
        if _ID.fullmatch(reference):
            project = await self.known(reference)
            place = await self._find(self.names_of(project))
            if place is None:
                raise ProjectNotFound.gone(project.name)
            return Entered(project, place)
        names = self._names_in(reference)
        place, known = await asyncio.gather(
            self._find(names), self._known_at(os.path.join(self.root, *names))
        )
        if place is not None:
            return Entered(known or self._unknown(place), place)
        if known is not None:
            raise ProjectNotFound.gone(known.name)
        raise ProjectNotFound(
            f"There is no directory {quoted(reference)} below the server's root. POST "
            "/v1/projects makes one."
        )

    async def get(self, reference: str, caller: Caller) -> Project:
        """The project with this id or path, whether its directory is there or not.

        Raises
        ------
        InvalidRequest, ProjectNotFound, StoreUnavailable
        NotAllowed
            The caller may not see it, whether it is there or not.
        """
        await self._require(caller, Action.READ, reference)
        if _ID.fullmatch(reference):
            return await self._by_id(reference, _asked)
        directory = self._directory_at(reference)
        project = await self.store.project_at(directory)
        if project is None:
            raise _not_found(reference)
        return project

    async def bound_to(self, caller: Caller) -> Project | None:
        """The one project that `caller` is for; None if there is no such project."""
        try:
            if caller.key is not None and caller.key.project_id is not None:
                return await self.known(caller.key.project_id)
        except ProjectNotFound:
            return None
        if caller.directory is None:
            return None
        return await self.store.project_at(caller.directory)

    async def create(
        self, path: str, caller: Caller, name: str, description: str
    ) -> Project:
        """Make the directory at `path` a project, and the directory if it is missing.

        One that is a project already is given as it is.

        Raises
        ------
        InvalidRequest, StoreUnavailable
        NotAllowed
            The caller may not work there, or the directory is missing and not the
            caller's to make.
        """
        await self._require(caller, Action.WORK, path)
        names = self._names_in(path)
        place = await self._find(names)
        if place is None:
            caller.require(Resource.PROJECT, Action.MAKE_DIRECTORY)
            place = await asyncio.to_thread(directories.make, self.root, names)
        return await self._add(_new(place, name, description))

    async def update(
        self, project: Project, path: str | None, **changes: Any
    ) -> Project:
        """Change the fields named; `path` says where its directory is now.

        Raises
        ------
        InvalidRequest
            There is no directory, or it is another project's; or it is trusted by
            `trusted_projects` and shall not be.
        """
        if changes.get("trusted") is False and (
            project.directory in await self._trusted_by_trait()
        ):
            raise InvalidRequest(
                "`trusted`: Projects.trusted_projects names this directory: take it "
                "out there.",
                param="trusted",
            )
        if path is not None:
            place = await self._find(self._names_in(path))
            if place is None:
                raise InvalidRequest(
                    f"`path`: there is no directory {quoted(path)}.", param="path"
                )
            other = await self.store.project_at(place.directory)
            if other is not None and other.id != project.id:
                raise InvalidRequest(
                    f"`path`: that is the project {other.id}.", param="path"
                )
            changes["directory"] = place.directory
            if place.directory != project.directory:
                # Trust is of a directory, and this is another.
                changes.setdefault("trusted", False)
        self._forget_known()
        updated = await self.store.update_project(project.id, **changes)
        if updated is None:
            raise _not_found(project.id)
        self._forget_known()
        return updated

    async def forget(self, project: Project) -> None:
        """Make it a project no more; its files stay."""
        await self.store.delete_project(project.id)
        self._forget_known()

    async def count_files(self, project: Project) -> int:
        """How many files `remove_files` would remove."""
        names = self.names_of(project)
        if await self._find(names) is None:
            return 0
        return await asyncio.to_thread(directories.count_files, self.root, names)

    async def remove_files(self, project: Project) -> None:
        """Remove the directory with all that is in it.

        Raises
        ------
        NotAllowed
            It is the root itself.
        """
        names = self.names_of(project)
        if not names:
            raise NotAllowed("The root directory itself is not removed.")
        if await self._find(names) is not None:
            await asyncio.to_thread(directories.remove, self.root, names)

    async def trusted(self, projects: Sequence[Project]) -> list[bool]:
        """Whether the own settings of each one's directory take effect."""
        by_trait = await self._trusted_by_trait()
        return [
            project.trusted or project.directory in by_trait for project in projects
        ]

    async def profile(self, entered: Entered, caller: Caller) -> Profile:
        """What processes for `caller` in this project are bound to."""
        project, place = entered.project, entered.place
        (trusted,) = await self.trusted([project])
        memory = trusted or not await asyncio.to_thread(
            directories.links_among, place, MEMORY_FILES
        )
        if not memory:
            self.log.warning(
                "CLAUDE.md of %s is behind a link, and the project is not trusted: it "
                "is not read",
                place.directory,
            )
        return Profile(
            directory=place.directory,
            place=place.identity,
            trusted=trusted,
            memory=memory,
            personal=caller.may(Resource.PROJECT, Action.USE_SETTINGS, project),
            user_memory=self.user_memory
            and trusted
            and caller.may(Resource.PROJECT, Action.USE_MEMORY, project),
            permission_mode=self.permission_mode,
            tools=tuple(self._tools(caller, project)),
            allowed=tuple(self.allowed_tools),
        )

    async def registered(self, project: Project) -> Project:
        """The project as the store has it; a new one is put there.

        Raises
        ------
        ProjectNotFound
            It was there, and is forgotten.
        """
        if project.id not in self._new:
            return await self.known(project.id)
        stored = await self._add(project)
        self._new.pop(project.id, None)
        return stored

    async def _add(self, project: Project) -> Project:
        changes = self._changes
        stored = await self.store.add_project(project)
        self._remember(stored.directory, stored, changes)
        return stored

    def names_of(self, project: Project) -> list[str]:
        """The names that lead from the root to its directory."""
        path = self.path_of(project)
        return [] if path == "." else path.split(os.sep)

    def _tools(self, caller: Caller, project: Project) -> Sequence[str]:
        if caller.key is not None and caller.key.tools is not None:
            return caller.key.tools
        full = caller.may(Resource.PROJECT, Action.USE_ALL_TOOLS, project)
        return self.tools if full else self.key_tools

    async def known(self, project_id: str) -> Project:
        """The project with this id, as it was a moment ago; raises ProjectNotFound."""
        return await self._by_id(project_id, self._cached)

    async def _known_at(self, directory: str) -> Project | None:
        try:
            return await self._cached(directory, self.store.project_at)
        except StoreUnavailable as error:
            # Chat goes on; without the store nothing is trusted but by trait.
            self.log.warning("projects: %s %s", error, error.detail)
            return None

    def _unknown(self, place: Place) -> Project:
        project = _new(place, "", "")
        self._new[project.id] = project
        self._remember(place.directory, project, self._changes)
        return project

    async def _by_id(
        self, project_id: str, ask: Callable[[str, Asking], Awaitable[Project | None]]
    ) -> Project:
        project = await ask(project_id, self.store.project)
        if project is None or not self._is_below_root(project.directory):
            raise _not_found(project_id)
        return project

    async def _cached(self, key: str, ask: Asking) -> Project | None:
        asked, known = self._known.get(key, (0.0, None))
        if known is not None and time.monotonic() - asked < CACHE_SECONDS:
            return known
        changes = self._changes
        found = await ask(key)
        if found is not None:
            self._remember(key, found, changes)
        return found

    def _remember(self, key: str, project: Project, changes: int) -> None:
        # What was asked before a change may be from before it.
        if changes != self._changes:
            return
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[key] = (time.monotonic(), project)

    def _forget_known(self) -> None:
        self._changes += 1
        self._known.clear()

    async def _find(self, names: Sequence[str]) -> Place | None:
        return await asyncio.to_thread(directories.find, self.root, names)

    async def _require(self, caller: Caller, action: Action, reference: str) -> None:
        # Before anything is looked up, so that who is for one directory learns nothing
        # of the others: neither by what it is told nor by how long that takes.
        if caller.reach(Resource.PROJECT, action) is not Reach.DIRECTORY:
            caller.require(Resource.PROJECT, action)
            return
        own = await self.bound_to(caller)
        if _ID.fullmatch(reference):
            within = own is not None and own.id == reference
        else:
            directory = own.directory if own is not None else caller.directory
            within = self._directory_at(reference) == directory
        if not within:
            raise caller.out_of_scope()

    def _directory_at(self, path: str) -> str:
        return os.path.join(self.root, *self._names_in(path))

    def _names_in(self, path: str) -> list[str]:
        return directories.names_in(path, allow_hidden=self._allow_hidden())

    def _is_below_root(self, directory: str) -> bool:
        return os.path.commonpath([self.root, directory]) == self.root

    async def _trusted_by_trait(self) -> frozenset[str]:
        def find(paths: Sequence[str]) -> frozenset[str]:
            return frozenset(
                os.path.realpath(os.path.join(self.root, os.path.expanduser(path)))
                for path in paths
            )

        # Always anew, since links may change; not here, since disks may be slow.
        paths = list(self.trusted_projects)
        return await asyncio.to_thread(find, paths) if paths else frozenset()


def _not_found(reference: str) -> ProjectNotFound:
    return ProjectNotFound(
        f"There is no project {quoted(reference)}. GET /v1/projects lists them, POST "
        "makes one."
    )


async def _asked(key: str, ask: Asking) -> Project | None:
    return await ask(key)


def _new(place: Place, name: str, description: str) -> Project:
    return Project(
        id=new_project_id(),
        directory=place.directory,
        name=name or os.path.basename(place.directory),
        description=description,
        created_at=time.time(),
    )
