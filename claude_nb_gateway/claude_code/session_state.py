"""The states of a session, and the transitions between them. Pure."""

from __future__ import annotations

from enum import Enum, auto

from ..errors import ProtocolError


class SessionState(Enum):
    """What a session can do next."""

    #: The process is started, and bound to nothing.
    NEW = auto()
    #: The CLI gets its setup.
    SETTING_UP = auto()
    #: A turn can be asked.
    READY = auto()
    #: The model answers.
    ASKING = auto()
    #: The turn waits for the results of the client's functions.
    PARKED = auto()
    #: No turn can be asked any more.
    ENDING = auto()

    def to(self, state: SessionState) -> SessionState:
        """The `state` after this one; raises ProtocolError if it cannot follow."""
        if state not in _NEXT[self]:
            raise ProtocolError(
                "The gateway used a process of Claude Code in the wrong order. Try "
                "again.",
                detail=f"session from {self.name} to {state.name}",
            )
        return state


_NEXT = {
    SessionState.NEW: {SessionState.SETTING_UP, SessionState.ENDING},
    SessionState.SETTING_UP: {SessionState.READY, SessionState.ENDING},
    SessionState.READY: {SessionState.ASKING, SessionState.ENDING},
    SessionState.ASKING: {
        SessionState.READY,
        SessionState.PARKED,
        SessionState.ENDING,
    },
    SessionState.PARKED: {SessionState.ASKING, SessionState.ENDING},
    SessionState.ENDING: {SessionState.ENDING},
}
