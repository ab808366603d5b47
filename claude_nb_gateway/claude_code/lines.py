"""Cuts what the CLI writes into lines. Pure."""

from __future__ import annotations

from ..errors import ProtocolError


class LineFramer:
    """Splits a byte stream into lines of at most `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._pieces: list[bytes] = []
        self._pending_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their newline.

        Raises
        ------
        ProtocolError
            A line, complete or not, is longer than the limit.
        """
        *complete, rest = data.split(b"\n")
        if complete:
            complete[0] = b"".join([*self._pieces, complete[0]])
            self._pieces.clear()
            self._pending_bytes = 0
        if rest:
            self._pieces.append(rest)
            self._pending_bytes += len(rest)
        longest = max([self._pending_bytes, *map(len, complete)])
        if longest > self.limit_bytes:
            raise ProtocolError(
                "The Claude Code CLI wrote a line longer than the gateway accepts.",
                detail=f"over {self.limit_bytes} bytes: raise line_limit_bytes",
            )
        return [line for line in complete if line]
