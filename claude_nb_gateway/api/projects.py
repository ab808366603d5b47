"""`/v1/projects`: list, make, describe, change, forget."""

from __future__ import annotations

from ..access.rights import Action, Resource
from ..errors import InvalidRequest
from ..store.records import Project
from .auth import allowed_to
from .base import ResourceHandler
from .errors import APIError, http_errors
from .pages import check_query, list_of, page_asked_of
from .resources import (
    CREATE_PROJECT,
    UPDATE_PROJECT,
    Deleted,
    ProjectList,
    ProjectObject,
    check_fields,
    project_object,
)


class BaseProjectHandler(ResourceHandler):
    """Base of the handlers of projects."""

    async def objects_of(self, *projects: Project) -> list[ProjectObject]:
        """The objects of the projects, for an answer."""
        path_of, trusted = (
            self.services.projects.path_of,
            self.services.projects.trusted,
        )
        return [
            project_object(project, path_of(project), is_trusted)
            for project, is_trusted in zip(
                projects, await trusted(projects), strict=True
            )
        ]

    async def send_project(self, project: Project) -> None:
        """Finish with the project."""
        (shown,) = await self.objects_of(project)
        self.send_json(shown)

    async def project(self, reference: str) -> Project:
        """The project with this id or path.

        Raises
        ------
        InvalidRequest, ProjectNotFound, NotAllowed, StoreUnavailable
        """
        # A turn that has just ended may have made the directory a project.
        await self.services.sessions.usage.flush()
        return await self.services.projects.get(reference, self.caller)


class ProjectHandler(BaseProjectHandler):
    """One project, by its id or its path."""

    @allowed_to("read")
    async def get(self, reference: str) -> None:
        """Describe the project."""
        with http_errors():
            await self.send_project(await self.project(reference))

    @allowed_to("write")
    async def patch(self, reference: str) -> None:
        """Change the fields that the body names."""
        with http_errors():
            request = self.read(UPDATE_PROJECT)
            check_fields(name=request.name, description=request.description)
            self.caller.require(Resource.PROJECT, Action.CHANGE)
            if request.trusted is not None:
                self.caller.require(Resource.PROJECT, Action.TRUST)
            project = await self.project(reference)
            if request.path is not None:
                self._require_rest(project)
            changes = {
                name: value
                for name in ("name", "description", "trusted")
                if (value := getattr(request, name)) is not None
            }
            projects = self.services.projects
            updated = await projects.update(project, request.path, **changes)
            await self.services.sessions.move(project, updated)
            if request.trusted is False:
                await self.services.manager.release_directory(updated.directory)
            await self.send_project(updated)

    @allowed_to("write")
    async def delete(self, reference: str) -> None:
        """Forget the project, and remove its files if the client confirms that."""
        with http_errors():
            check_query(self, "files", "confirm")
            self.caller.require(Resource.PROJECT, Action.DELETE)
            project = await self.project(reference)
            removed = None
            if self._asks_for_files():
                self._require_rest(project)
                removed = await self._remove_files(project)
            await self.services.manager.release_directory(project.directory)
            await self.services.projects.forget(project)
            self.services.sessions.forget(project)
            self.send_json(
                Deleted(id=project.id, object="project.deleted", files_removed=removed)
            )

    def _require_rest(self, project: Project) -> None:
        if self.services.manager.is_busy_in(project.directory):
            raise APIError(
                409,
                "A turn runs in the project. Wait for its end, or interrupt it.",
                code="project_busy",
            )

    def _asks_for_files(self) -> bool:
        wished = self.get_query_argument("files", "false")
        if wished not in ("true", "false"):
            raise InvalidRequest("`files` is true or false.", param="files")
        return wished == "true"

    async def _remove_files(self, project: Project) -> int:
        projects = self.services.projects
        count = await projects.count_files(project)
        if self.get_query_argument("confirm", "") != project.id:
            raise APIError(
                409,
                f"This would remove the directory {projects.path_of(project)!r} with "
                f"{count} files for ever. If that is meant, ask again with "
                f"`files=true&confirm={project.id}`.",
                param="confirm",
                code="confirmation_required",
            )
        await projects.remove_files(project)
        return count


class ProjectsHandler(BaseProjectHandler):
    """All projects."""

    @allowed_to("read")
    async def get(self) -> None:
        """List the projects below the server's root, the newest first."""
        with http_errors():
            page = page_asked_of(self)
            await self.services.sessions.usage.flush()
            records, more = await self._records(page.limit, page.after)
            shown = await self.objects_of(*records)
            self.send_json(list_of(ProjectList, shown, has_more=more))

    @allowed_to("write")
    async def post(self) -> None:
        """Make a directory a project; a missing directory is made too."""
        with http_errors():
            request = self.read(CREATE_PROJECT)
            texts = check_fields(name=request.name, description=request.description)
            project = await self.services.projects.create(
                request.path, self.caller, **texts
            )
            await self.send_project(project)

    async def _records(
        self, limit: int, after: str | None
    ) -> tuple[list[Project], bool]:
        projects = self.services.projects
        if not self.caller.reaches_all:
            bound = await projects.bound_to(self.caller)
            return [] if bound is None else [bound], False
        return await self.services.store.projects(projects.root, limit, after)
