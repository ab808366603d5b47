from __future__ import annotations

from claude_nb_gateway.claude.command import child_environment, command_for
from claude_nb_gateway.claude.profile import PLAIN


def test_variadic_tools_flag_is_last():
    assert command_for("/bin/claude", PLAIN)[-2:] == ["--tools", ""]


def test_no_transcript_is_kept():
    assert "--no-session-persistence" in command_for("/bin/claude", PLAIN)


def test_secrets_of_the_server_are_hidden():
    secrets = {
        "JUPYTER_TOKEN": "s",
        "JUPYTERHUB_API_TOKEN": "s",
        "JPY_API_TOKEN": "s",
        "DATABASE_URL": "s",
        "CLAUDE_GATEWAY_KEY_FILE": "s",
        "CLAUDECODE": "1",
    }
    environment = child_environment(
        {**secrets, "PATH": "/bin"}, extra={}, max_retries=0
    )
    assert not environment.keys() & secrets.keys()
    assert environment["PATH"] == "/bin"


def test_configured_variables_win():
    environment = child_environment(
        {"A": "inherited"}, extra={"A": "1", "DISABLE_COMPACT": "0"}, max_retries=3
    )
    assert environment["A"] == "1"
    assert environment["DISABLE_COMPACT"] == "0"
    assert environment["CLAUDE_CODE_MAX_RETRIES"] == "3"
