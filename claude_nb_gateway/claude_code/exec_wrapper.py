"""Start a program that ends when its parent ends.

This is a script, `exec_wrapper.py PARENT DIRECTORY_ID KIND CMD…`. It runs in the child
process and then executes the program.

- PARENT is the process id of the parent.
- DIRECTORY_ID is the device and the inode (``DEV:INO``) of the required working
  directory, or ``-`` for any directory. The server checks a path before it starts a
  process there. In between, the path may be changed to lead to another directory.
- KIND is ``alone``, or ``guarded`` for a program that starts other programs.

On Linux, the kernel sends SIGTERM when the parent dies (`prctl(2)`,
PR_SET_PDEATHSIG). This setting survives `exec`. It is bound to the *thread* that
started the child: use a thread that lives as long as the server. A guarded program has
a guard process between itself and the parent. The guard adopts the processes that the
program leaves behind (PR_SET_CHILD_SUBREAPER), and ends them together with it.

A `preexec_fn` could do the same. But it would fork a multi-threaded server, which can
deadlock, and of which Python 3.12 warns.
"""

import contextlib
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

#: Exit status if the program was not started because the directory is the wrong one.
WRONG_DIRECTORY = 97

TERMINAL_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

# After SIGTERM, the CLI needs less than this time to end its shells and itself.
GRACE_SECONDS = 1.6


def hold_open(fd: int) -> None:
    """Make the program itself a reader of the pipe that it writes to.

    When the parent is dead, no other process reads the pipe. The CLI would then get a
    broken pipe while it ends, and would need two seconds instead of 0.05.
    """
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK)
    os.set_inheritable(reader, True)


def terminate_with(parent: int) -> None:
    """Make the kernel send SIGTERM to this process when `parent` dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before `prctl`
        sys.exit(1)


def check_directory(directory_id: str) -> None:
    """Exit if the working directory is not the required one."""
    here = os.stat(".")
    if directory_id not in ("-", f"{here.st_dev}:{here.st_ino}"):
        sys.exit(WRONG_DIRECTORY)


def guard(command: list[str]) -> None:
    """Run `command`; when it ends, end all its descendants and exit."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    # _wait_for waits for these signals. They are blocked, so that none is lost between
    # two waits.
    watched = {signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    # Ctrl-C and a closed terminal send signals to the whole process group. Only the
    # program handles them: the guard must outlive the program.
    for number in TERMINAL_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    own = os.getpid()
    child = os.fork()
    if child == 0:
        for number in TERMINAL_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
        terminate_with(own)
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    status = _wait_for(child, watched)
    for left in iter(_children, []):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
    sys.exit(status if status >= 0 else 128 - status)


def _wait_for(child: int, watched: set[signal.Signals]) -> int:
    terminating = False
    while True:
        if terminating:
            received = signal.sigtimedwait(watched, GRACE_SECONDS)
        else:
            received = signal.sigwaitinfo(watched)
        if received is None:
            os.kill(child, signal.SIGKILL)
        elif received.si_signo == signal.SIGTERM:
            terminating = True
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
    except FileNotFoundError:  # this kernel does not have the file
        pids = map(int, filter(str.isdigit, os.listdir("/proc")))
        return [pid for pid in pids if _parent_of(pid) == own]


def _parent_of(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])
    return 0


def main() -> None:
    """Check the directory, then execute the command, directly or under a guard."""
    parent, directory_id, kind, *command = sys.argv[1:]
    check_directory(directory_id)
    if sys.platform == "linux":
        terminate_with(int(parent))
        hold_open(1)
        hold_open(2)
        if kind == "guarded":
            guard(command)
    elif os.getppid() != int(parent):
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
