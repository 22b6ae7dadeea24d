"""A real HTTP server on this machine, told for each path how to answer, request by request."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Reply:
    """One answer; what is None is left out."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    etag: str | None = '"1"'
    ranges: bool = True  # answer a Range with a part, if the ETag is still that of If-Range
    length: int | None = None  # stated instead of the true length
    cut: int | None = None  # bytes of the answer's body before the connection is closed ...
    stall: int | None = None  # ... or before silence
    delay: float = 0.0  # seconds before the body
    trickle: float = 0.0  # seconds after every byte
    held: bool = False  # until the server's `released` is set


class Server(ThreadingHTTPServer):
    """`replies[path]` are given one after the other, the last for ever; `requests` are those that came."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: dict[str, list[Reply]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.closing, self.released = threading.Event(), threading.Event()
        self.lock = threading.Lock()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def ranges(self, path: str) -> list[str | None]:
        """The Range of every request for `path`."""
        return [headers.get("Range") for asked, headers in self.requests if asked == path]

    def next_reply(self, path: str, headers: dict[str, str]) -> Reply:
        with self.lock:
            count = sum(asked == path for asked, _ in self.requests)
            self.requests.append((path, headers))
            replies = self.replies.get(path, [Reply(status=404)])
            return replies[min(count, len(replies) - 1)]

    def handle_error(self, *_) -> None:
        """Clients that go away are what is tested."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        headers = dict(self.headers)
        reply = self.server.next_reply(self.path, headers)
        body, status, answer = reply.body, reply.status, dict(reply.headers)
        if status == 200 and reply.ranges and "Range" in headers and headers.get("If-Range", reply.etag) == reply.etag:
            start = int(headers["Range"].removeprefix("bytes=").removesuffix("-"))
            status = 206 if start < len(body) else 416
            answer["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            body = body[start:]
        if reply.etag:
            answer["ETag"] = reply.etag
        self.send_response(status)
        for name, value in {"Content-Length": str(reply.length or len(body)), **answer}.items():
            self.send_header(name, value)
        self.end_headers()
        time.sleep(reply.delay)
        if reply.held:
            self.server.released.wait(60)
        end = min(reply.length or len(body), len(body) if reply.cut is None else reply.cut)
        for chunk in (
            [bytes([byte]) for byte in body[:end]]
            if reply.trickle
            else [body[: end if reply.stall is None else reply.stall]]
        ):
            self.wfile.write(chunk)
            self.wfile.flush()
            if reply.trickle and self.server.closing.wait(reply.trickle):
                break
        if reply.stall is not None:
            self.server.closing.wait(60)

    def log_message(self, *_) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    """A server that runs in a thread."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
