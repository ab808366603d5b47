from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.web import Application, RequestHandler

from claude_nb_gateway.api.pages import Page, list_of, page_asked_of
from claude_nb_gateway.errors import InvalidRequest

ITEMS = [{"id": name} for name in "abcde"]


class Answer(msgspec.Struct):
    data: list
    first_id: str | None
    last_id: str | None
    has_more: bool


class Thing(msgspec.Struct):
    id: str


def asked(query):
    connection = SimpleNamespace(set_close_callback=lambda callback: None)
    line = RequestStartLine("GET", f"/?{query}", "HTTP/1.1")
    request = HTTPServerRequest(
        connection=connection, start_line=line, headers=HTTPHeaders(Host="h")
    )
    return page_asked_of(RequestHandler(Application(), request), "project")


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("", Page(20, None, False)),
        ("limit=3&after=x&order=asc", Page(3, "x", True)),
        ("limit=100&after=&order=desc", Page(100, None, False)),
        ("project=p&token=t", Page(20, None, False)),
    ],
)
def test_page_is_read_from_the_query(query, page):
    assert asked(query) == page


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e1", "limit"),
        ("limit=9999999999999", "limit"),
        ("limit=%D9%A3", "limit"),  # a digit, but an Arabic one
        ("order=up", "order"),
        ("before=x", "before"),
    ],
)
def test_query_that_cannot_be_meant_is_refused_by_name(query, param):
    with pytest.raises(InvalidRequest, match=f"`{param}`") as refused:
        asked(query)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("limit", "after", "names", "more"),
    [
        (2, None, "ab", True),
        (2, "b", "cd", True),
        (2, "c", "de", False),
        (5, None, "abcde", False),
        (2, "e", "", False),
    ],
)
def test_page_is_the_part_of_the_list_behind_an_item(limit, after, names, more):
    part, has_more = Page(limit, after, False).part_of(ITEMS)
    assert [item["id"] for item in part] == list(names)
    assert has_more is more


def test_page_behind_an_item_that_is_not_there_is_refused():
    with pytest.raises(InvalidRequest, match="`after`"):
        Page(2, "x", False).part_of(ITEMS)


def test_list_names_its_first_and_last_item():
    assert list_of(Answer, ITEMS, has_more=True) == Answer(ITEMS, "a", "e", True)
    things = [Thing("one")]
    assert list_of(Answer, things) == Answer(things, "one", "one", False)


def test_list_of_nothing_has_no_first_and_no_last_item():
    assert list_of(Answer, []) == Answer([], None, None, False)
