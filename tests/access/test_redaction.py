from __future__ import annotations

import pytest
from traitlets.config import Config
from traitlets.config.loader import DeferredConfigString

from claude_nb_gateway.access.redaction import without_secrets
from claude_nb_gateway.testing.server import running_gateway


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:s3cret@db/x",
        "postgresql://ann:s3cret@more@db/x",
        "postgresql://db/x?user=ann&password=s3cret",
        DeferredConfigString("postgresql://ann:s3cret@db/x"),
    ],
)
def test_password_in_an_address_is_hidden(url):
    shown = repr(without_secrets(Config({"Store": {"database_url": url}})))
    assert "s3cret" not in shown
    assert "more" not in shown
    assert "postgresql://" in shown


def test_secrets_are_hidden_by_name_and_all_else_is_shown():
    config = Config(
        {
            "IdentityProvider": {"token": "s3cret"},
            "PasswordIdentityProvider": {"hashed_password": "s3cret"},
            "CLIManager": {"cli_env": {"ANTHROPIC_API_KEY": "s3cret", "A": "seen"}},
            "ServerApp": {"port": 8888, "token": DeferredConfigString("s3cret")},
        }
    )
    shown = repr(without_secrets(config))
    assert "s3cret" not in shown
    assert "8888" in shown
    assert "seen" in shown


@pytest.mark.soak
def test_debug_log_holds_no_secret(tmp_path, model):
    options = (
        "--debug",
        "--Store.database_url=postgresql://ann:db-s3cret@127.0.0.1:1/x",
        "--IdentityProvider.token=token-s3cret",
    )
    with running_gateway(tmp_path, model.url, *options) as gateway:
        gateway.stop()
    log = "".join(gateway.log)
    assert "Config changed" in log
    assert "s3cret" not in log
