"""Whose conversations are whose, where Jupyter knows its users by name."""

from __future__ import annotations

import httpx2
import pytest

from claude_nb_gateway.testing.server import running_gateway

from .resources import error_of, http

# As under a hub: each user has tokens of their own, and the server none.
USERS_BY_TOKEN = """
from jupyter_server.auth import IdentityProvider, User

class OfAHub(IdentityProvider):
    hub_auth = None
    token = ""
    auth_enabled = True

    async def get_user(self, handler):
        name, _, secret = (self.get_token(handler) or "").partition("-")
        if secret != "token":
            return None
        handler._token_authenticated = True
        return User(name)

c.ServerApp.identity_provider_class = OfAHub
"""


@pytest.fixture(scope="module")
def shared_server(model_server, tmp_path_factory):
    directory = tmp_path_factory.mktemp("shared")
    (directory / "config").mkdir()
    config = directory / "config" / "jupyter_server_config.py"
    config.write_text(USERS_BY_TOKEN)
    with running_gateway(directory, model_server.url) as gateway:
        yield gateway


@pytest.mark.soak
def test_user_of_a_share_opens_no_session_of_another(shared_server):
    with http(shared_server, "ann-token") as ann, http(shared_server, "bob-token") as b:
        session = ann.post("sessions", json={}).json()["id"]
        assert error_of(b.get(f"sessions/{session}")) == (404, "session_not_found")
        assert ann.get(f"sessions/{session}").status_code == 200
        assert session not in [each["id"] for each in b.get("sessions").json()["data"]]


@pytest.mark.soak
def test_without_a_token_of_the_hub_it_says_where_to_get_one(shared_server):
    with http(shared_server, "wrong") as client:
        for response in (client.get("models"), client.post("sessions", json={})):
            assert error_of(response) == (401, "invalid_api_key")
            assert "JupyterHub" in response.json()["error"]["message"]
            assert "jupyter server list" not in response.text


def test_browser_and_token_of_one_server_are_one(gateway):
    with httpx2.Client(base_url=gateway.base_url.removesuffix("/v1")) as browser:
        browser.get("/login", params={"token": gateway.key}, follow_redirects=True)
        headers = {"X-XSRFToken": browser.cookies["_xsrf"]}
        made = browser.post("/v1/sessions", json={}, headers=headers).json()["id"]
    with http(gateway) as client:
        assert client.get(f"sessions/{made}").status_code == 200
