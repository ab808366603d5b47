"""Start a program that ends when its parent does.

Run as a script, `exec_wrapper.py PARENT PLACE KIND CMD…`, in the child, before the
program takes its place. PARENT is the
process id of who starts it, PLACE the device and inode (``DEV:INO``) of the directory
it must be in, or ``-`` for any: between the check of a path and the start in it, the
path may have come to lead elsewhere. KIND is ``alone``, or ``guarded`` for a program
that starts others.

On Linux the kernel is asked for SIGTERM at the parent's death (`prctl(2)`,
PR_SET_PDEATHSIG). The request outlives `exec` and is bound to the *thread* that
started the child: start it from one that lives as long as the server. A guarded
program gets a guard between it and the parent: it becomes the parent of whatever the
program leaves behind (PR_SET_CHILD_SUBREAPER), and ends that with it.

A `preexec_fn` would do the same by forking a multi-threaded server, which can
deadlock and which Python 3.12 warns of.
"""

import contextlib
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

# The exit status of a program that was not started, since its directory is another.
WRONG_PLACE = 97

FOR_THE_PROGRAM = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

# The CLI ends its shells within this time of a SIGTERM, and then itself.
GRACE_SECONDS = 1.6


def hold_open(fd: int) -> None:
    """Let the program itself keep a reader on the pipe that it writes to.

    With the parent dead nobody else reads; the CLI would meet a broken pipe
    while it ends and then take two seconds instead of a twentieth of one.
    """
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK)
    os.set_inheritable(reader, True)


def end_with(parent: int) -> None:
    """Have this process sent SIGTERM when `parent` dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the signal was armed
        sys.exit(1)


def check_place(place: str) -> None:
    """End unless the working directory is the one named."""
    here = os.stat(".")
    if place not in ("-", f"{here.st_dev}:{here.st_ino}"):
        sys.exit(WRONG_PLACE)


def guard(command: list[str]) -> None:
    """Run `command`, and end with it, together with all that it leaves behind."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    # Blocked, they are waited for below, and none can come between two steps.
    watched = {signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    # Ctrl-C and a closed terminal reach the whole group: they are the program's alone,
    # and this one is still needed when it has ended.
    for number in FOR_THE_PROGRAM:
        signal.signal(number, signal.SIG_IGN)
    own = os.getpid()
    child = os.fork()
    if child == 0:
        for number in FOR_THE_PROGRAM:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
        end_with(own)
        os.execv(command[0], command)  # noqa: S606 - no shell is what we want
    status = _follow(child, watched)
    for left in iter(_children, []):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
    sys.exit(status if status >= 0 else 128 - status)


def _follow(child: int, watched: set[signal.Signals]) -> int:
    told = False
    while True:
        if told:
            came = signal.sigtimedwait(watched, GRACE_SECONDS)
        else:
            came = signal.sigwaitinfo(watched)
        if came is None:
            os.kill(child, signal.SIGKILL)
        elif came.si_signo == signal.SIGTERM:
            told = True
            os.kill(child, signal.SIGTERM)
        for pid, status in iter(_reaped, None):
            if pid == child:
                return os.waitstatus_to_exitcode(status)


def _reaped() -> tuple[int, int] | None:
    with contextlib.suppress(ChildProcessError):
        pid, status = os.waitpid(-1, os.WNOHANG)
        return (pid, status) if pid else None
    return None


def _children() -> list[int]:
    own = os.getpid()
    try:
        with open(f"/proc/{own}/task/{own}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:  # a kernel without that file
        pids = map(int, filter(str.isdigit, os.listdir("/proc")))
        return [pid for pid in pids if _parent_of(pid) == own]


def _parent_of(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])
    return 0


def main() -> None:
    """Arm the signal and become the command, or its guard."""
    parent, place, kind, command = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
    check_place(place)
    if sys.platform == "linux":
        end_with(int(parent))
        hold_open(1)
        hold_open(2)
        if kind == "guarded":
            guard(command)
    elif os.getppid() != int(parent):
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is what we want


if __name__ == "__main__":
    main()
