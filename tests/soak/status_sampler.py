"""Ask for a server's status over and over; a process of its own, so that it is timely.

Usage: status_sampler.py HOST PORT TOKEN. Prints how long each answer took, in seconds,
as JSON, once its standard input ends.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time

PAUSE_SECONDS = 0.004


def main() -> None:
    """Sample until standard input ends."""
    host, port, token = sys.argv[1:4]
    connection = http.client.HTTPConnection(host, int(port), timeout=120)
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    took = []
    while not over.is_set():
        began = time.perf_counter()
        connection.request("GET", "/api/status", headers={"Authorization": token})
        answer = connection.getresponse()
        answer.read()
        took.append(time.perf_counter() - began)
        assert answer.status == 200
        if len(took) == 1:
            print("begun", flush=True)
        over.wait(PAUSE_SECONDS)
    print(json.dumps(took))


if __name__ == "__main__":
    main()
