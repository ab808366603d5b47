"""How a kernel on the same machine reaches the gateway: a file only its user reads.

The server writes its URL and a key that opens ``/v1`` alone into a file of mode
0600 in Jupyter's runtime directory, named after its process id. A kernel knows
that id as ``JPY_PARENT_PID``. The environment would not do: everything a kernel
starts inherits it, and it shows in process listings. Of the key in the file a kernel
makes one that is its own, by which the server knows its notebook: what a notebook
hands on opens no more than that notebook does.
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

#: How the keys of kernels begin.
KERNEL_KEY_PREFIX = "cnbk_"
#: As Jupyter writes it: in the place of the host stands the path, percent-encoded.
SOCKET_SCHEME = "http+unix://"


@dataclass(frozen=True)
class Connection:
    """Where a gateway is and what opens it, named as OpenAI clients name it.

    `base_url` ends in ``/v1``. `certificate` is the PEM file of a server that
    speaks https, to be trusted by it alone. That of a server on a unix socket begins
    with ``http+unix://``, which clients do not take: they need `socket` for their
    transport, and `http_url`.
    """

    base_url: str
    api_key: str = field(repr=False)
    certificate: str | None = None

    @property
    def socket(self) -> str | None:
        """The path of the server's unix socket; None for one that has a port."""
        if not self.base_url.startswith(SOCKET_SCHEME):
            return None
        return unquote(urlsplit(self.base_url).netloc)

    @property
    def http_url(self) -> str:
        """`base_url` as it is said on the wire, over a socket too."""
        if self.socket is None:
            return self.base_url
        scheme = "https" if self.certificate else "http"
        return f"{scheme}://localhost{urlsplit(self.base_url).path}"

    def to_json(self) -> str:
        """One line, for `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Connection:
        """Read what `to_json` wrote; raises ValueError for anything else."""
        try:
            return cls(**json.loads(text))
        except TypeError as error:
            raise ValueError(f"no connection: {error}") from error


def socket_url(path: str) -> str:
    """The URL of a server on the unix socket at `path`, without the last slash."""
    return SOCKET_SCHEME + quote(os.path.abspath(path), safe="")


def new_kernel_key() -> str:
    """A key for the runtime file, of which each kernel makes its own."""
    return KERNEL_KEY_PREFIX + secrets.token_urlsafe(32)


def key_of_kernel(key: str, kernel_id: str) -> str:
    """The key of the kernel with this id; `key` is that of the runtime file."""
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
    """Leave `connection` where the kernels of server `pid` look for it."""
    path = runtime_file(pid)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    # Readable by nobody else from its first moment on.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        file.write(connection.to_json())
    draft.replace(path)


def remove_stale_connections() -> None:
    """Remove what servers left that were killed; their keys open nothing more."""
    for path in runtime_file(0).parent.glob("claude-gateway-*.json"):
        pid = path.stem.removeprefix("claude-gateway-")
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            path.unlink(missing_ok=True)


def read_connection(pid: int) -> Connection | None:
    """The connection that server `pid` left, None if it left none."""
    try:
        return Connection.from_json(runtime_file(pid).read_text())
    except (OSError, ValueError):
        return None


def remove_connection(pid: int) -> None:
    """Remove what `write_connection` wrote."""
    runtime_file(pid).unlink(missing_ok=True)
