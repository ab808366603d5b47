"""Start a program that ends when its parent does: `launch.py PARENT COMMAND…`.

Run as a script, in the child, before the program takes its place. On Linux it
asks the kernel for SIGTERM at the parent's death (`prctl(2)`,
PR_SET_PDEATHSIG). The request outlives `exec` and is bound to the *thread* that
started the child: start it from one that lives as long as the server.

A `preexec_fn` would do the same by forking a multi-threaded server, which can
deadlock and which Python 3.12 warns of.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def hold_open(fd: int) -> None:
    """Let the program itself keep a reader on the pipe that it writes to.

    With the parent dead nobody else reads; the CLI would meet a broken pipe
    while it ends and then take two seconds instead of a twentieth of one.
    """
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK)
    os.set_inheritable(reader, True)


def main() -> None:
    """Arm the signal and become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        hold_open(1)
        hold_open(2)
    if os.getppid() != parent:  # it died before the signal was armed
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is what we want


if __name__ == "__main__":
    main()
