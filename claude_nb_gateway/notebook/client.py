"""The HTTP client of the magics: one streamed chat completion."""

from __future__ import annotations

import ipaddress
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2

from ..connection import Connection
from .errors import AnswerFailed, ClaudeError, GatewayUnreachable, RequestRefused

# The gateway writes a comment into a silent stream every 15 s by default.
READ_TIMEOUT_SECONDS = 120.0


@dataclass
class Answer:
    """An answer so far; at its end also its tokens and cost."""

    text: str = ""
    thinking: bool = False
    model: str | None = None
    session: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    cost_usd: float | None = None

    def add(self, chunk: dict[str, Any]) -> None:
        """Add a chat completion chunk."""
        self.model = chunk["model"]
        for choice in chunk["choices"]:
            self.text += choice["delta"].get("content") or ""
            self.thinking = bool(choice["delta"].get("reasoning_content"))
        self.usage = chunk.get("usage") or self.usage
        session = chunk.get("session") or {}
        self.session = session.get("id", self.session)
        self.cost_usd = session.get("cost_usd", self.cost_usd)


class Client:
    """Sends requests to the gateway at `connection`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        trust = _trust(connection.certificate)
        uds = connection.socket
        self._http = httpx2.Client(
            headers={"Authorization": f"Bearer {connection.api_key}"},
            timeout=httpx2.Timeout(10.0, read=READ_TIMEOUT_SECONDS),
            verify=trust,
            transport=httpx2.HTTPTransport(verify=trust, uds=uds) if uds else None,
            # A proxy cannot reach the loopback addresses of this machine.
            trust_env=not _is_loopback(urlsplit(connection.http_url).hostname or ""),
        )

    def ask(self, messages: list[dict[str, str]], model: str) -> Iterator[Answer]:
        """Yield the answer, which is always the same object, each time it grows.

        Raises
        ------
        GatewayUnreachable, RequestRefused, AnswerFailed
            There is no answer, or it is incomplete.
        """
        body = {
            "model": model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True, "include_session": True},
        }
        url = self.connection.http_url + "/chat/completions"
        try:
            with self._http.stream("POST", url, json=body) as response:
                if response.status_code != 200:
                    response.read()
                    raise _error(response.status_code, response.text)
                yield from _answers(response)
        except httpx2.ConnectError as error:
            where = self.connection.socket or self.connection.base_url
            raise GatewayUnreachable(
                f"no Claude gateway answers at {where} ({error})"
            ) from error
        except httpx2.HTTPError as error:
            raise AnswerFailed(f"the gateway broke off: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _answers(response: httpx2.Response) -> Iterator[Answer]:
    answer = Answer()
    for event in httpx2.EventSource(response, max_event_size=None):
        if event.data == "[DONE]":
            return
        chunk = json.loads(event.data)
        if "error" in chunk:
            raise AnswerFailed(chunk["error"]["message"], code=chunk["error"]["code"])
        answer.add(chunk)
        yield answer
    raise AnswerFailed("the gateway broke off before the answer's end")


def _error(status: int, body: str) -> ClaudeError:
    kind = RequestRefused if status < 500 else AnswerFailed
    try:
        error = json.loads(body)["error"]
        return kind(error["message"], status=status, code=error["code"])
    except (ValueError, KeyError, TypeError):
        return kind(f"the gateway answered with status {status}", status=status)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _trust(certificate: str | None) -> ssl.SSLContext | bool:
    if certificate is None:
        return True
    # Trust only the server's own certificate, with any host name in it.
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
