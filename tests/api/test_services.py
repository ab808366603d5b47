from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest
from jupyter_server.auth import PasswordIdentityProvider
from jupyter_server.serverapp import ServerApp

from claude_nb_gateway.api.services import Services
from claude_nb_gateway.app import GatewayApp

SETTINGS = {
    "max_request_bytes": 1_000,
    "keepalive_seconds": 1.5,
    "reader_timeout_seconds": 2.5,
    "websocket_ping_seconds": 3.5,
    "websocket_idle_seconds": 4.5,
    "websocket_connection_seconds": 5.5,
    "strict_parameters": True,
}
OF_NO_TRAIT = {"is_keyless", "sockets"}


@pytest.fixture
def app(tmp_path):
    app = GatewayApp(**SETTINGS)
    app.serverapp = ServerApp(root_dir=str(tmp_path))
    app.serverapp.identity_provider = PasswordIdentityProvider(token="t")
    yield app
    app.large_requests.shutdown()


def test_services_are_those_of_the_app_by_the_same_names(app):
    for field in fields(Services):
        if field.name not in OF_NO_TRAIT:
            told = getattr(app.services, field.name)
            assert told is getattr(app, field.name), field.name


def test_settings_are_those_that_the_app_was_configured_with(app):
    told = {name: getattr(app.services, name) for name in SETTINGS}
    assert told == SETTINGS


def test_whether_a_key_is_needed_is_asked_each_time(app):
    assert app.services.is_keyless() is False
    app.serverapp.identity_provider.token = ""
    assert app.services.is_keyless() is True


def test_handlers_cannot_change_what_the_others_use(app):
    with pytest.raises(FrozenInstanceError):
        app.services.strict_parameters = False


def test_apps_do_not_share_their_open_sockets(app, tmp_path):
    other = GatewayApp()
    other.serverapp = app.serverapp
    assert app.services.sockets is not other.services.sockets
