"""A program in a network of its own reaches the gateway, and nothing else; through every wall that can do it."""

import json
import os
import socket
import sys

import pytest
from test_gateway_proxy import RUN, gate  # noqa: F401 - a fixture
from upstream import ENDS, sse

from ganger.drivers.process import run_check
from ganger.jail import kernel, landlock
from ganger.jail.bubblewrap import Bubblewrap, found
from ganger.jail.choice import tools_for
from ganger.jail.landlock import Landlock
from ganger.jail.port import Network, Reach, Way

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="jails are made of what Linux has")
ABI = kernel.landlock_abi()
HERE = {
    "bubblewrap": bool(found()),
    "sealed": ABI >= landlock.ABI_MIN and kernel.can_seal(),
    "landlock": ABI >= 4,
}
INSIDE = """
import json, socket, sys, urllib.request
port, key, others = json.loads(sys.argv[1])
def tried(what):
    try:
        return what()
    except Exception as error:
        return type(error).__name__
def call():
    body = json.dumps({"model": "m", "max_tokens": 5}).encode()
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/v1/messages", body, {"x-api-key": key})
    return urllib.request.urlopen(asked, timeout=10).read().decode()
def reach(at):
    socket.create_connection(tuple(at), timeout=2).close()
    return "reached"
print(json.dumps([tried(call), tried(call), *(tried(lambda at=at: reach(at)) for at in others)]))
"""


def jail_of(name):
    tools = tools_for("/usr/bin:/bin", ())
    if name == "bubblewrap":
        return Bubblewrap(found(), "", tools, ABI)
    return Landlock(tools, ABI, seals=name == "sealed")


def inside(gate, name, tmp_path, way, network=Network.gateway, key=None):  # noqa: F811
    place = tmp_path / "ws"
    place.mkdir(exist_ok=True)
    # `gate.port` is the gateway itself outside; what is at this port inside is only what was handed over.
    with socket.create_server(("127.0.0.1", 0)) as bystander:
        others = [bystander.getsockname(), ("192.0.2.1", 9)]
        told = json.dumps([gate.port, key or gate.key, others])
        argv = ("/usr/bin/python3", "-I", "-c", INSIDE, told)
        reach = Reach(writable=(place,), network=network, way=way)
        ended = run_check(argv, {"PATH": "/usr/bin:/bin"}, place, 30_000, tmp_path / "log", jail_of(name), reach)
    text = (tmp_path / "log").read_text()
    assert ended.code == 0, (ended, text)
    return json.loads(text.splitlines()[-1])


@pytest.mark.parametrize("name", HERE)
def test_the_gateway_is_all_that_is_reached(gate, tmp_path, name):  # noqa: F811
    if not HERE[name]:
        assert "CI" not in os.environ, f"{name} must be there in CI"
        pytest.skip(f"no {name} here")
    gate.start()
    stream = b"".join(sse(ENDS["anthropic"])).decode()
    way = Way(gate.port, gate.path, f"{RUN}~1")
    assert inside(gate, name, tmp_path, way)[:2] == [stream, stream]
    # What is refused, and by what word, depends on the wall; nobody says "reached".
    assert "reached" not in inside(gate, name, tmp_path, way)
    assert inside(gate, name, tmp_path, None)[0] != stream
    assert len(gate.upstream.seen) == 4


@pytest.mark.skipif(not HERE["bubblewrap"], reason="no bubblewrap here")
def test_with_an_open_network_more_is_reached(gate, tmp_path):  # noqa: F811
    gate.start()
    assert inside(gate, "bubblewrap", tmp_path, None, Network.open)[2] == "reached"


@pytest.mark.skipif(not HERE["bubblewrap"], reason="no bubblewrap here")
def test_what_comes_from_one_worker_is_no_others(gate, tmp_path):  # noqa: F811
    gate.start()
    assert inside(gate, "bubblewrap", tmp_path, Way(gate.port, gate.path, "other.1~1"))[0] == "HTTPError"
    assert gate.upstream.seen == []


@pytest.mark.skipif(not HERE["bubblewrap"], reason="no bubblewrap here")
def test_without_a_gateway_connections_are_cut(gate, tmp_path):  # noqa: F811
    assert inside(gate, "bubblewrap", tmp_path, Way(gate.port, gate.path + "x", f"{RUN}~1"))[0] in (
        "RemoteDisconnected",
        "ConnectionResetError",
        "URLError",
    )
