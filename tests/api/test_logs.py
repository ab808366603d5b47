"""What clients send does not reach the log as it is: neither keys nor control codes."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
from urllib.parse import urlsplit

import httpx2
import pytest

from claude_nb_gateway.access.logs import MOST_FILLED_IN, MOST_WHOLE, LogGuard
from claude_nb_gateway.demo.model import Reply

from ..soak.test_paths import send
from .resources import chat, http, make_key, runtime_file

_marks = itertools.count()


def logged(gateway):
    """The log so far: up to a request that is made for that."""
    mark = f"mark-{next(_marks)}"
    httpx2.get(f"{gateway.base_url}/{mark}")
    return gateway.wait_for_log(mark)


@pytest.fixture(scope="module")
def key(_gateway, model_server):
    return make_key(_gateway, model_server, "logged")


@pytest.mark.parametrize(
    "place",
    ["/v1/models", "/v1/projects", "/v1/nothing", "/api/contents", "/tree", "/x/{key}"],
)
@pytest.mark.parametrize("kind", ["scoped", "kernel", "server"])
def test_key_in_an_address_is_not_logged(gateway, key, place, kind):
    runtime = json.loads(runtime_file(gateway).read_text())["api_key"]
    text = {"scoped": key, "kernel": runtime, "server": gateway.key + "x"}[kind]
    if kind == "server" and "{key}" in place:
        return  # nothing tells it from other words there
    address = gateway.base_url.removesuffix("/v1") + place.format(key=text)
    headers = {"Referer": f"{address}?token={text}"}
    httpx2.get(address, params={"token": text}, headers=headers)
    httpx2.post(address, params={"token": text}, headers=headers, json={})
    assert text not in logged(gateway)


HOSTILE = "\x1b[31mred\x1b[0m\x9b2J\r\nforged\x00\u202e\u2028line"


def test_control_codes_of_clients_are_not_logged(gateway, model):
    address = urlsplit(gateway.base_url)
    with contextlib.suppress(OSError):
        send(address, gateway.key, "GET", "/v1/\x9b2Jnothing")
    encoded = "%1b[31mred%0aforged%9b%c2%9b"
    with http(gateway) as client:
        chat(client, model=HOSTILE)
        chat(client, project_id=HOSTILE)
        chat(client, session_id=HOSTILE)
        client.get("models", params={HOSTILE: "1"})
        client.get("sessions", params={HOSTILE: "1"})
        client.get(f"models/{encoded}")
        client.get(f"projects/{encoded}")
        client.get(f"sessions/{encoded}")
        client.delete(f"responses/{encoded}")
        client.post("responses", json={"model": "sonnet", "input": [{"type": HOSTILE}]})
        client.post("chat/completions", json={HOSTILE: HOSTILE})
        client.get("models", headers={"X-Claude-Project": encoded})
        chat(client, path="chat/completions", user=HOSTILE)
        model.script(Reply(status=400, message=HOSTILE))
        chat(client)
    text = logged(gateway)
    codes = {c for c in text if not c.isprintable()} - {"\n"}
    assert codes == set()
    assert not [line for line in text.splitlines() if line.startswith("forged")]


def guarded(message, *arguments, error=None):
    exc_info = None if error is None else (type(error), error, None)
    where = ("test", logging.INFO, __file__, 1)
    record = logging.LogRecord(*where, message, arguments, exc_info)
    assert LogGuard().filter(record)
    return logging.Formatter().format(record)


SCOPED = "cnbg_0123456789ab_" + "x" * 43


def test_key_in_a_message_is_named_by_its_id():
    assert guarded(f"GET /?token={SCOPED}") == "GET /?token=cnbg_0123456789ab_[secret]"
    assert guarded("%s", f"/?key={SCOPED}&a=1") == "/?key=[secret]&a=1"
    assert (
        guarded("%r", {"kernel": "cnbk_" + "x" * 43}) == "{'kernel': 'cnbk_[secret]'}"
    )


def test_what_is_filled_in_stays_on_one_line_and_the_message_may_have_more():
    assert guarded("a\nb %s %d", "c\nd", 1) == "a\nb c\\nd 1"
    assert guarded("%(x)s", {"x": "\x1b[31m"}) == "\\x1b[31m"
    assert guarded("%.1f %5d|%s", 1.25, 7, None) == "1.2     7|None"


def test_traceback_is_mended_too():
    text = guarded("failed", error=ValueError(f"\x1b {SCOPED}"))
    assert text.endswith("ValueError: \\x1b cnbg_0123456789ab_[secret]")


def test_message_that_cannot_be_formatted_is_left_to_its_handler():
    with pytest.raises(TypeError):
        guarded("%d", "no number")


@pytest.mark.parametrize(
    "unit", ["?key", "&key", "key", "?token?", "&%6b", "?a=", "\x7f"]
)
def test_guard_takes_little_time_for_much_text(unit):
    text = "/?" + unit * 250_000
    for log in (guarded(text), guarded("%s", text), guarded("%r", text)):
        assert len(log) < 15 * MOST_WHOLE
    assert len(guarded("%s", text)) < 15 * MOST_FILLED_IN


def test_what_is_filled_in_is_cut_and_says_so():
    assert guarded("%s", "x" * MOST_FILLED_IN) == "x" * MOST_FILLED_IN
    begun = "x" * MOST_FILLED_IN
    assert guarded("%s.", begun + "yy") == f"{begun}… (2 characters more)."


def test_no_part_of_a_key_is_left_where_a_text_is_cut():
    for length in range(len(SCOPED)):
        text = " " * (MOST_FILLED_IN - length) + SCOPED
        assert "xx" not in guarded("%s", text)


def test_name_of_a_secret_parameter_may_be_encoded():
    assert guarded("%s", "/?to%6ben=abc&b=1") == "/?to%6ben=[secret]&b=1"
    assert guarded("GET /?%74OKEN=abc&b=1") == "GET /?%74OKEN=[secret]&b=1"
    assert guarded("%s", "/?next=/?token=abc") == "/?next=/?token=[secret]"


def test_address_that_jupyter_tells_its_user_is_whole():
    assert guarded("at http://h/tree?token=abc") == "at http://h/tree?token=abc"
