"""Who calls, and what the caller may do."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NotAllowed
from ..store.records import KeyRecord, Project
from .rights import Action, Identity, Reach, Resource, reach

#: The principal of every caller without a key.
LOCAL = "local"


@dataclass(frozen=True)
class Caller:
    """One caller.

    Parameters
    ----------
    principal:
        The name under which the caller's conversations and sessions are kept.
    identity:
        The kind of caller, which decides what it may do; see `rights`.
    key:
        The scoped key of its request; None if it came without one.
    directory:
        The absolute path of the directory of a kernel's notebook; None for other
        callers, and for a kernel without a notebook.
    """

    principal: str
    identity: Identity
    key: KeyRecord | None = None
    directory: str | None = None

    @property
    def is_jupyter(self) -> bool:
        """Whether it is the Jupyter server's own identity, which may do everything."""
        return self.identity is Identity.SERVER

    @property
    def reaches_all(self) -> bool:
        """Whether it may read all projects, and not only one directory's."""
        return self.reach(Resource.PROJECT, Action.READ) is Reach.ALL

    def reach(self, resource: Resource, action: Action) -> Reach:
        """The resources of this kind with which it may do `action`."""
        return reach(self.identity, resource, action)

    def may(
        self,
        resource: Resource,
        action: Action,
        project: Project | None = None,
        owner: str | None = None,
    ) -> bool:
        """Whether it may do `action` with one resource.

        Parameters
        ----------
        project:
            The project of the resource; None if it is in no project.
        owner:
            The principal who began the resource; None if that does not matter.
        """
        allowed = self.reach(resource, action)
        if allowed is Reach.DIRECTORY:
            return self._is_for(project)
        if allowed is Reach.OWN:
            # A caller for one directory does not reach what it began elsewhere.
            within = project is None or self.reaches_all or self._is_for(project)
            return within and owner == self.principal
        return allowed is Reach.ALL

    def require(
        self,
        resource: Resource,
        action: Action,
        project: Project | None = None,
        owner: str | None = None,
    ) -> None:
        """Raise NotAllowed unless it may do `action`; see `may`."""
        if self.may(resource, action, project, owner):
            return
        if self.identity is Identity.PROJECT_KEY and resource is Resource.CHAT:
            raise self.out_of_scope()
        if self.reach(resource, action) is Reach.DIRECTORY:
            raise self.out_of_scope()
        others = " that another began" if owner is not None else ""
        raise NotAllowed(
            f"It takes the Jupyter server's own token or login to {action} {resource}"
            f"{others}: {self.identity} is not enough.",
            code="jupyter_identity_required",
        )

    def out_of_scope(self) -> NotAllowed:
        """The error for a resource outside the one directory that it is for."""
        if self.identity is Identity.KERNEL:
            message = (
                "The key of this kernel is for the directory of its notebook, and "
                "opens no other."
                if self.directory
                else "The key of this kernel opens no project: it runs no notebook."
            )
        else:
            message = "The API key is for one project, and opens nothing outside it."
            if self.key is not None:
                message += f" Its base URL is …/v1/projects/{self.key.project_id}."
        return NotAllowed(message, code="key_out_of_scope")

    def _is_for(self, project: Project | None) -> bool:
        if project is None:
            return False
        if self.identity is Identity.KERNEL:
            return project.directory == self.directory
        return self.key is not None and project.id == self.key.project_id
