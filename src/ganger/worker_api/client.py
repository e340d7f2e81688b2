"""The hook client where there is no compiled one: the same as `client.c`, started as `python -I -S CLIENT …`.

Imports nothing but what the interpreter has loaded anyway, and `_socket`: its start is what a hook costs.
"""

import _socket
import os
import sys

PAYLOAD_MAX, ANSWER_MAX, TIMEOUT_S, STOP_TIMEOUT_S = 2 << 20, 1 << 20, 3.0, 12.0


def main() -> int:
    """Ask the gate, or else the slow path, or else deny what is not known to read."""
    if len(sys.argv) < 4:
        sys.stderr.write("client.py EVENT AGENT READS [SLOW ...]\n")
        return 2
    event, agent, reads, *slow = sys.argv[1:]
    payload = _read_all(0, PAYLOAD_MAX + 1)
    try:
        answer = _ask_gate(event, agent, payload)
    except (OSError, KeyError, ValueError):
        answer = None
    if answer is not None:
        _write_all(1, answer)
        return 0
    if _asked_slowly(slow, event, agent, payload):
        return 0
    if event != "pre-tool" or _tool(payload) in reads.split(","):
        return 0
    sys.stderr.write("ganger cannot say whether this may be done (its gate does not answer); reading goes on\n")
    return 2


def _ask_gate(event: str, agent: str, payload: bytes) -> bytes | None:
    """The gate's answer; None when it is not whole. OSError, KeyError or ValueError when there is no gate to ask."""
    door, run, token, secret = (os.environ[f"GANGER_{name}"] for name in ("DOOR", "RUN", "TOKEN", "SECRET"))
    header = f"ganger-hook 1 {event} {agent} {run} {token} {secret} {os.urandom(16).hex()} {len(payload)}\n".encode()
    path = door + "/gate"
    if len(os.fsencode(path)) > 100:
        path = f"/proc/self/fd/{os.open(door, os.O_PATH | os.O_DIRECTORY)}/gate"
    gate = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    gate.settimeout(STOP_TIMEOUT_S if event == "stop" else TIMEOUT_S)
    gate.connect(path)
    data = header + (payload if len(payload) <= PAYLOAD_MAX else b"")
    while data:
        data = data[gate.send(data) :]
    answer = b""
    while len(answer) < ANSWER_MAX and (more := gate.recv(1 << 18)):
        answer += more
    size, end, text = answer.partition(b"\n")
    return text if end and len(text) == int(size) else None


def _asked_slowly(slow: list[str], event: str, agent: str, payload: bytes) -> bool:
    """Have the slow path answer in our place; tells whether it ended well."""
    if not slow:
        return False
    file = os.memfd_create("payload", 0)
    _write_all(file, payload)
    os.lseek(file, 0, os.SEEK_SET)
    os.dup2(file, 0)
    try:
        child = os.posix_spawn(slow[0], [*slow, event, "--agent", agent], os.environ)
    except OSError:
        return False
    return os.waitpid(child, 0)[1] == 0


def _tool(payload: bytes) -> str:
    import json

    try:
        found = json.loads(payload)
        name = found.get("tool_name", found.get("toolName"))
        return name if isinstance(name, str) and "," not in name else ""
    except (ValueError, AttributeError, RecursionError):
        return ""


def _read_all(handle: int, most: int) -> bytes:
    data = b""
    while len(data) < most and (more := os.read(handle, most - len(data))):
        data += more
    return data


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


if __name__ == "__main__":
    sys.exit(main())
