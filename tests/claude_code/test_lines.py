from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code.lines import LineFramer
from claude_nb_gateway.errors import ProtocolError


def test_lines_are_framed_however_they_are_cut():
    stream = b"one\n\ntwo\nthree\n"
    for size in range(1, len(stream) + 1):
        framer = LineFramer(limit_bytes=5)
        pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
        lines = [line for piece in pieces for line in framer.feed(piece)]
        assert lines == [b"one", b"two", b"three"]


@pytest.mark.parametrize("data", [b"123456", b"123456\n", b"1\n123456"])
def test_a_line_over_the_limit_is_an_error(data):
    with pytest.raises(ProtocolError, match="longer"):
        LineFramer(limit_bytes=5).feed(data)
