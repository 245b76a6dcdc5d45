"""Starts and ends the processes of embedded servers, and places their sockets."""

import contextlib
import hashlib
import os
import pwd
import re
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from local.servers.errors import EmbeddedServerError

# The kernel's limit for the path of a Unix socket is 107 bytes (unix(7)); macOS allows 103.
# The rest is for the name of the socket itself.
DIRECTORY_BYTES = 80


def socket_dir(data_dir: Path) -> Path:
    """Return the folder for the sockets of the server with this data folder: short, without blanks.

    The path of the checkout may be too long for the kernel, or may contain blanks, which some
    readers of socket addresses refuse. So the folder's name is a digest of the path.
    """
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    name = f"lurker-{os.geteuid()}-{digest}"
    base = tempfile.gettempdir()
    if len(os.fsencode(f"{base}/{name}")) > DIRECTORY_BYTES or re.search(r"[^\w./-]", base):
        base = "/tmp"  # noqa: S108 - the folder made in it is private and its owner is checked
    return Path(base) / name


def make_private(path: Path, *, owner: int) -> None:
    """Create a folder that only its owner can enter, or make an existing folder so.

    Raises `EmbeddedServerError` if the path is another user's, or is not a folder.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {os.geteuid(), owner}:
        raise EmbeddedServerError(
            f"{path} is not a folder of this user, and the sockets must lie in it",
            remedy="Remove it, or set TMPDIR to a folder that no one else can write to.",
        )
    if status.st_uid != owner:
        os.chown(path, owner, -1)
    path.chmod(0o700)


def launch(
    command: Sequence[str],
    *,
    log: Path,
    cwd: Path,
    environment: Mapping[str, str],
    identity: Mapping[str, Any] | None = None,
) -> int:
    """Start a server in its own session, append its output to a log, and return its process id.

    `identity` is a result of `identity_of`.

    A shell starts the server and exits, so that init becomes its parent. A dead server then leaves
    no zombie here, and the terminal's signals to this process group do not reach it.
    """
    with log.open("ab") as stream:
        done = subprocess.run(
            ["/bin/sh", "-c", '"$@" >&2 & echo $!', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stream,
            cwd=cwd,
            env=dict(environment),
            **(identity or {}),
            start_new_session=True,
            check=True,
            text=True,
        )
    return int(done.stdout)


def identity_of(user: pwd.struct_passwd) -> dict[str, Any]:
    """Return the arguments with which `subprocess` runs as another user, without our groups."""
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}


def process_of(pid: int | None, *, name: str, cwd: Path) -> psutil.Process | None:
    """Return the process with this id if it is the server that works in this folder, else None.

    Process ids are reused: the id in an old pid file may belong to any process.
    """
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        return process if _is_server(process, name=name, cwd=cwd) else None
    except psutil.Error:
        return None


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not run."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_end(pid: int, *, seconds: float) -> bool:
    """Wait until a process has ended; return whether it has."""
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def end_all(name: str, *, cwd: Path) -> None:
    """Kill the processes that an earlier server left in its folder, even if the folder is gone."""
    left = []
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error):
            if process.info["name"] == name and _is_server(process, name=name, cwd=cwd):
                process.kill()
                left.append(process.pid)
    for pid in left:
        wait_for_end(pid, seconds=5)


def _is_server(process: psutil.Process, *, name: str, cwd: Path) -> bool:
    if process.name() != name or process.status() == psutil.STATUS_ZOMBIE:
        return False
    return process.cwd() in {str(cwd), f"{cwd} (deleted)"}
