"""Stop the gateway that listens on a port: `kill_port.py PORT`."""

from __future__ import annotations

import sys

import psutil


def main(port: int) -> int:
    """Stop the processes of this user that listen on `port`, with SIGTERM."""
    listening = []
    for process in psutil.process_iter():
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.Error:
            continue  # a process of another user
        if any(
            c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections
        ):
            listening.append(process)
    if not listening:
        print(f"nothing listens on port {port}")
        return 1
    for process in listening:
        print(f"stopping {process.name()} ({process.pid})")
        process.terminate()
    _, left = psutil.wait_procs(listening, timeout=15)
    return len(left)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
