"""Makes sessions ready for a turn, or for a conversation that will come."""

from __future__ import annotations

from ...errors import ProtocolError
from ..models import ModelCatalog
from ..session import Session
from ..turns import Setup


class Warmup:
    """Sets sessions up; learns the models from what the CLI answers."""

    def __init__(self, models: ModelCatalog) -> None:
        self._models = models
        self._can_rehearse = True

    async def initialize(self, session: Session, setup: Setup) -> None:
        """Bind a new session to `setup`; raises GatewayError."""
        about = await session.initialize(setup)
        self._models.update(about.get("models", []))

    async def prepare(
        self, session: Session, setup: Setup, max_output_tokens: int | None = None
    ) -> None:
        """Make `session` ready for the next turn of a conversation with `setup`.

        Raises
        ------
        InvalidRequest
            There is no such model.
        ProtocolError
            The session is bound to another setup.
        """
        if session.setup is None:
            await self.initialize(session, setup)
        elif not session.fits(setup):
            raise ProtocolError(
                "The gateway took a process that was made ready for another request. "
                "Try again."
            )
        await session.apply_settings(
            model=self._models.resolve(setup.model),
            effort=setup.effort,
            max_output_tokens=max_output_tokens,
        )

    async def prepare_ahead(self, session: Session, setup: Setup) -> None:
        """Make `session` ready for a conversation that may come, as far as possible."""
        if not self._models.accepts(setup.model):
            return
        await self.prepare(session, setup)
        if self._can_rehearse and not await session.rehearse():
            self._can_rehearse = False
            raise ProtocolError("The Claude Code CLI cannot take back a turn.")
