"""How many pages of 100 posts the Reddit simulator serves in a second from one core.

The server is a process of its own, pinned to one core. The client is pinned to another and only
counts bytes on a keep-alive connection. Pages carry the full key sets (about 350 kB each). They are
ten cursors of each of four subreddits and of a merged listing, while the world goes on growing.
`simulator_first_pages_per_s` is the same before any item is serialised.
"""

import json
import os
import socket
import time
import urllib.parse
import urllib.request

from scraping.simulator.server import SimulatorServer

SECONDS = 4.0
_PATHS = ("python", "AskScience", "WorldNewsDesk", "france", "python+AskScience+france")


class _Connection:
    """The cheapest possible client: it parses headers and counts the bytes of the body."""

    def __init__(self, url: str, token: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = f"Host: {parts.netloc}\r\nAuthorization: bearer {token}\r\n\r\n"
        self._buffer = bytearray(1 << 20)

    def get(self, path: str, *, keep: bool = False) -> bytes:
        """Fetch a page; return its body only if `keep`. Raises RuntimeError if the status is not 200."""
        self._socket.sendall(f"GET {path} HTTP/1.1\r\n{self._head}".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            part = self._socket.recv(65_536)
            if not part:
                message = f"{path}: the connection was closed"
                raise RuntimeError(message)
            head += part
        head, _, body = head.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            message = f"{path}: {head[:80]!r}"
            raise RuntimeError(message)
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        left = length - len(body)
        kept = [body] if keep else []
        view = memoryview(self._buffer)
        while left:
            got = self._socket.recv_into(view, min(left, len(view)))
            if not got:
                message = f"{path}: {left} bytes are missing"
                raise RuntimeError(message)
            if keep:
                kept.append(bytes(view[:got]))
            left -= got
        return b"".join(kept)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def _token(url: str) -> str:
    request = urllib.request.Request(
        f"{url}/api/v1/access_token",
        data=b"grant_type=client_credentials",
        headers={"Authorization": "Basic Ymo6Ymo="},
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)["access_token"]


def run() -> dict[str, float]:
    """Measure for a few seconds."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    pin = len(cores) > 1
    with SimulatorServer(
        process=True,
        cpus={cores[0]} if pin else None,
        seed=1,
        budget=None,
        posts_per_hour=30.0,
        comments_per_post=3.0,
        history_hours=24.0,
    ) as simulator:
        if pin:
            os.sched_setaffinity(0, {cores[-1]})
        try:
            return _measure(simulator.url)
        finally:
            if pin:
                os.sched_setaffinity(0, set(cores))


def _measure(url: str) -> dict[str, float]:
    client = _Connection(url, _token(url))
    try:
        client.get("/r/all/new?limit=1&raw_json=1")  # generates the past
        pages: list[str] = []
        began = time.perf_counter()
        for names in _PATHS:
            after = ""
            for _ in range(10):
                path = f"/r/{names}/new?limit=100&raw_json=1{after}"
                listing = json.loads(client.get(path, keep=True))["data"]
                if len(listing["children"]) < 100:
                    break
                pages.append(path)
                if listing["after"] is None:
                    break
                after = f"&after={listing['after']}"
        first = len(pages) / (time.perf_counter() - began)
        if len(pages) < 20:
            message = f"the world is too small: {len(pages)} full pages"
            raise RuntimeError(message)
        served = size = 0
        began = time.perf_counter()
        while (elapsed := time.perf_counter() - began) < SECONDS:
            size += len(client.get(pages[served % len(pages)], keep=served < len(pages)))
            served += 1
    finally:
        client.close()
    return {
        "simulator_pages_per_s": served / elapsed,
        "simulator_first_pages_per_s": first,
        "simulator_page_bytes": size / min(served, len(pages)),
    }
