"""Several servers on one database: nobody sees or changes what is another's."""

from __future__ import annotations

import asyncio
import shutil
import socket

import pytest
from sqlalchemy import make_url

from claude_nb_gateway.store.records import KeyRecord, Totals
from claude_nb_gateway.store.tenants import tenant_for

from .conftest import project, session, turn

pytestmark = pytest.mark.anyio

POSTGRESQL = make_url("postgresql://db.example/gateway")
SQLITE = make_url("sqlite:////shared/gateway.db")


@pytest.fixture
def tenants(make, url):
    return [make(url, busy_timeout_seconds=5, tenant=name) for name in ("ann", "bob")]


async def test_directory_is_a_project_of_each_tenant(tenants):
    ann, bob = tenants
    of_ann = await ann.add_project(project("a", directory="/home/jovyan", trusted=True))
    of_bob = await bob.add_project(project("b", directory="/home/jovyan"))
    assert (of_ann.id, of_bob.id) == ("proj_a", "proj_b")
    assert not (await bob.project_at("/home/jovyan")).trusted
    assert [each.id for each in (await bob.projects("/"))[0]] == ["proj_b"]
    assert await bob.project("proj_a") is None
    assert await bob.update_project("proj_a", trusted=False) is None
    assert not await bob.delete_project("proj_a")
    assert await ann.project("proj_a") == of_ann


async def test_sessions_are_their_tenants_also_with_the_same_id(tenants):
    ann, bob = tenants
    await ann.put_session(session("x", title="a secret", owner="token"))
    assert await bob.session("x") is None
    assert await bob.sessions(owner="token") == ([], False)
    assert await bob.update_session("x", title="t") is None
    assert not await bob.delete_session("x")
    of_bob = session("x", title="of a home that was copied", owner="token")
    assert await bob.put_session(of_bob) == of_bob
    await bob.put_sessions([session("y", owner="token")])
    assert (await ann.session("x")).title == "a secret"
    assert [each.id for each in (await ann.sessions())[0]] == ["x"]


async def test_page_of_sessions_begins_after_an_own_one(tenants):
    ann, bob = tenants
    await ann.put_sessions([session("x", updated_at=9.0)])
    await bob.put_sessions([session("x", updated_at=5.0), session("y", updated_at=7.0)])
    assert await ann.sessions(after="x") == ([], False)
    assert await bob.sessions(after="y") == ([session("x", updated_at=5.0)], False)


async def test_key_is_its_tenants(tenants):
    ann, bob = tenants
    await ann.add_key(KeyRecord("k", "ci", "00"))
    assert await bob.key("k") is None
    assert await bob.keys() == []
    assert not await bob.revoke_key("k", 5.0)
    assert await ann.keys() == [KeyRecord("k", "ci", "00")]


async def test_turns_are_added_up_where_they_are_the_tenants(tenants):
    ann, bob = tenants
    await ann.add_project(project("a"))
    await ann.add_key(KeyRecord("k", "ci", "00"))
    for store in tenants:
        await store.put_session(session("x"))
    bob.record(turn(session_id="x", project_id="proj_a", key_id="k"))
    await bob.flush()
    assert (await bob.session("x")).totals.turns == 1
    assert (await ann.session("x")).totals == Totals()
    assert (await ann.project("proj_a")).totals == Totals()
    assert (await ann.key("k")).totals == Totals()


async def test_servers_of_one_tenant_share(make, url):
    first, second = (make(url, busy_timeout_seconds=5, tenant="ann") for _ in range(2))
    await first.put_session(session("x"))
    assert await second.session("x") == session("x")


@pytest.fixture
def data_directory(tmp_path, monkeypatch):
    for name in ("JUPYTERHUB_USER", "JUPYTERHUB_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.mark.parametrize("url", [POSTGRESQL, SQLITE])
def test_tenant_at_a_hub_is_its_server(data_directory, monkeypatch, url):
    monkeypatch.setenv("JUPYTERHUB_USER", "ann")
    assert tenant_for(url, is_own_file=False) == "hub:ann"
    monkeypatch.setenv("JUPYTERHUB_SERVER_NAME", "gpu")
    assert tenant_for(url, is_own_file=False) == "hub:ann/gpu"


def test_own_file_is_of_one_tenant_with_and_without_a_hub(data_directory, monkeypatch):
    before = tenant_for(SQLITE, is_own_file=True)
    monkeypatch.setenv("JUPYTERHUB_USER", "ann")
    assert tenant_for(SQLITE, is_own_file=True) == before == ""


def test_tenant_goes_with_its_home_and_stays_when_the_machine_is_renamed(
    data_directory, monkeypatch, tmp_path
):
    before = tenant_for(POSTGRESQL, is_own_file=False)
    monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "moved"))
    shutil.move(data_directory, tmp_path / "moved")
    assert tenant_for(POSTGRESQL, is_own_file=False) == before
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "other"))
    assert tenant_for(POSTGRESQL, is_own_file=False) != before


async def test_home_that_cannot_keep_the_name_is_told_the_remedy(
    make, data_directory, postgresql_url
):
    data_directory.write_text("in the way")
    store = make(postgresql_url)
    await store.open()
    assert "set Store.tenant" in store.problem
    data_directory.unlink()
    assert await store.session("x") is None
    assert store.problem == ""


async def test_servers_that_start_at_once_in_one_home_are_one_tenant(data_directory):
    def tenant():
        return tenant_for(POSTGRESQL, is_own_file=False)

    found = await asyncio.gather(*(asyncio.to_thread(tenant) for _ in range(8)))
    assert len(set(found)) == 1
    assert [path.name for path in (data_directory / "claude_nb_gateway").iterdir()] == [
        "tenant"
    ]
