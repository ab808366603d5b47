"""The server extension, which is also the command `jupyter claude-gateway`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado import autoreload
from traitlets import Bool, Float, Instance, Integer, default

from . import startup
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
from .claude_code.manager import CLIManager
from .claude_code.models import ModelCatalog
from .claude_code.tasks import BackgroundTasks
from .connection import Connection, remove_connection
from .demo.wiring import Demo, greeting
from .standalone import (
    StandaloneServer,
    base_url_of,
    origin_of,
    place_of,
    reason_not_to_start,
    stop_with_stdin,
)
from .store.store import Store
from .turn.schemas import SchemaChecker
from .workspace.projects import Projects
from .workspace.sessions import Sessions

# https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
GOING_AWAY = 1001

# An application logs its configuration when it is made, so this comes before them all.
hide_secrets_of_config()


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
    # Jupyter looks up the first word of a command line here, and fails if there is only
    # the trait that it declares itself. `__main__` has the commands.
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
            "Give canned answers from a built-in model; no login is needed.",
        ),
        "embedded": (
            {"GatewayApp": {"embedded": True, "require_auth": True}},
            "Serve the process that started this one, and stop when it ends.",
        ),
        "require-auth": (
            {"GatewayApp": {"require_auth": True}},
            "Require a key, also on loopback.",
        ),
    }

    require_auth = Bool(
        False,
        config=True,
        help="""Whether the command `jupyter claude-gateway` requires a key: the token
        of the server. On any address but loopback it does not start without this
        option. As an extension of a Jupyter server the gateway uses that server's
        authentication.""",
    )
    embedded = Bool(
        False,
        config=True,
        help="""Serve the process that started this one: print the connection as one
        line of JSON on standard output, and stop when standard input is closed.""",
    )
    demo = Bool(
        False,
        config=True,
        help="""Give canned answers: the CLI asks a built-in stand-in instead of the
        model.""",
    )
    demo_delay_seconds = Float(
        0.03, config=True, help="Pause between two words of a canned answer."
    )
    max_request_bytes = Integer(
        32 * 2**20, config=True, help="Maximum size of the body of one request."
    )
    keepalive_seconds = Float(
        15.0,
        config=True,
        help="""Time without an event after which a stream gets a comment, so that
        proxies do not close the connection.""",
    )
    reader_timeout_seconds = Float(
        60.0,
        config=True,
        help="""Maximum time for which a client may read nothing although its stream has
        something to read. Then the connection is closed and the turn is stopped.""",
    )
    websocket_ping_seconds = Float(
        30.0,
        min=0.1,
        config=True,
        help="""Time between two pings on a WebSocket. It is closed if the client does
        not answer a ping within the same time.""",
    )
    websocket_idle_seconds = Float(
        900.0,
        min=0.1,
        config=True,
        help="Time without a request after which a WebSocket is closed.",
    )
    websocket_connection_seconds = Float(
        3600.0,
        min=0.1,
        config=True,
        help="Maximum age of a WebSocket. An older one accepts no more requests.",
    )
    strict_parameters = Bool(
        False,
        config=True,
        help="""Whether a request with a field that has no effect is refused. Otherwise
        it is answered, and the header X-Ignored-Parameters names the field.""",
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
        # Several threads would only compete with each other and with the event loop.
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
        self._tasks = BackgroundTasks(self.log)
        self._login_check: asyncio.Task[None] | None = None
        self._activity: Activity | None = None
        self._demo: Demo | None = None

    @property
    def standalone(self) -> bool:
        """Whether the server was started by `jupyter claude-gateway`."""
        return self.serverapp is not None and self.serverapp.starter_app is self

    @property
    def keyless(self) -> bool:
        """Whether requests need no key. Then only local ones are let in."""
        assert self.serverapp is not None
        if self.standalone and not self.require_auth:
            return True
        return not self.serverapp.identity_provider.auth_enabled

    @classmethod
    def make_serverapp(cls, **kwargs: Any) -> ServerApp:
        """Make the server, with the gateway's flags: it reads the command line."""
        server = super().make_serverapp(**kwargs)
        server.flags = {**server.flags, **cls.flags}
        return server

    def initialize_settings(self) -> None:
        """Refuse to start if everybody could use the gateway; keep secrets unlogged."""
        assert self.serverapp is not None
        if self.keyless:
            why = reason_not_to_start(self.serverapp, alone=self.standalone)
            if why:
                self._refuse_to_start(why)
            # Jupyter would print an address with a key that nobody needs.
            self.serverapp.identity_provider.token_generated = False
        for log in (self.serverapp.log, self.log):
            guard(log)

    def _refuse_to_start(self, why: str) -> None:
        if not self.standalone:
            raise RuntimeError(why)  # the Jupyter server goes on without the gateway
        self.log.critical(why)
        self.exit(1)

    def initialize_handlers(self) -> None:
        """Add the gateway's URLs to the server."""
        self.handlers.extend(routes.handlers(self.services))
        if self.standalone:
            self.handlers.extend(routes.handlers_alone())

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        # A server that reloads replaces its own process image. Its children would stay.
        autoreload.add_reload_hook(self.manager.end_now)
        startup.stop_at_sigint(serverapp)
        if self.demo:
            self._demo = Demo(self.demo_delay_seconds)
            self.manager.cli_env = {**self.manager.cli_env, **self._demo.start()}
        assert serverapp.web_app is not None
        rules = routes.first_rules(serverapp.base_url, self.services)
        serverapp.web_app.default_router.rules[:0] = rules
        self._guard_files(serverapp)
        root, held = self.projects.root, self.manager.config_directory
        startup.warn_of_credentials(self.log, root, held)
        # Only requests that need the store wait until it is open.
        self._tasks.start(self.store.open())
        await self.manager.reap()
        await startup.tell_kernels(self.log, self.connection)
        settings = serverapp.web_app.settings
        settings["log_function"] = access_log(settings["log_function"])
        times = settings["last_activity_times"]
        self._activity = Activity(times, lambda: self.current_activity() is not None)
        self._activity.start()
        if self.embedded:
            print(self.connection.to_json(), flush=True)
            stop_with_stdin(serverapp)
        elif self.standalone and not self.demo:
            # An extension starts no process before its first request.
            self._login_check = self._tasks.start(
                startup.warn_of_login(self.log, self.manager)
            )
        startup.spare_the_collector()
        self._greet()

    async def stop_extension(self) -> None:
        """Stop all work, end every CLI process and close the store."""
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
        await self._tasks.wait()
        await self.store.close()
        if self._demo is not None:
            await self._demo.stop()

    def _guard_files(self, server: ServerApp) -> None:
        """Deny Claude's tools the files that would give a turn more rights."""
        own = (server.config_file, server.cookie_secret_file, server.keyfile)
        files = [os.path.abspath(path) for path in (*own, *self.store.files) if path]
        self.manager.private_paths = [*self.manager.private_paths, *files]

    @property
    def connection(self) -> Connection:
        """How programs on this machine reach ``/v1``, and nothing else here."""
        server = self.serverapp
        assert server is not None
        base_url = url_path_join(origin_of(server), server.base_url, "v1")
        return Connection(base_url, self.kernels.key, server.certfile or None)

    def current_activity(self) -> dict[str, int] | None:
        """The turns that run, for a server that shuts down when idle; None if none."""
        turns = self.manager.active_sessions
        return {"turns": turns} if turns else None

    def _greet(self) -> None:
        assert self.serverapp is not None
        self.log.info("Claude gateway: OPENAI_BASE_URL=%s", place_of(self.serverapp))
        if self.demo:
            self._greet_demo(self.serverapp)

    def _greet_demo(self, server: ServerApp) -> None:
        # Only here is a key printed: this one opens nothing but canned answers, and the
        # Jupyter server that it belongs to prints it too.
        key = "none" if self.keyless else server.identity_provider.token
        # Without the prefixes of a log, so that it can be copied from the terminal.
        print(greeting(base_url_of(server), key, server.sock), flush=True)
