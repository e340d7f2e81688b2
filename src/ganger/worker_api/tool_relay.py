"""MCP on standard input and output for one worker, handed on to the server of all: `python -I -S RELAY DOOR`.

Standard library only, and little of it: each worker has one. `DOOR` is the folder of the run's door, in which lie the
server's socket and `me`, what to show there. It ends when its input does.
"""

from __future__ import annotations

import json
import os
import socket
import sys

LINE_BYTES_MAX = 1 << 20
TIMEOUT_S = 60.0


def relay(door: str) -> int:
    """Hand on one message after the other."""
    os.chdir(door)
    session = ""
    for line in iter(lambda: sys.stdin.buffer.readline(LINE_BYTES_MAX + 1), b""):
        if not line.strip():
            continue
        try:
            asked = json.loads(line)
        except (ValueError, RecursionError):
            _say({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "that was not JSON"}})
            continue
        try:
            status, session, body = _post(line, session, asked)
        except (OSError, ValueError, LookupError) as error:
            status, body = 0, str(error).encode()
        if body.lstrip().startswith(b"{") and status:
            sys.stdout.buffer.write(body.strip().replace(b"\n", b" ") + b"\n")
            sys.stdout.buffer.flush()
        elif isinstance(asked, dict) and "id" in asked:
            said = f"ganger: {body.decode(errors='replace')[:500] or status}"
            _say({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32603, "message": said}})
    return 0


def _post(line: bytes, session: str, asked: object) -> tuple[int, str, bytes]:
    """Hand a message on: the status, the session it now belongs to, and the answer."""
    with open("me", encoding="ascii") as file:  # noqa: PTH123 - importing pathlib takes longer than all else here
        me = file.read().strip()
    method = str(asked.get("method", "")) if isinstance(asked, dict) else ""
    method = "".join(char for char in method if char.isascii() and char.isprintable())
    version = ""
    head = (
        "POST /mcp HTTP/1.1\r\nhost: ganger\r\nconnection: close\r\ncontent-type: application/json\r\n"
        "accept: application/json, text/event-stream\r\n"
        f"authorization: Bearer {me}\r\ncontent-length: {len(line)}\r\n"
    )
    params = asked.get("params") if isinstance(asked, dict) else None
    meta = params.get("_meta") if isinstance(params, dict) else None
    if isinstance(meta, dict):
        version = str(meta.get("io.modelcontextprotocol/protocolVersion", ""))
    if version.replace("-", "").isalnum():
        head += f"mcp-protocol-version: {version}\r\nmcp-method: {method}\r\n"
        named = params.get("name") if isinstance(params, dict) else None
        if isinstance(named, str) and named.replace("_", "").isalnum():
            head += f"mcp-name: {named}\r\n"
    if session:
        head += f"mcp-session-id: {session}\r\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as there:
        there.settimeout(TIMEOUT_S)
        there.connect("tools")
        there.sendall(head.encode() + b"\r\n" + line)
        answer = b"".join(iter(lambda: there.recv(1 << 16), b""))
    if not answer:
        raise ConnectionError("the server of tools ended before it answered; ask again")
    top, _, body = answer.partition(b"\r\n\r\n")
    lines = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines[1:])}
    if headers.get("transfer-encoding") == "chunked":
        body = _whole(body)
    return int(lines[0].split()[1]), headers.get("mcp-session-id", session), body


def _whole(chunked: bytes) -> bytes:
    found = b""
    while chunked:
        size, _, chunked = chunked.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        if not length:
            break
        found, chunked = found + chunked[:length], chunked[length + 2 :]
    return found


def _say(answer: dict[str, object]) -> None:
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(relay(sys.argv[1]))
