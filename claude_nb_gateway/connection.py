"""How a kernel on the same machine reaches the gateway: by a file for its user alone.

The server writes its URL, and a key that opens only ``/v1``, to a file of mode 0600 in
Jupyter's runtime directory. The file is named after the server's process id, which a
kernel knows as ``JPY_PARENT_PID``. An environment variable would not be safe: every
process that a kernel starts inherits it, and process listings show it.

From the key in the file a kernel makes its own key, by which the server knows the
kernel's notebook. A key that a notebook passes on opens no more than that notebook may.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import psutil
from jupyter_core.paths import jupyter_runtime_dir

#: The beginning of the keys of kernels.
KERNEL_KEY_PREFIX = "cnbk_"
#: Jupyter writes the URLs of sockets so: the percent-encoded path replaces the host.
SOCKET_SCHEME = "http+unix://"


@dataclass(frozen=True)
class Connection:
    """Where a gateway is, and the key that opens it.

    Parameters
    ----------
    base_url:
        The URL of ``/v1``. For a server on a unix socket it begins with
        ``http+unix://``, which clients do not accept: they need `socket` for their
        transport, and `http_url`.
    api_key:
        The key.
    certificate:
        The PEM file that a server with https is trusted by; None for http.
    """

    base_url: str
    api_key: str = field(repr=False)
    certificate: str | None = None

    @property
    def socket(self) -> str | None:
        """The path of the server's unix socket; None if the server has a port."""
        if not self.base_url.startswith(SOCKET_SCHEME):
            return None
        return unquote(urlsplit(self.base_url).netloc)

    @property
    def http_url(self) -> str:
        """`base_url` as a client sends it, also over a socket."""
        if self.socket is None:
            return self.base_url
        scheme = "https" if self.certificate else "http"
        return f"{scheme}://localhost{urlsplit(self.base_url).path}"

    def to_json(self) -> str:
        """One line of JSON, for `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Connection:
        """The connection that `to_json` wrote.

        Raises
        ------
        ValueError
            `text` is something else.
        """
        try:
            return cls(**json.loads(text))
        except TypeError as error:
            raise ValueError(f"no connection: {error}") from error


def socket_url(path: str) -> str:
    """The URL of a server on the unix socket at `path`, without a slash at the end."""
    return SOCKET_SCHEME + quote(os.path.abspath(path), safe="")


def new_kernel_key() -> str:
    """A key for the runtime file, from which each kernel makes its own."""
    return KERNEL_KEY_PREFIX + secrets.token_urlsafe(32)


def key_of_kernel(key: str, kernel_id: str) -> str:
    """The key of the kernel with this id; `key` is the one in the runtime file."""
    mark = hmac.new(key.encode(), kernel_id.encode(errors="replace"), "sha256")
    return f"{KERNEL_KEY_PREFIX}{kernel_id}_{mark.hexdigest()}"


def kernel_id_in(key: str) -> str | None:
    """The kernel's id in `key`; None if `key` has not the form of a kernel's key.

    It does not check that the key is valid. The key of the runtime file has no id, so
    what is returned for that key has no meaning.
    """
    if not key.startswith(KERNEL_KEY_PREFIX):
        return None
    return key.removeprefix(KERNEL_KEY_PREFIX).rpartition("_")[0]


def runtime_file(pid: int) -> Path:
    """The file of the gateway whose server has process id `pid`."""
    return Path(jupyter_runtime_dir()) / f"claude-gateway-{pid}.json"


def write_connection(pid: int, connection: Connection) -> None:
    """Write `connection` for the kernels of server `pid`; raises OSError."""
    path = runtime_file(pid)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    # From its creation on nobody else can read it.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        file.write(connection.to_json())
    draft.replace(path)


def remove_stale_connections() -> None:
    """Remove the files of servers that were killed; raises OSError."""
    for path in runtime_file(0).parent.glob("claude-gateway-*.json"):
        pid = path.stem.removeprefix("claude-gateway-")
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            path.unlink(missing_ok=True)


def read_connection(pid: int) -> Connection | None:
    """The connection that server `pid` wrote; None if there is none."""
    try:
        return Connection.from_json(runtime_file(pid).read_text())
    except (OSError, ValueError):
        return None


def remove_connection(pid: int) -> None:
    """Remove the file that `write_connection` wrote; raises OSError."""
    runtime_file(pid).unlink(missing_ok=True)
