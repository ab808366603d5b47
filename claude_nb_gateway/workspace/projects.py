"""Projects: directories below the server's root in which Claude Code works."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
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
from ..store.cache import Cache
from ..store.records import PROJECT_ID, Project, new_project_id
from ..store.store import Store
from . import directories
from .directories import Place

# Claude Code reads these files of a directory by itself, and follows links in them.
MEMORY_FILES = ("CLAUDE.md", os.path.join(".claude", "CLAUDE.md"))

# Another server may change a project in the store. So a cached project is old soon.
CACHE_SECONDS = 2.0
MAX_CACHED = 1_000

# Without the tools that ask a person, and those that act while no turn runs.
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

# Without the tools that run programs, or send what they read elsewhere.
KEY_TOOLS = ["Edit", "Glob", "Grep", "NotebookEdit", "Read", "TodoWrite", "Write"]


@dataclass(frozen=True)
class ResolvedProject:
    """A project, and its directory, which existed a moment ago."""

    project: Project
    place: Place


class Projects(LoggingConfigurable):
    """Finds, creates, changes and forgets projects, and says what Claude may do."""

    trusted_projects = List(
        Unicode(),
        config=True,
        help="""Directories that you trust: their own settings take effect (hooks, MCP
        servers, environment, key helpers). Such settings run code. Each path is
        absolute, or relative to the server's root directory.""",
    )
    permission_mode = Enum(
        ["default", "acceptEdits", "plan", "dontAsk", "bypassPermissions"],
        "default",
        config=True,
        help="""Claude Code's permission mode in projects. Nobody can answer a question
        for permission, so Claude Code denies what needs permission: `default` allows
        only reading, `acceptEdits` allows editing too, but no commands.""",
    )
    tools = List(
        Unicode(),
        TOOLS,
        config=True,
        help="The built-in tools of Claude Code in projects.",
    )
    allowed_tools = List(
        Unicode(),
        config=True,
        help="""Claude Code's rules for what needs no permission in projects, for
        example ["Bash(git log:*)", "WebSearch"].""",
    )
    key_tools = List(
        Unicode(),
        KEY_TOOLS,
        config=True,
        help="""The tools for requests without a key, and for requests with a scoped key
        that names no tools. By default there is no Bash among them, since Bash is a
        shell of the user.""",
    )
    user_memory = Bool(
        False,
        config=True,
        help="""Give Claude the user's memory: it reads the user's own CLAUDE.md and
        rules, and it reads and writes Claude Code's memory of the directory. This holds
        only in trusted directories, and only for requests with the server's own token
        or login.""",
    )
    store = Instance(Store)

    def __init__(
        self, root: str, allow_hidden: Callable[[], bool], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.root = os.path.realpath(root)
        self._allow_hidden = allow_hidden
        # By id, and by directory.
        self._cache: Cache[str, Project] = Cache(MAX_CACHED, CACHE_SECONDS)
        # Projects that are not in the store yet, for as long as a turn uses them.
        self._unsaved: WeakValueDictionary[str, Project] = WeakValueDictionary()

    def path_of(self, project: Project) -> str:
        """The path of its directory relative to the root; ``.`` for the root itself."""
        return os.path.relpath(project.directory, self.root)

    def directory_at(self, path: str | None) -> str | None:
        """The directory at `path` below the root; None if `path` is not valid."""
        try:
            return None if path is None else self._directory_at(path)
        except InvalidRequest:
            return None

    async def resolve(self, reference: str, caller: Caller) -> ResolvedProject:
        """The project with this id or path, for `caller`'s work in its directory.

        A directory that is not a project yet becomes one.

        Raises
        ------
        InvalidRequest
            The path is not valid; see `directories`.
        NotAllowed
            The caller may not work there. The error does not tell whether it exists.
        ProjectNotFound
            There is no such project or directory.
        """
        await self._require(caller, Action.WORK, reference)
        if PROJECT_ID.fullmatch(reference):
            project = await self.cached(reference)
            place = await self._find(self.names_of(project))
            if place is None:
                raise ProjectNotFound.gone(project.name)
            return ResolvedProject(project, place)
        names = self._names_in(reference)
        place, found = await asyncio.gather(
            self._find(names), self._cached_at(os.path.join(self.root, *names))
        )
        if place is not None:
            return ResolvedProject(found or self._add_unsaved(place), place)
        if found is not None:
            raise ProjectNotFound.gone(found.name)
        raise ProjectNotFound(
            f"There is no directory {quoted(reference)} below the server's root. POST "
            "/v1/projects creates one."
        )

    async def get(self, reference: str, caller: Caller) -> Project:
        """The project with this id or path, even if its directory is gone.

        Raises
        ------
        InvalidRequest, ProjectNotFound, StoreUnavailable
        NotAllowed
            The caller may not see it. The error does not tell whether it exists.
        """
        await self._require(caller, Action.READ, reference)
        if PROJECT_ID.fullmatch(reference):
            return self._served(reference, await self.store.project(reference))
        directory = self._directory_at(reference)
        project = await self.store.project_at(directory)
        if project is None:
            raise _not_found(reference)
        return project

    async def bound_to(self, caller: Caller) -> Project | None:
        """The only project that `caller` may open; None if there is no such project."""
        try:
            if caller.key is not None and caller.key.project_id is not None:
                return await self.cached(caller.key.project_id)
        except ProjectNotFound:
            return None
        if caller.directory is None:
            return None
        return await self.store.project_at(caller.directory)

    async def create(
        self, path: str, caller: Caller, name: str, description: str
    ) -> Project:
        """Make the directory at `path` a project; create the directory if need be.

        If the directory is a project already, this returns that project unchanged.

        Raises
        ------
        InvalidRequest, StoreUnavailable
        NotAllowed
            The caller may not work there; or the directory is missing, and the caller
            may not create it.
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
        """Set the fields in `changes`; `path` is the new place of the directory.

        Raises
        ------
        InvalidRequest
            `path` is not a directory, or belongs to another project; or the change
            would take away the trust that the trait `trusted_projects` gives.
        """
        if changes.get("trusted") is False and (
            project.directory in await self._trusted_by_trait()
        ):
            raise InvalidRequest(
                "`trusted`: Projects.trusted_projects names this directory: remove it "
                "from there.",
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
                # The user trusted the old directory, not this one.
                changes.setdefault("trusted", False)
        self._cache.clear()
        updated = await self.store.update_project(project.id, **changes)
        if updated is None:
            raise _not_found(project.id)
        self._cache.clear()
        return updated

    async def forget(self, project: Project) -> None:
        """Remove it from the projects; its files stay."""
        await self.store.delete_project(project.id)
        self._cache.clear()

    async def count_files(self, project: Project) -> int:
        """The number of files that `remove_files` would remove."""
        names = self.names_of(project)
        if await self._find(names) is None:
            return 0
        return await asyncio.to_thread(directories.count_files, self.root, names)

    async def remove_files(self, project: Project) -> None:
        """Remove the directory with everything in it.

        Raises
        ------
        NotAllowed
            The directory is the root itself.
        """
        names = self.names_of(project)
        if not names:
            raise NotAllowed("The root directory itself cannot be removed.")
        if await self._find(names) is not None:
            await asyncio.to_thread(directories.remove, self.root, names)

    async def trusted(self, projects: Sequence[Project]) -> list[bool]:
        """For each project, whether its directory's own settings take effect."""
        by_trait = await self._trusted_by_trait()
        return [
            project.trusted or project.directory in by_trait for project in projects
        ]

    async def profile(self, resolved: ResolvedProject, caller: Caller) -> Profile:
        """The profile of CLI processes that work for `caller` in this project."""
        project, place = resolved.project, resolved.place
        (trusted,) = await self.trusted([project])
        memory = trusted or not await asyncio.to_thread(
            directories.links_among, place, MEMORY_FILES
        )
        if not memory:
            self.log.warning(
                "CLAUDE.md of %s is behind a link, and the project is not trusted: "
                "Claude does not read it",
                place.directory,
            )
        return Profile(
            directory=place.directory,
            directory_id=place.identity,
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
        """The project as the store has it; a new project is added there.

        Raises
        ------
        ProjectNotFound
            The project was in the store, and is forgotten since.
        """
        if project.id not in self._unsaved:
            return await self.cached(project.id)
        stored = await self._add(project)
        self._unsaved.pop(project.id, None)
        return stored

    async def _add(self, project: Project) -> Project:
        generation = self._cache.generation
        stored = await self.store.add_project(project)
        self._cache.put(stored.directory, stored, generation)
        return stored

    def names_of(self, project: Project) -> list[str]:
        """The names of the directories on the way from the root to its directory."""
        path = self.path_of(project)
        return [] if path == "." else path.split(os.sep)

    def _tools(self, caller: Caller, project: Project) -> Sequence[str]:
        if caller.key is not None and caller.key.tools is not None:
            return caller.key.tools
        full = caller.may(Resource.PROJECT, Action.USE_ALL_TOOLS, project)
        return self.tools if full else self.key_tools

    async def cached(self, project_id: str) -> Project:
        """The project with this id, as it was a moment ago; or ProjectNotFound."""
        project = await self._cache.load(project_id, self.store.project)
        return self._served(project_id, project)

    async def _cached_at(self, directory: str) -> Project | None:
        try:
            return await self._cache.load(directory, self.store.project_at)
        except StoreUnavailable as error:
            # Chat works without the store. Only `trusted_projects` gives trust then.
            self.log.warning("projects: %s %s", error, error.detail)
            return None

    def _add_unsaved(self, place: Place) -> Project:
        project = _new(place, "", "")
        self._unsaved[project.id] = project
        self._cache.put(place.directory, project)
        return project

    def _served(self, project_id: str, project: Project | None) -> Project:
        """`project`, if it exists below the root of this server."""
        if project is None or not self._is_below_root(project.directory):
            raise _not_found(project_id)
        return project

    async def _find(self, names: Sequence[str]) -> Place | None:
        return await asyncio.to_thread(directories.find, self.root, names)

    async def _require(self, caller: Caller, action: Action, reference: str) -> None:
        # This comes before any look-up. So a caller with one directory learns nothing
        # about others: neither from the answer, nor from how long it takes.
        if caller.reach(Resource.PROJECT, action) is not Reach.DIRECTORY:
            caller.require(Resource.PROJECT, action)
            return
        own = await self.bound_to(caller)
        if PROJECT_ID.fullmatch(reference):
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
            """The directories that `paths` lead to; does file I/O."""
            return frozenset(
                os.path.realpath(os.path.join(self.root, os.path.expanduser(path)))
                for path in paths
            )

        # Not cached, since links may change. In a thread, since disks may be slow.
        paths = list(self.trusted_projects)
        return await asyncio.to_thread(find, paths) if paths else frozenset()


def _not_found(reference: str) -> ProjectNotFound:
    return ProjectNotFound(
        f"There is no project {quoted(reference)}. GET /v1/projects lists them, POST "
        "creates one."
    )


def _new(place: Place, name: str, description: str) -> Project:
    return Project(
        id=new_project_id(),
        directory=place.directory,
        name=name or os.path.basename(place.directory),
        description=description,
        created_at=time.time(),
    )
