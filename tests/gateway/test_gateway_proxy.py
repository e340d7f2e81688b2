"""The gateway as the process that it is, between a worker and a provider."""

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import msgspec
import pytest
from upstream import ENDS, STREAM, Upstream, sse

from ganger.gateway import contact
from ganger.gateway.account import Charged, Cost, Limit, Limited, Refused, Reserved
from ganger.gateway.desk import LENT, REFUSED_MAX, Desk, Grant, key_for, record
from ganger.gateway.prices import Price

SECRET = "sk-real-canary-5512"
RUN = "auth.1"


class Gate:
    """A running gateway with one turn granted."""

    def __init__(self, root, upstream):
        self.runs, self.upstream = root / "runs", upstream
        self.key = key_for(RUN, 1, "s" * 32)
        self.folder = self.runs / RUN / "turn-1"
        self.folder.mkdir(parents=True)
        self.path = str(root / "g.sock")
        self.lock = root / "lock"
        self.port = 0
        self.process = None

    def grant(self, **changes):
        given = {"run": RUN, "turn": 1, "key": self.key, "api": "anthropic", "upstream": self.upstream.url}
        given |= {"key_env": "REAL_KEY", "prices": {"m": Price(1.0, 10.0)}, **changes}
        (self.folder / "gateway.json").write_bytes(msgspec.json.encode(Grant(**given)))

    def start(self, **environ):
        self.process = subprocess.Popen(
            [*(sys.executable, "-I", "-m", "ganger.gateway", "--runs", str(self.runs), "--socket", self.path),
             *("--port", str(self.port), "--mark", "m1", "--lock", str(self.lock))],
            env={"REAL_KEY": SECRET, **environ},
            stderr=subprocess.PIPE,
        )  # fmt: skip
        for _ in range(500):
            found = contact.ask(Path(self.path))
            if found is not None and found.pid == self.process.pid:
                self.port = found.port
                return
            time.sleep(0.02)
        raise AssertionError("no gateway")

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        said = self.process.communicate(timeout=10)[1].decode()
        return self.process.returncode, said

    def post(self, path="/v1/messages", headers=None, **fields):
        fields = {"model": "m", "max_tokens": 100, **fields}
        return httpx.post(
            f"http://127.0.0.1:{self.port}{path}", json=fields, headers=headers or {"x-api-key": self.key}, timeout=20
        )

    @property
    def record(self):
        return list(record(self.folder))

    def settled(self):
        """The record once no call is open."""
        for _ in range(200):
            found = self.record
            if sum(isinstance(one, Reserved) for one in found) == sum(isinstance(one, Charged) for one in found):
                return found
            time.sleep(0.02)
        raise AssertionError(found)


@pytest.fixture
def gate(tmp_path):
    upstream = Upstream()
    upstream.answer = lambda path, body: (200, STREAM, sse(ENDS["anthropic"]))
    made = Gate(tmp_path, upstream)
    made.grant()
    yield made
    if made.process is not None and made.process.poll() is None:
        made.stop(signal.SIGKILL)
    upstream.close()


def test_a_call_is_sent_on_with_the_key_that_only_the_gateway_has(gate):
    gate.start()
    answer = gate.post(headers={"x-api-key": gate.key, "anthropic-version": "2023-06-01", "cookie": "a=b"})
    assert (answer.status_code, answer.content) == (200, b"".join(sse(ENDS["anthropic"])))
    path, headers, body = gate.upstream.seen[0]
    heard = {name.lower(): value for name, value in headers.items()}
    assert (path, heard["x-api-key"], heard["anthropic-version"]) == ("/v1/messages", SECRET, "2023-06-01")
    assert "cookie" not in heard
    assert gate.key not in str(headers) + body.decode()
    assert json.loads(body) == {"model": "m", "max_tokens": 100}
    reserved, charged = gate.settled()
    assert (reserved.call, charged) == (1, Charged(1, Cost(57, 12)))
    assert SECRET not in (gate.folder / "gateway.jsonl").read_text()
    assert gate.stop() == (0, "")


@pytest.mark.parametrize(
    "key", ["", "x", "ganger~auth.1~1~" + "t" * 32, "ganger~auth.2~1~" + "s" * 32, "ganger~..~1~" + "s" * 32]
)
def test_a_key_that_is_not_of_the_turn_gets_nothing(gate, key):
    gate.start()
    assert gate.post(headers={"x-api-key": key}).status_code == 401
    assert gate.upstream.seen == []


def test_the_call_that_would_pass_the_limit_is_refused(gate):
    gate.grant(limit=Limit(5_000, None), prices={"m": Price(1.0, 10.0)})
    gate.start()
    codes = [gate.post(messages="x" * 100).status_code for _ in range(60)]
    assert 200 in codes and codes[-1] == 403
    said = gate.post(messages="x" * 100).json()
    assert said["error"]["type"] == "permission_error"
    assert said["error"]["message"].startswith("refused by ganger: the budget of this run has $0.0")
    spent = sum(one.cost.usd_micros for one in gate.settled() if isinstance(one, Charged))
    assert spent == 57 * len(gate.upstream.seen) <= 5_000
    assert isinstance(gate.record[-1], Refused)


def test_less_is_let_come_out_near_the_limit(gate):
    gate.grant(limit=Limit(None, 2_000 + 100 + 1_000))
    gate.start()
    assert gate.post(max_tokens=50_000).status_code == 200
    assert 256 <= json.loads(gate.upstream.seen[0][2])["max_tokens"] <= 1_100


def test_a_model_without_a_price_is_refused_where_money_is_limited(gate):
    gate.grant(limit=Limit(10**9, None))
    gate.start()
    said = gate.post(model="other").json()["error"]["message"]
    assert said == "refused by ganger: nobody knows what other costs, and money is limited: add it to [prices]"
    assert gate.post().status_code == 200


def test_what_is_not_a_call_of_the_api_is_refused(gate):
    gate.start()
    for path in ("/v1/files", "/v1/messages/batches", "/", "/v1/responses"):
        assert gate.post(path).status_code == 403
    assert gate.upstream.seen == []


def test_an_answer_that_breaks_off_is_charged_with_the_most_and_breaks_off_for_the_worker(gate):
    gate.upstream.answer = lambda path, body: (200, STREAM, [*sse(ENDS["anthropic"])[:2], None])
    gate.start()
    with pytest.raises(httpx.RemoteProtocolError):
        gate.post()
    reserved, charged = gate.settled()
    assert charged == Charged(1, reserved.most, announced=False)


def test_an_answer_that_does_not_tell_what_it_used_is_charged_with_the_most(gate):
    silent = [one if one["type"] != "message_start" else {**one, "message": {}} for one in ENDS["anthropic"]]
    silent = [{name: value for name, value in one.items() if name != "usage"} for one in silent]
    gate.upstream.answer = lambda path, body: (200, STREAM, sse(silent))
    gate.grant(limit=Limit(9_000, None))
    gate.start()
    codes = [gate.post().status_code for _ in range(5)]
    reserved, charged, *_ = gate.settled()
    assert charged == Charged(1, reserved.most, announced=False)
    assert codes == [200, 200, 403, 403, 403]


def test_a_worker_that_leaves_ends_the_call(gate):
    over = threading.Event()

    def slowly(path, body):
        def chunks():
            yield sse(ENDS["anthropic"])[0]
            for _ in range(200):
                time.sleep(0.05)
                yield b": still there\n\n"
            over.set()

        return 200, STREAM, chunks()

    gate.upstream.answer = slowly
    gate.start()
    with httpx.stream("POST", f"http://127.0.0.1:{gate.port}/v1/messages", json={"model": "m", "max_tokens": 9},
                      headers={"x-api-key": gate.key}, timeout=20) as answer:  # fmt: skip
        next(answer.iter_raw())
    reserved, charged = gate.settled()
    assert charged == Charged(1, reserved.most, announced=False)
    assert not over.is_set()


def test_a_busy_provider_costs_nothing_and_is_told(gate):
    gate.upstream.answer = lambda path, body: (529, {"retry-after": "7"}, [b'{"type":"error"}'])
    gate.start()
    assert (gate.post().status_code, gate.post().json()) == (529, {"type": "error"})
    limited = [one for one in gate.settled() if isinstance(one, Limited)]
    assert len(limited) == 2 and limited[0].overload and limited[0].until_ms > time.time() * 1000
    assert [one.cost for one in gate.record if isinstance(one, Charged)] == [Cost(), Cost()]


def test_a_provider_that_is_not_there_costs_nothing(gate):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    gate.grant(upstream=f"http://127.0.0.1:{port}")
    gate.start()
    answer = gate.post()
    assert answer.status_code == 502
    assert "cannot be reached" in answer.text
    assert [one.cost for one in gate.settled() if isinstance(one, Charged)] == [Cost()]


def test_a_key_that_was_not_given_to_the_gateway_is_said(gate):
    gate.grant(key_env="NOT_SET")
    gate.start()
    assert (gate.post().status_code, "NOT_SET" in gate.post().text) == (502, True)


def test_a_killed_gateway_forgets_nothing(gate):
    gate.upstream.answer = lambda path, body: (200, STREAM, iter(lambda: time.sleep(0.2) or b": wait\n\n", b""))
    gate.grant(limit=Limit(None, 4_500))
    gate.start()

    def call():
        with pytest.raises(httpx.HTTPError):
            gate.post()

    caller = threading.Thread(target=call)
    caller.start()
    while not any(isinstance(one, Reserved) for one in gate.record):
        time.sleep(0.01)
    gate.stop(signal.SIGKILL)
    caller.join()
    gate.upstream.answer = lambda path, body: (200, STREAM, sse(ENDS["anthropic"]))
    gate.start()
    # The open call is charged with the most: two thousand and some are left, and not the four thousand.
    assert "of this run has 2," in gate.post(max_tokens=2_000, messages="x" * 2_000).text
    assert gate.post(max_tokens=10).status_code == 200


def test_a_call_waits_for_the_others_of_its_turn_when_it_fits_after_them(gate):
    gate.grant(limit=Limit(None, 4_500))
    hold = threading.Event()

    def held(path, body):
        if len(gate.upstream.seen) == 1:
            hold.wait(10)
        return 200, STREAM, sse(ENDS["anthropic"])

    gate.upstream.answer = held
    gate.start()
    codes = []
    callers = [threading.Thread(target=lambda: codes.append(gate.post(max_tokens=500).status_code)) for _ in range(2)]
    for caller in callers:
        caller.start()
    while not gate.upstream.seen:
        time.sleep(0.01)
    time.sleep(0.2)
    assert len(gate.upstream.seen) == 1
    hold.set()
    for caller in callers:
        caller.join()
    assert codes == [200, 200]


def hand_over(gate, turn):
    """A connection whose other end the gateway gets, as the shim of a worker does it."""
    mine, its = socket.socketpair()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.connect(gate.path)
        socket.send_fds(door, [turn.encode()], [its.fileno()])
    its.close()
    return mine


def ask(connection, key):
    body = b'{"model":"m","max_tokens":5}'
    head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    connection.settimeout(10)
    connection.sendall(head.encode() + body)
    return connection.recv(4096).split(b"\r\n")[0]


def test_a_connection_that_is_handed_over_is_of_its_turn_only(gate):
    gate.start()
    with hand_over(gate, f"{RUN}~1") as own, hand_over(gate, "other.1~1") as other, hand_over(gate, "../x~1") as odd:
        assert ask(own, gate.key) == b"HTTP/1.1 200 OK"
        assert ask(other, gate.key) == b"HTTP/1.1 401 Unauthorized"
        odd.settimeout(10)
        assert odd.recv(1) == b""


@pytest.mark.parametrize("garbage", [b"", b"\xff" * 100, b"\x00" * 5000, b"x" * 5000])
def test_garbage_at_the_door_ends_nothing(gate, garbage):
    gate.start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.connect(gate.path)
        door.sendall(garbage)
    with socket.create_connection(("127.0.0.1", gate.port)) as plain:
        plain.sendall(garbage + b"\r\n\r\n")
    assert gate.post().status_code == 200
    assert os.path.exists(f"/proc/{gate.process.pid}")


def test_it_says_who_it_is_and_ends_when_it_is_told(gate):
    gate.start()
    assert contact.ask(Path(gate.path)) == contact.About(gate.process.pid, gate.port, "m1")
    contact.end(Path(gate.path))
    assert gate.process.communicate(timeout=10)[1] == b""
    assert gate.process.returncode == 0
    assert contact.ask(Path(gate.path)) is None
    contact.end(Path(gate.path))


def test_another_one_takes_the_same_port(gate):
    gate.start()
    port = gate.port
    gate.stop(signal.SIGKILL)
    gate.start()
    assert (gate.port, gate.post().status_code) == (port, 200)


# What hostile workers, other programs and bad luck do.


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("content-length: 3\r\ncontent-length: 28", b"400"),
        ("content-length: 28\r\ncontent-length: 28", b"200"),
        ("content-length: 28\r\ntransfer-encoding: identity", b"400"),
        ("content-length: 28\r\nx-a: b\r\n c: d", b"200"),
        ("content-length: 28\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: x", b"200"),
        ("content-length: 28\r\nx-note: caf\xe9", b"200"),
        ("content-length: 28\r\nexpect: 100-continue\r\nx-http-method-override: GET", b"200"),
    ],
)
def test_odd_requests_are_one_request_or_none(gate, head, status):
    gate.start()
    body = b'{"model":"m","max_tokens":5}'
    with hand_over(gate, f"{RUN}~1") as worker:
        worker.settimeout(10)
        worker.sendall(f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {gate.key}\r\n".encode())
        worker.sendall(head.encode("latin-1") + b"\r\n\r\n" + body)
        said = worker.recv(4096)
        while said.startswith(b"HTTP/1.1 100"):
            said = said.partition(b"\r\n\r\n")[2] or worker.recv(4096)
        paid = [one.cost for one in gate.settled() if isinstance(one, Charged)]
    assert said.split(b" ")[1] == status
    is_call = status == b"200"
    assert ([seen[2] for seen in gate.upstream.seen], paid) == ([body] * is_call, [Cost(57, 12)] * is_call)
    assert "GET" not in str(gate.upstream.seen)


@pytest.mark.parametrize("target", ["//v1/messages", "http://evil.test/v1/messages", "/v1/files/%2e%2e/messages", "*"])
def test_a_target_of_another_form_is_no_call(gate, target):
    gate.start()
    with hand_over(gate, f"{RUN}~1") as worker:
        worker.settimeout(10)
        head = f"POST {target} HTTP/1.1\r\nhost: x\r\nx-api-key: {gate.key}\r\ncontent-length: 2\r\n\r\n{{}}"
        worker.sendall(head.encode())
        assert worker.recv(4096).startswith(b"HTTP/1.1 403")
    assert gate.upstream.seen == []


def test_a_provider_reads_what_was_read_here(gate):
    gate.start()
    asked = {"content-type": "application/x-protobuf", "content-encoding": "br", "x-api-key": gate.key}
    assert gate.post("/v1/messages?$alt=proto&alt=media&beta=true&key=x%0d%0ay", headers=asked).status_code == 200
    path, headers, _ = gate.upstream.seen[0]
    heard = {name.lower(): value for name, value in headers.items()}
    assert (path, heard["content-type"]) == ("/v1/messages?beta=true", "application/json")
    assert "content-encoding" not in heard


def test_one_worker_with_many_connections_keeps_no_other_from_its_model(gate):
    gate.start()
    other = gate.runs / "other.1" / "turn-1"
    other.mkdir(parents=True)
    key = key_for("other.1", 1, "o" * 32)
    grant = json.loads((gate.folder / "gateway.json").read_bytes()) | {"run": "other.1", "key": key}
    (other / "gateway.json").write_text(json.dumps(grant))
    held = [hand_over(gate, f"{RUN}~1") for _ in range(400)]
    with hand_over(gate, "other.1~1") as worker:
        assert ask(worker, key) == b"HTTP/1.1 200 OK"
    cut = 0
    for one in held:
        one.settimeout(0.01)
        try:
            cut += one.recv(1) == b""
        except TimeoutError:
            continue
    assert cut == 400 - 128
    for one in held:
        one.close()
    with hand_over(gate, f"{RUN}~1") as worker:
        assert ask(worker, gate.key) == b"HTTP/1.1 200 OK"


def test_a_gateway_without_room_for_connections_goes_on(gate):
    gate.start()
    open_now = len(os.listdir(f"/proc/{gate.process.pid}/fd"))
    resource.prlimit(gate.process.pid, resource.RLIMIT_NOFILE, (open_now + 6, open_now + 6))
    held = [hand_over(gate, f"{RUN}~{turn}") for turn in range(1, 30)]
    time.sleep(0.3)
    for one in held:
        one.close()
    assert gate.process.poll() is None
    for _ in range(50):
        with hand_over(gate, f"{RUN}~1") as worker:
            try:
                assert ask(worker, gate.key) == b"HTTP/1.1 200 OK"
                return
            except (OSError, AssertionError):
                time.sleep(0.1)
    raise AssertionError("nobody is answered any more")


@pytest.mark.parametrize("room", [0, 10])
def test_what_cannot_be_written_down_is_not_asked(gate, room):
    gate.start()
    assert gate.post().status_code == 200
    gate.settled()
    size = (gate.folder / "gateway.jsonl").stat().st_size
    resource.prlimit(gate.process.pid, resource.RLIMIT_FSIZE, (size + room, resource.RLIM_INFINITY))
    answer = gate.post()
    assert answer.status_code == 503
    assert "cannot write down" in answer.json()["error"]["message"]
    assert len(gate.upstream.seen) == 1
    resource.prlimit(gate.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert gate.post().status_code == 200
    assert [one.cost for one in gate.settled() if isinstance(one, Charged)] == [Cost(57, 12)] * 2


def test_of_two_gateways_one_has_the_record(gate):
    gate.grant(limit=Limit(None, 3_000))
    gate.start()
    first = gate.process
    assert gate.post().status_code == 200
    gate.port = 0
    gate.start()
    try:
        assert gate.post().status_code == 200
        assert first.wait(10) == 0
        first.stderr.close()
    finally:
        first.kill()
    calls = [one.call for one in gate.settled() if isinstance(one, Reserved)]
    assert calls == [1, 2]


def test_a_turn_that_is_over_spends_nothing_more(gate):
    gate.start()
    assert gate.post().status_code == 200
    (gate.folder / "exit.json").write_text("{}")
    answer = gate.post()
    assert (answer.status_code, len(gate.upstream.seen)) == (401, 1)
    assert "is over" in answer.text


def test_a_turn_that_is_granted_again_is_known_by_its_new_key(gate):
    gate.start()
    assert gate.post().status_code == 200
    before, gate.key = gate.key, key_for(RUN, 1, "n" * 32)
    gate.grant(limit=Limit(None, 12 + 2_300))
    assert gate.post(max_tokens=50_000).status_code == 200
    assert json.loads(gate.upstream.seen[1][2])["max_tokens"] < 300
    assert gate.post(headers={"x-api-key": before}).status_code == 401


def test_what_a_turns_children_are_given_it_may_not_spend_itself(gate):
    gate.grant(limit=Limit(None, 20_000), lent=Cost(0, 100))
    gate.start()
    (gate.folder / LENT).write_bytes(msgspec.json.encode(Cost(0, 100)))
    assert gate.post(max_tokens=1_000).status_code == 200
    assert json.loads(gate.upstream.seen[0][2])["max_tokens"] == 1_000
    (gate.folder / LENT).write_bytes(msgspec.json.encode(Cost(0, 19_500)))
    assert gate.post(max_tokens=1_000).status_code != 200, "its children may spend all that is left"
    (gate.folder / LENT).write_bytes(msgspec.json.encode(Cost(0, 100)))
    assert gate.post(max_tokens=1_000).status_code == 200, "they have ended, and did not"


def test_refusals_do_not_fill_the_disk(gate):
    desk = Desk(gate.folder)
    for _ in range(REFUSED_MAX + 500):
        desk.note(Refused("no"))
    desk.note(Limited(1))
    desk.close()
    assert len(gate.record) == REFUSED_MAX + 1


def test_requests_that_come_slowly_hold_up_nobody_and_are_bounded(gate):
    gate.start()
    head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {gate.key}\r\ncontent-length: 33554432\r\n\r\n"
    slow = [hand_over(gate, f"{RUN}~1") for _ in range(4)]
    for one in slow:
        one.settimeout(20)
        one.sendall(head.encode() + b"{")
    assert gate.post().status_code == 200
    for one in slow[:3]:
        one.sendall(b" " * (30 << 20))
    said = b""
    with contextlib.suppress(ConnectionError):
        slow[3].sendall(b" " * (30 << 20))
        said = slow[3].recv(200)
    assert b" 403 " in said or said == b""
    for one in slow:
        one.close()
    assert gate.post().status_code == 200


@pytest.mark.parametrize(("context", "sent"), [(200_000, "a-1,b-2"), (1_000_000, "a-1,context-1m-2025-08-07,b-2")])
def test_no_longer_context_is_asked_for_than_is_reckoned_with(gate, context, sent):
    gate.grant(limit=Limit(10**7, None), prices={"m": Price(1.0, 10.0, context=context)})
    gate.start()
    asked = {"x-api-key": gate.key, "anthropic-beta": "a-1, context-1m-2025-08-07, b-2"}
    assert gate.post(headers=asked).status_code == 200
    heard = {name.lower(): value for name, value in gate.upstream.seen[0][1].items()}
    assert heard["anthropic-beta"].replace(" ", "") == sent
