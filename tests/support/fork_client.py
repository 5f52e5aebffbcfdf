"""The client of ``fork_server``: ``fork_client.py SOCKET KEPT ARGUMENT...``. It imports next to nothing."""

import _signal
import _socket
import marshal
import os
import sys


def kept_of(environ):
    """The variables that have to be the server's: an interpreter reads them once, when it starts."""
    read_once = ("PYTHON", "LC_", "LANG")
    return {name: environ[name] for name in environ if name.startswith(read_once) and not name.startswith("PYTHON_")}


def main(path: str, kept: str, arguments: list[str]) -> None:
    if repr(kept_of(os.environ)) != kept or not has_streams():
        os.execv(sys.executable, [sys.executable, "-m", "vaultsession", *arguments])
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    server.connect(path)
    mask = os.umask(0)
    request = marshal.dumps(
        {
            "arguments": arguments,
            "environ": dict(os.environ),
            "folder": os.getcwd(),
            "mask": mask,
            "terminal": leave_terminal(),
        }
    )
    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGUSR1, _signal.SIGCONT):
        _signal.signal(number, lambda number, _: server.send(bytes([number])))
    descriptors = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
    server.sendmsg([len(request).to_bytes(8, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
    server.sendall(request)
    for number in range(3):
        os.close(number)  # they are the process's now, which may close them
    status = os.waitstatus_to_exitcode(int.from_bytes(server.recv(4), "big"))
    if status < 0:
        _signal.signal(-status, _signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def has_streams() -> bool:
    try:
        return all(os.fstat(number) for number in range(3))
    except OSError:
        return False


def leave_terminal() -> bool:
    """Give up the terminal that this process leads, so that the forked one may take it."""
    if os.getsid(0) != os.getpid() or not os.isatty(0):
        return False
    import fcntl  # noqa: PLC0415 - only here, as a process costs what it imports
    import termios  # noqa: PLC0415 - as above

    _signal.signal(_signal.SIGHUP, _signal.SIG_IGN)  # which losing it sends
    fcntl.ioctl(0, termios.TIOCNOTTY)
    return True


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
