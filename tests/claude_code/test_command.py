from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code.command import child_environment, command_for
from claude_nb_gateway.claude_code.profile import PLAIN


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


def environment_of(*names, **options):
    """Which of the variables `names` of the server's a process has."""
    inherited = dict.fromkeys(names, "s")
    return child_environment(inherited, extra={}, max_retries=0, **options).keys() & {
        *names
    }


@pytest.mark.parametrize(
    "name",
    [
        "PGPASSWORD",
        "PGPASSFILE",
        "PGSERVICEFILE",
        "MYSQL_PWD",
        "REDIS_URL",
        "POSTGRES_PASSWORD",
        "APP_DATABASE_URL",
        "SQLALCHEMY_DATABASE_URI",
        "JUPYTERHUB_API_TOKEN",
        "JUPYTERHUB_CLIENT_ID",
        "JUPYTERHUB_CRYPT_KEY",
        "CONFIGPROXY_AUTH_TOKEN",
        "JUPYTER_TOKEN",
        "GITHUB_TOKEN",
        "HF_TOKEN",
        "SLACK_BOT_TOKEN_2",
        "DJANGO_SECRET_KEY",
        "OAUTH_CLIENT_SECRET",
        "OPENAI_API_KEY",
        "SSH_PRIVATE_KEY",
        "db_password",
        "TOKEN",
        "MYTOKEN",
        "DB_PASS",
        "POSTGRES_PASS",
        "SMTP_PASS",
        "GPG_PASSPHRASE",
        "GITHUB_PAT",
        "DSN",
        "SENTRY_DSN",
        "DB_CONNECTION_STRING",
        "AZURE_STORAGE_CONNECTION_STRING",
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
        "OPENAI_APIKEY",
        "AMQP_URL",
        "CLOUDAMQP_URL",
        "RABBITMQ_URL",
    ],
)
def test_secret_of_another_program_is_hidden(name):
    assert environment_of(name, "PATH") == {"PATH"}


@pytest.mark.parametrize(
    "name",
    [
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_FOUNDRY_API_KEY",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CODE_USE_BEDROCK",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_BEARER_TOKEN_BEDROCK",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "CLOUD_ML_REGION",
        "VERTEX_REGION_CLAUDE_HAIKU_4_5",
        "AZURE_CLIENT_SECRET",
        "HTTPS_PROXY",
        "NODE_EXTRA_CA_CERTS",
        "SSH_AUTH_SOCK",
        "MAX_MCP_OUTPUT_TOKENS",
        "MAX_THINKING_TOKENS",
        "AZURE_TENANT_ID",
        "SSH_ASKPASS",
        "GIT_ASKPASS",
        "PATH",
        "HOME",
    ],
)
def test_what_the_cli_reaches_its_model_by_goes_on(name):
    assert environment_of(name) == {name}


def test_last_pattern_that_fits_decides_and_an_exclamation_mark_shows():
    patterns = ["*_TOKEN", "!GITHUB_*", "GITHUB_ADMIN_*"]
    names = ("A_TOKEN", "GITHUB_TOKEN", "GITHUB_ADMIN_TOKEN", "PGPASSWORD")
    shown = environment_of(*names, secrets=patterns)
    assert shown == {"GITHUB_TOKEN", "PGPASSWORD"}


def test_configured_variables_win():
    environment = child_environment(
        {"A": "inherited"}, extra={"A": "1", "DISABLE_COMPACT": "0"}, max_retries=3
    )
    assert environment["A"] == "1"
    assert environment["DISABLE_COMPACT"] == "0"
    assert environment["CLAUDE_CODE_MAX_RETRIES"] == "3"


def test_arguments_of_calls_are_streamed_and_nothing_runs_in_the_background():
    environment = child_environment({}, extra={}, max_retries=0)
    assert environment["CLAUDE_CODE_ENABLE_FINE_GRAINED_TOOL_STREAMING"] == "1"
    assert environment["CLAUDE_CODE_DISABLE_BACKGROUND_TASKS"] == "1"
