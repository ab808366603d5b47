"""Who asks, and what that one may open."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import NotAllowed
from .store.records import KeyRecord, Project, SessionRecord


@dataclass(frozen=True)
class Caller:
    """One caller.

    Parameters
    ----------
    principal:
        The name under which conversations and sessions are kept apart.
    key:
        The scoped key it came with, None for any other way in.
    is_jupyter:
        Whether it is let in by the identity of the Jupyter server itself, which may
        do everything: its token, or a user who is logged in.
    """

    principal: str
    key: KeyRecord | None = None
    is_jupyter: bool = False

    def require_jupyter(self, what: str) -> None:
        """Raise NotAllowed unless the server's own identity asks for `what`."""
        if not self.is_jupyter:
            raise NotAllowed(
                f"{what} takes the Jupyter server's own token or login; a scoped key, "
                "or no key at all, is not enough.",
                code="jupyter_identity_required",
            )

    def check_project(self, project: Project | None) -> None:
        """Raise NotAllowed if the caller may not work in `project`, None for none."""
        scope = self.key.project_id if self.key is not None else None
        if scope is None or (project is not None and project.id == scope):
            return
        raise NotAllowed(
            "The API key is for one project, and opens nothing outside it. Its base "
            f"URL is …/v1/projects/{scope}.",
            code="key_out_of_scope",
        )

    def check_session(self, session: SessionRecord, project: Project | None) -> None:
        """Raise NotAllowed if the caller may not open `session`, of `project`.

        Who may work in a project may open its sessions; one without a project is its
        owner's alone.
        """
        if project is not None or self.key is not None:
            self.check_project(project)
        if project is None and session.owner != self.principal:
            raise NotAllowed(
                f"The session {session.id!r} is another's.", code="not_your_session"
            )
