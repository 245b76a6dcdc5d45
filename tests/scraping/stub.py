"""A server that answers one thing, for answers that the simulator does not give."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

TOKEN = (
    200,
    {"content-type": "application/json"},
    b'{"access_token": "t", "token_type": "bearer", "expires_in": 86400, "scope": "*"}',
)
# Of a recorded answer: what no longer fits its body.
FRAMING = {"content-length", "content-encoding", "transfer-encoding", "connection", "date"}


class Stub:
    def __init__(self):
        self.token = TOKEN
        self.answer = (200, {}, b"")
        self.requests = []
        self.url = ""

    def says(self, status, headers=(), body=b"", *, token=False):
        """Set the answer; a body that is no bytes is sent as JSON."""
        if not isinstance(body, bytes):
            body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        headers = {k: v for k, v in dict(headers).items() if k.lower() not in FRAMING}
        if token:
            self.token = (status, headers, body)
        else:
            self.answer = (status, headers, body)


@contextmanager
def stub_server():
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self):
            self.rfile.read(int(self.headers.get("content-length") or 0))
            stub.requests.append(self.path)
            is_token = self.path.startswith("/api/v1/access_token")
            status, headers, body = stub.token if is_token else stub.answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status not in (204, 304):
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            if status not in (204, 304):
                self.wfile.write(body)

        do_GET = do_POST = reply  # noqa: N815  (so named by the base class)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        stub.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield stub
        finally:
            server.shutdown()
            thread.join()
