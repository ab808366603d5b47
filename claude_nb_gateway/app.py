"""The server extension, which is also the command `jupyter claude-gateway`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import os
import shlex
import signal
import sys
import tempfile
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado import autoreload
from traitlets import Bool, Float, Instance, Integer, default

from .access.hub import under_hub
from .access.kernels import Kernels
from .access.keyring import Keyring
from .access.logs import guard
from .access.redaction import hide_secrets_of_config
from .api import routes
from .api.access_log import access_log
from .api.activity import Activity
from .api.bodies import Bodies
from .api.compactions import Compactions
from .api.images import ImageFetcher
from .api.notebooks import notebook_of
from .api.services import Services
from .api.stored_responses import ResponseStore
from .claude_code.failures import LOGIN
from .claude_code.login import is_logged_in
from .claude_code.manager import CLIManager
from .claude_code.models import ModelCatalog
from .connection import (
    Connection,
    remove_connection,
    remove_stale_connections,
    socket_url,
    write_connection,
)
from .demo.answers import demo_environment, demo_reply
from .demo.model import ModelServer
from .errors import CLINotFound
from .standalone import StandaloneServer, base_url_of, place_of
from .store.store import Store
from .turn.schemas import SchemaChecker
from .workspace.projects import Projects
from .workspace.sessions import Sessions

GOING_AWAY = 1001

# Before any application configures itself, and logs with what.
hide_secrets_of_config()

ANY_ADDRESS = ("", "*", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound

DEMO_GREETING = """
  The Claude gateway runs with canned answers. From another shell:

    {curl} -N {base}/chat/completions \\
      -H 'Authorization: Bearer {key}' \\
      -H 'Content-Type: application/json' \\
      -d '{{"model": "sonnet", "stream": true,
           "messages": [{{"role": "user", "content": "Hello"}}]}}'
"""
DEMO_VARIABLES = """
  For OpenAI clients:

    export OPENAI_BASE_URL={base} OPENAI_API_KEY={key}
"""


class GatewayApp(ExtensionApp):
    """Serves ``/v1`` under the server's base URL."""

    name = "claude-gateway"
    description = "An OpenAI-compatible gateway over the Claude Code CLI."
    examples = (
        "jupyter claude-gateway                          # on 127.0.0.1:8000\n"
        "jupyter claude-gateway login                    # log Claude Code in\n"
        "jupyter claude-gateway key create --name chat   # a key that opens /v1 alone"
    )
    extension_url = "/v1/models"
    load_other_extensions = False
    serverapp_class = StandaloneServer
    # Jupyter looks a first word up here, and fails where there is only the trait.
    subcommands = {}
    classes = [
        ServerApp,
        Bodies,
        CLIManager,
        Compactions,
        ImageFetcher,
        ModelCatalog,
        Projects,
        ResponseStore,
        SchemaChecker,
        Store,
    ]
    flags = {
        "demo": (
            {"GatewayApp": {"demo": True}},
            "Answer from a built-in stand-in of the model: no login is needed.",
        ),
        "embedded": (
            {"GatewayApp": {"embedded": True, "require_auth": True}},
            "Serve the process that starts this one, and end with it.",
        ),
        "require-auth": (
            {"GatewayApp": {"require_auth": True}},
            "Ask for a key even when standing alone on loopback.",
        ),
    }

    require_auth = Bool(
        False,
        config=True,
        help="""Ask for a key also when the gateway stands alone: the token of the
        server. On any address but loopback it does not start without. As an
        extension of a Jupyter server that server's authentication holds.""",
    )
    embedded = Bool(
        False,
        config=True,
        help="""Serve the process that started this one: print the connection as a
        line of JSON on standard output, and end when standard input does.""",
    )
    demo = Bool(
        False,
        config=True,
        help="Run the CLI against a built-in stand-in of the model: canned answers.",
    )
    demo_delay_seconds = Float(
        0.03, config=True, help="Pause between the words of a canned answer."
    )
    max_request_bytes = Integer(
        32 * 2**20, config=True, help="A larger request body is refused."
    )
    keepalive_seconds = Float(
        15.0,
        config=True,
        help="A stream that is silent for so long gets a comment, for proxies.",
    )
    reader_timeout_seconds = Float(
        60.0,
        config=True,
        help="""A client that takes nothing of its stream for so long, while there is
        something to take, is hung up on, and its turn is stopped.""",
    )
    websocket_ping_seconds = Float(
        30.0,
        min=0.1,
        config=True,
        help="""A WebSocket is pinged so often; one that has not answered within as
        long again, as of a client that does not read, is closed.""",
    )
    websocket_idle_seconds = Float(
        900.0,
        min=0.1,
        config=True,
        help="A WebSocket on which nothing is asked for so long is closed.",
    )
    websocket_connection_seconds = Float(
        3600.0,
        min=0.1,
        config=True,
        help="A WebSocket that is older takes no request any more.",
    )
    strict_parameters = Bool(
        False,
        config=True,
        help="""Refuse a request with a field that has no effect, where otherwise the
        header X-Ignored-Parameters names it.""",
    )
    large_requests = Instance(Executor)
    bodies = Instance(Bodies)
    manager = Instance(CLIManager)
    images = Instance(ImageFetcher)
    responses = Instance(ResponseStore)
    compactions = Instance(Compactions)
    schemas = Instance(SchemaChecker)
    store = Instance(Store)
    projects = Instance(Projects)
    sessions = Instance(Sessions)
    keyring = Instance(Keyring)
    kernels = Instance(Kernels)
    services = Instance(Services)

    @default("open_browser")
    def _default_open_browser(self) -> bool:
        return False

    @default("large_requests")
    def _default_large_requests(self) -> Executor:
        # Several would only take turns, and the event loop have to wait for all.
        return ThreadPoolExecutor(1, thread_name_prefix="large-requests")

    @default("bodies")
    def _default_bodies(self) -> Bodies:
        return Bodies(parent=self)

    @default("manager")
    def _default_manager(self) -> CLIManager:
        return CLIManager(parent=self)

    @default("images")
    def _default_images(self) -> ImageFetcher:
        return ImageFetcher(parent=self)

    @default("responses")
    def _default_responses(self) -> ResponseStore:
        return ResponseStore(parent=self)

    @default("schemas")
    def _default_schemas(self) -> SchemaChecker:
        return SchemaChecker(parent=self)

    @default("compactions")
    def _default_compactions(self) -> Compactions:
        return Compactions(parent=self)

    @default("store")
    def _default_store(self) -> Store:
        return Store(parent=self)

    @default("projects")
    def _default_projects(self) -> Projects:
        server = self.serverapp
        assert server is not None
        return Projects(
            parent=self,
            root=server.root_dir,
            allow_hidden=lambda: server.contents_manager.allow_hidden,
            store=self.store,
        )

    @default("sessions")
    def _default_sessions(self) -> Sessions:
        return Sessions(
            parent=self,
            store=self.store,
            manager=self.manager,
            projects=self.projects,
        )

    @default("keyring")
    def _default_keyring(self) -> Keyring:
        return Keyring(parent=self, store=self.store)

    @default("kernels")
    def _default_kernels(self) -> Kernels:
        server = self.serverapp
        assert server is not None
        return Kernels(
            lambda kernel_id: kernel_id in server.kernel_manager,
            partial(notebook_of, server),
            # The process that started an embedded server works in its root directory.
            directory="" if self.embedded else None,
        )

    @default("services")
    def _default_services(self) -> Services:
        return Services(
            manager=self.manager,
            projects=self.projects,
            sessions=self.sessions,
            store=self.store,
            keyring=self.keyring,
            kernels=self.kernels,
            images=self.images,
            responses=self.responses,
            compactions=self.compactions,
            schemas=self.schemas,
            bodies=self.bodies,
            large_requests=self.large_requests,
            is_keyless=lambda: self.keyless,
            max_request_bytes=self.max_request_bytes,
            keepalive_seconds=self.keepalive_seconds,
            reader_timeout_seconds=self.reader_timeout_seconds,
            websocket_ping_seconds=self.websocket_ping_seconds,
            websocket_idle_seconds=self.websocket_idle_seconds,
            websocket_connection_seconds=self.websocket_connection_seconds,
            strict_parameters=self.strict_parameters,
        )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._opening: asyncio.Task[None] | None = None
        self._login_check: asyncio.Task[None] | None = None
        self._activity: Activity | None = None
        self._demo_model: ModelServer | None = None
        self._demo_directory: tempfile.TemporaryDirectory[str] | None = None

    @property
    def standalone(self) -> bool:
        """Whether the server was started by `jupyter claude-gateway`."""
        return self.serverapp is not None and self.serverapp.starter_app is self

    @property
    def keyless(self) -> bool:
        """Whether requests need no key; then only local ones are let in."""
        assert self.serverapp is not None
        if self.standalone and not self.require_auth:
            return True
        return not self.serverapp.identity_provider.auth_enabled

    @classmethod
    def make_serverapp(cls, **kwargs: Any) -> ServerApp:
        """Make the server; it reads the command line first, so it knows our flags."""
        server = super().make_serverapp(**kwargs)
        server.flags = {**server.flags, **cls.flags}
        return server

    def initialize_settings(self) -> None:
        """Refuse to stand on the network, or under a hub, without a key."""
        assert self.serverapp is not None
        if self.keyless and under_hub():
            self._refuse_to_start(
                "The gateway runs under JupyterHub and asks for no key, so that every "
                "user of the hub, or of this machine, could use it. Start it with "
                "--require-auth, or let the Jupyter server ask for its token."
            )
        if self.standalone and self.keyless and not _is_loopback(self.serverapp):
            self._refuse_to_start(
                "The gateway listens beyond this machine (ServerApp.ip = "
                f"{self.serverapp.ip!r}) and asks for no key. Start it with "
                "--require-auth, or on 127.0.0.1."
            )
        if self.keyless:
            # Jupyter would print an address with a key that nobody needs.
            self.serverapp.identity_provider.token_generated = False
        for log in (self.serverapp.log, self.log):
            guard(log)

    def _refuse_to_start(self, why: str) -> None:
        if not self.standalone:
            raise RuntimeError(why)  # the Jupyter server goes on without us
        self.log.critical(why)
        self.exit(1)

    def initialize_handlers(self) -> None:
        """Register the routes."""
        self.handlers.extend(routes.handlers(self.services))
        if self.standalone:
            self.handlers.extend(routes.handlers_alone())

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        # A reloading server replaces its own image and would leave its children.
        autoreload.add_reload_hook(self.manager.end_now)
        _stop_at_sigint(serverapp)
        if self.demo:
            await self._start_demo()
        assert serverapp.web_app is not None
        rules = routes.first_rules(serverapp.base_url, self.services)
        serverapp.web_app.default_router.rules[:0] = rules
        self._guard_files(serverapp)
        self._warn_of_credentials()
        # Nobody waits for it who does not need it.
        self._opening = asyncio.create_task(self.store.open())
        await self.manager.reap()
        await self._tell_kernels()
        settings = serverapp.web_app.settings
        settings["log_function"] = access_log(settings["log_function"])
        times = settings["last_activity_times"]
        self._activity = Activity(times, lambda: self.current_activity() is not None)
        self._activity.start()
        if self.embedded:
            print(self.connection.to_json(), flush=True)
            loop = asyncio.get_running_loop()
            loop.add_reader(sys.stdin.fileno(), self._stdin_readable)
        elif self.standalone and not self.demo:
            # An extension starts nothing before the first request comes.
            self._login_check = asyncio.create_task(self._warn_of_login())
        _spare_the_collector()
        self._greet()

    async def stop_extension(self) -> None:
        """End every CLI process."""
        if self._activity is not None:
            self._activity.stop()
        if self._login_check is not None:
            self._login_check.cancel()
            await asyncio.wait([self._login_check])
        with contextlib.suppress(OSError):
            await asyncio.to_thread(remove_connection, os.getpid())
        await self.responses.close()
        await self.manager.shutdown()
        for socket in list(self.services.sockets):
            socket.close(GOING_AWAY, "the server stops")
        await self.schemas.close()
        self.large_requests.shutdown(wait=False, cancel_futures=True)
        await self.sessions.close()
        if self._opening is not None:
            await self._opening
        await self.store.close()
        if self._demo_model is not None:
            await self._demo_model.stop()
        if self._demo_directory is not None:
            await asyncio.to_thread(self._demo_directory.cleanup)

    def _guard_files(self, server: ServerApp) -> None:
        """Keep turns off what would give them more rights than they have."""
        own = (server.config_file, server.cookie_secret_file, server.keyfile)
        files = [os.path.abspath(path) for path in (*own, *self.store.files) if path]
        self.manager.private_paths = [*self.manager.private_paths, *files]

    def _warn_of_credentials(self) -> None:
        """Say so if they are below the root, where callers' tools may work."""
        root, held = self.projects.root, self.manager.config_directory
        if os.path.commonpath([root, os.path.realpath(held)]) == root:
            self.log.warning(
                "The server's root directory %s holds Claude Code's configuration "
                "directory %s, with its login and all transcripts. Claude's tools for "
                "files keep out of it; Bash and MCP servers, for callers who have "
                "them, do not. A narrower root (ServerApp.root_dir) keeps all out.",
                root,
                held,
            )

    async def _warn_of_login(self) -> None:
        """Say what requests would be told, before one comes."""
        manager = self.manager
        try:
            found = await is_logged_in(
                manager.find_cli(),
                manager.environment(),
                timeout_seconds=manager.control_timeout_seconds,
            )
        except (CLINotFound, OSError) as error:
            self.log.warning("%s", error)
        else:
            if found is False:
                self.log.warning("%s", LOGIN)

    async def _tell_kernels(self) -> None:
        try:
            await asyncio.to_thread(remove_stale_connections)
            await asyncio.to_thread(write_connection, os.getpid(), self.connection)
        except OSError as error:
            self.log.warning(
                "Jupyter's runtime directory cannot be written (%s): %%%%claude in the "
                "notebooks of this server does not find it; HTTP clients do.",
                error,
            )

    @property
    def connection(self) -> Connection:
        """How programs on this machine reach ``/v1``, and nothing else, of us."""
        server = self.serverapp
        assert server is not None
        base_url = url_path_join(_origin(server), server.base_url, "v1")
        return Connection(base_url, self.kernels.key, server.certfile or None)

    def _stdin_readable(self) -> None:
        # Nobody ever writes: it becomes readable when its other end is closed,
        # which happens however that process ends.
        loop = asyncio.get_running_loop()
        loop.remove_reader(sys.stdin.fileno())
        assert self.serverapp is not None
        self.serverapp.stop()

    def current_activity(self) -> dict[str, int] | None:
        """What keeps a server that shuts down when idle: the running turns."""
        turns = self.manager.active_sessions
        return {"turns": turns} if turns else None

    async def _start_demo(self) -> None:
        self._demo_model = ModelServer(demo_reply(self.demo_delay_seconds))
        self._demo_model.start()
        self._demo_directory = tempfile.TemporaryDirectory(prefix="claude-demo-")
        environment = demo_environment(self._demo_model.url, self._demo_directory.name)
        self.manager.cli_env = {**self.manager.cli_env, **environment}

    def _greet(self) -> None:
        assert self.serverapp is not None
        self.log.info("Claude gateway: OPENAI_BASE_URL=%s", place_of(self.serverapp))
        if self.demo:
            self._greet_demo(self.serverapp)

    def _greet_demo(self, server: ServerApp) -> None:
        # Only here is a key printed: this one opens nothing but canned answers,
        # and the Jupyter server it belongs to prints it as well.
        key = "none" if self.keyless else server.identity_provider.token
        base, curl, greeting = base_url_of(server), "curl", DEMO_GREETING
        if server.sock:
            curl = f"curl --unix-socket {shlex.quote(os.path.abspath(server.sock))}"
        else:  # no variable tells a client of a socket
            greeting += DEMO_VARIABLES
        # To be copied from the terminal, free of log prefixes.
        print(greeting.format(curl=curl, base=base, key=key), flush=True)


def _stop_at_sigint(server: ServerApp) -> None:
    """Have SIGINT end the server in good order also where there is no terminal.

    Without one Jupyter leaves the signal to Python, whose KeyboardInterrupt ends the
    event loop at once: no extension would be stopped.
    """
    untouched = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if untouched and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, lambda *_: server.stop(from_signal=True))


def _origin(server: ServerApp) -> str:
    """Where programs on this machine reach `server`."""
    if server.sock:
        return socket_url(server.sock)
    local = urlsplit(server.local_url)
    if server.ip in (*ANY_ADDRESS, "localhost"):
        return f"{local.scheme}://{local.netloc}"
    address = f"[{server.ip}]" if ":" in server.ip else server.ip
    return f"{local.scheme}://{address}:{server.port}"


def _spare_the_collector() -> None:
    """Let the garbage collector leave alone what is there for good.

    The 200,000 objects of Jupyter and its extensions cost each full collection a tenth
    of a second, in which nobody is answered; a large request causes several.
    """
    gc.collect()
    gc.freeze()


def _is_loopback(server: ServerApp) -> bool:
    if server.sock or server.ip == "localhost":
        return True
    try:
        return ipaddress.ip_address(server.ip).is_loopback
    except ValueError:
        return False
