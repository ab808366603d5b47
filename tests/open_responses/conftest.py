from __future__ import annotations

import json
from contextlib import ExitStack

import pytest
import websocket

from . import document

ENDS = ("response.completed", "response.incomplete", "response.failed", "error")


class Connection:
    """A WebSocket on ``/v1/responses``; what comes is held against the document."""

    def __init__(self, socket, faults):
        self.socket = socket
        self._faults = faults
        self._numbers = []

    def send(self, **body):
        """Send a message; the model is sonnet unless the test says otherwise."""
        body = {"type": "response.create", "model": "sonnet", **body}
        self.socket.send(json.dumps(body))

    def receive(self):
        """The next event."""
        event = json.loads(self.socket.recv())
        if event["type"] == "error":
            self._faults += document.faults("WebSocketErrorEvent", event)
            self._numbers = []
            return event
        self._faults += document.event_faults(event)
        self._numbers.append(event["sequence_number"])
        if event["type"] in ENDS:
            if self._numbers != list(range(len(self._numbers))):
                self._faults.append(f"numbers: {self._numbers}")
            self._numbers = []
        return event

    def events(self):
        """The events up to the end of a response."""
        events = [self.receive()]
        while events[-1]["type"] not in ENDS:
            events.append(self.receive())
        return events

    def ask(self, text, **body):
        """The last event of the answer to `text`."""
        self.send(input=text, **body)
        return self.events()[-1]

    def closed(self):
        """Wait for the end of the connection; returns its code."""
        opcode, data = self.socket.recv_data()
        assert opcode == websocket.ABNF.OPCODE_CLOSE
        return int.from_bytes(data[:2], "big")


@pytest.fixture
def connect(gateway, open_responses):
    """Open connections, which are closed at the end."""
    with ExitStack() as stack:

        def connect(to=gateway, *, path="", key=None, **options):
            url = to.base_url.replace("http", "ws", 1) + path + "/responses"
            header = {"Authorization": f"Bearer {key or to.key}"}
            options = {
                "header": header,
                "timeout": 20,
                "suppress_origin": True,
            } | options
            socket = websocket.create_connection(url, **options)
            stack.callback(socket.shutdown)  # whoever has closed it
            stack.callback(socket.close)
            return Connection(socket, open_responses)

        yield connect
