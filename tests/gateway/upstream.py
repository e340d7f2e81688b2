"""A provider on loopback, as small as can be: it answers what it is told to, and counts what it hands out."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ENDS = {
    "anthropic": [
        {"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}}},
        {"type": "message_delta", "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ],
    "openai": [
        {"type": "response.created", "response": {}},
        {"type": "response.completed", "response": {"usage": {"input_tokens": 7, "output_tokens": 5}}},
    ],
}


class Upstream:
    """Serves until closed; `seen` has each request as (path, headers, body)."""

    def __init__(self):
        self.seen = []
        self.answer = lambda path, body: (200, {}, [])
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                outer.seen.append((self.path, dict(self.headers), body))
                status, headers, chunks = outer.answer(self.path, body)
                self.send_response(status)
                for name, value in {"transfer-encoding": "chunked", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                for chunk in chunks:
                    if chunk is None:
                        self.wfile.flush()
                        self.connection.shutdown(socket.SHUT_RDWR)
                        return
                    self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")

            do_GET = do_POST

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def sse(messages):
    """Messages as a stream of events."""
    return [f"event: {one.get('type', 'm')}\ndata: {json.dumps(one)}\n\n".encode() for one in messages]


STREAM = {"content-type": "text/event-stream"}
