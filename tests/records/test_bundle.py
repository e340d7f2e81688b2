"""Bundles: the same bytes each time, verified with nothing else, and every byte that is another is found, and where."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from kept_fleet import KeptFleet

from ganger.core.model import CheckState
from ganger.errors import JournalCorrupt, StateDirError, UsageError
from ganger.service import bundle
from ganger.service.bundle import EntryLine, Index, Part, Record
from ganger.service.bundle_check import check, unproven
from ganger.service.signing import KEY, FleetKey, fleet_key, is_signed, read_public
from ganger.verifier.record import Ending, Seen, Session

OURS = FleetKey(bytes(range(32)))
PUBLIC = "ed25519:03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"


@pytest.fixture
def landed(fleet: KeptFleet) -> KeptFleet:
    fleet.landed("b.1")
    fleet.landed("a.1")
    return fleet


def made(fleet: KeptFleet, item: str = "a") -> bytes:
    return bundle.make(fleet.state_dir, item, OURS).data


Parts = list[tuple[str, bytes]]


def taken_apart(data: bytes) -> Parts:
    """The parts of a bundle by name, in order."""
    at = data.index(b"\n") + 1
    end = data.index(b"\n", at) + 1
    parts: Parts = []
    for part in msgspec.json.decode(data[at:end], type=Index).parts:
        parts.append((part.name, data[end : end + part.bytes]))
        end += part.bytes
    assert end == len(data)
    return parts


def put_together(parts: Parts, gone: tuple[str, ...] = (), key: FleetKey = OURS) -> bytes:
    """A bundle of these parts, well signed: what somebody who holds a key can make."""
    listed = tuple(Part(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in parts)
    return bundle.seal(Index(listed, gone), key) + b"".join(data for _, data in parts)


def test_the_same_journal_and_files_make_the_same_bytes(landed: KeptFleet) -> None:
    data = made(landed)
    assert made(landed) == data == put_together(taken_apart(data))
    names = [name for name, _ in taken_apart(data)]
    run = landed.fleet.store.entries(subject="a.1")
    stretch = [f"entry {seq}" for seq in range(run[0].seq, run[-1].seq + 1)]
    files = ["file runs/a.1/turn-1/checks/unit.log", "file runs/a.1/turn-1/manifest.json"]
    assert names == ["record", "entry 2", *stretch, *files]


def test_it_says_what_was_found(landed: KeptFleet) -> None:
    checked = check(made(landed), PUBLIC)
    assert (checked.faults, checked.gone, checked.key) == ((), (), PUBLIC)
    record = checked.record
    assert record is not None
    assert (record.item, record.run, record.changed, record.verdict) == ("a", "a.1", ("src/a.py",), "accepted")
    assert (record.landed, record.landed_from, record.landed_tree) == ("d" * 40, "b" * 40, "e" * 40)
    assert [(one.name, one.state, one.exit_code) for one in record.checks] == [("unit", "passed", 0)]
    log = landed.turn_dir("a.1") / "checks" / "unit.log"
    assert record.checks[0].log_sha256 == hashlib.sha256(log.read_bytes()).hexdigest()


SEEN = Seen(
    (Session("pytest", ended=True),),
    {"a.py::test_a": Ending("passed", "a.py"), "a.py::test_b": Ending("skipped"), "ä > b": Ending("xfailed")},
)


def with_tests(fleet: KeptFleet) -> Parts:
    """The parts of a bundle with a list of executed tests."""
    fleet.start("a.1")
    fleet.report("a.1")
    fleet.land("a.1", fleet.judge("a.1", seen=SEEN))
    return taken_apart(made(fleet))


LIST = "file runs/a.1/turn-1/checks/unit.tests.json"


def test_the_executed_tests_are_in_it(fleet: KeptFleet) -> None:
    parts = with_tests(fleet)
    found = msgspec.json.decode(dict(parts)[LIST])
    assert found["tests"] == [["a.py::test_a", "passed"], ["a.py::test_b", "skipped"], ["ä > b", "xfailed"]]
    assert (found["count"], found["outcomes"]) == (3, {"passed": 1, "skipped": 1, "xfailed": 1})
    checked = check(put_together(parts), PUBLIC)
    assert checked.faults == () and checked.record is not None
    assert (checked.record.checks[0].executed, checked.record.checks[0].runner) == (2, "pytest")
    (fleet.turn_dir("a.1") / "checks" / "unit.tests.json").write_bytes(b"{}")
    with pytest.raises(JournalCorrupt, match="is not what was recorded"):
        made(fleet)


def test_another_list_of_tests_is_found(fleet: KeptFleet) -> None:
    """Well signed by somebody who holds a key: the list must be the recorded one."""
    parts = with_tests(fleet)
    others = [(name, data.replace(b"test_a", b"test_z") if name == LIST else data) for name, data in parts]
    assert [(one.part, one.text) for one in check(put_together(others)).faults] == [
        (LIST, "it is not the list of tests that was recorded"),
        (LIST, "its tests are not those of its digest"),
    ]
    without = [(name, data) for name, data in parts if name != LIST]
    assert [one.text for one in check(put_together(without)).faults] == [f"{LIST.removeprefix('file ')} is missing"]
    gone = (LIST.removeprefix("file "),)
    assert check(put_together(without, gone)).faults == ()


def test_every_byte_that_is_another_is_found_and_located(landed: KeptFleet) -> None:
    """Each byte of a bundle in turn; the fault names the part that the byte is in, and only that one."""
    data = made(landed)
    first = data.index(b"\n") + 1
    second = data.index(b"\n", first) + 1
    ends = [("seal", first), ("index", second)]
    for name, part in taken_apart(data):
        ends.append((name, ends[-1][1] + len(part)))
    assert len(data) > 2_000
    part = 0
    for at in range(len(data)):
        part += at >= ends[part][1]
        flipped = bytearray(data)
        flipped[at] ^= 1 << (at % 8)
        checked = check(bytes(flipped), PUBLIC)
        assert len(checked.faults) == 1 and checked.record is None, (at, checked)
        fault = checked.faults[0]
        if part:
            assert fault.part == ends[part][0] and fault.first <= at < fault.end, (at, fault)
        else:
            assert fault.part == "seal", (at, fault)


@pytest.mark.parametrize("length", [0, 1, 100, 300, 2_000, -1])
def test_what_is_cut_off_is_found(landed: KeptFleet, length: int) -> None:
    assert check(made(landed)[:length], PUBLIC).faults


def test_what_is_added_is_found(landed: KeptFleet) -> None:
    data = made(landed)
    assert [(one.part, one.text) for one in check(data + b"x\n").faults] == [
        ("end", "2 bytes follow that are no part of it")
    ]
    assert check(b"\n" + data).faults[0].part == "seal"


def test_what_somebody_else_signed_is_not_ours(landed: KeptFleet) -> None:
    other = FleetKey(bytes(32))
    data = put_together(taken_apart(made(landed)), key=other)
    assert check(data).faults == ()
    assert [one.text for one in check(data, PUBLIC).faults] == [f"it is signed by another key: {other.public}"]


def replaced(parts: Parts, name: str, change: Callable[[bytes], bytes]) -> Parts:
    assert name in dict(parts)
    return [(found, change(data) if found == name else data) for found, data in parts]


def entry(data: bytes) -> EntryLine:
    return msgspec.json.decode(data, type=EntryLine)


def with_event(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """An entry with another content, its checksum mended."""

    def change(data: bytes) -> bytes:
        line = entry(data)
        body = bytes(line.event).replace(old, new)
        assert body != bytes(line.event)
        return bundle.encoded(msgspec.structs.replace(line, event=msgspec.Raw(body), crc=bundle.codec.crc(body)))

    return change


def last_entry(parts: Parts) -> str:
    return [name for name, _ in parts if name.startswith("entry ")][-1]


FORGERIES: dict[str, tuple[Callable[[Parts], Parts], str, str]] = {
    "another record": (
        lambda parts: replaced(parts, "record", lambda data: data.replace(b'"src/a.py"', b'"src/b.py"')),
        "record",
        "it says something else than the entries say",
    ),
    "a record written otherwise": (
        lambda parts: replaced(parts, "record", lambda data: data.replace(b'"item":', b'"item": ')),
        "record",
        "it says something else than the entries say",
    ),
    "another landing": (
        lambda parts: replaced(parts, last_entry(parts), with_event(b"d" * 40, b"f" * 40)),
        "last",
        "its hash is not that of its content after the entry before it",
    ),
    "an entry less": (
        lambda parts: [part for part in parts if part != parts[4]],
        "",
        "it does not follow the entry before it",
    ),
    "an entry twice": (lambda parts: [*parts[:5], parts[4], *parts[5:]], "", "it does not follow the entry before it"),
    "the end less": (
        lambda parts: [part for part in parts if part[0] != last_entry(parts)],
        "entries",
        "they do not end with the landing of a.1",
    ),
    "no entries": (
        lambda parts: [part for part in parts if not part[0].startswith("entry ")],
        "entries",
        "there are no entries",
    ),
    "another output": (
        lambda parts: replaced(parts, "file runs/a.1/turn-1/checks/unit.log", lambda data: b"all good\n"),
        "file runs/a.1/turn-1/checks/unit.log",
        "it is not the output that was recorded",
    ),
    "no output": (
        lambda parts: [part for part in parts if not part[0].endswith(".log")],
        "index",
        "runs/a.1/turn-1/checks/unit.log is missing",
    ),
    "one more file": (
        lambda parts: [*parts, ("file notes.txt", b"trust me\n")],
        "file notes.txt",
        "nothing in the record speaks of it",
    ),
    "another manifest": (
        lambda parts: replaced(
            parts, "file runs/a.1/turn-1/manifest.json", lambda data: data.replace(b'"a.1"', b'"b.1"')
        ),
        "file runs/a.1/turn-1/manifest.json",
        "it is the manifest of b.1 with token 13",
    ),
    "a part of another kind": (
        lambda parts: [*parts, ("letter", b"x")],
        "index",
        "its parts are not those of a bundle",
    ),
    "the record elsewhere": (lambda parts: [*parts[1:], parts[0]], "index", "its parts are not those of a bundle"),
    "nothing": (lambda parts: [], "index", "its parts are not those of a bundle"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_is_signed_but_does_not_fit_together_is_refused(landed: KeptFleet, name: str) -> None:
    """A forger who has the fleet's key still needs a chain, a record and files that agree."""
    change, part, text = FORGERIES[name]
    parts = taken_apart(made(landed))
    found = check(put_together(change(parts)), PUBLIC).faults
    assert [one.text for one in found] == [text]
    assert found[0].part == (last_entry(parts) if part == "last" else part or found[0].part)


def test_an_entry_written_otherwise_is_refused(landed: KeptFleet) -> None:
    parts = taken_apart(made(landed))
    spaced = replaced(parts, last_entry(parts), lambda data: data.replace(b'"seq":', b'"seq": '))
    assert [one.text for one in check(put_together(spaced), PUBLIC).faults] == ["it cannot be read as an entry"]


def test_a_number_beyond_all_measure_is_a_fault_and_no_crash(landed: KeptFleet) -> None:
    parts = taken_apart(made(landed))
    name = last_entry(parts)
    for huge in (1 << 63, -1, 1 << 80):
        at = dict(parts)[name]
        line = at.replace(b'"at_ms":%d' % entry(at).at_ms, b'"at_ms":%d' % huge)
        assert check(put_together(replaced(parts, name, lambda data, line=line: line)), PUBLIC).faults  # type: ignore[misc]


def test_a_rejected_candidate_is_no_proof_whoever_signs() -> None:
    def record(**fields: object) -> Record:
        given: dict[str, object] = dict.fromkeys(Record.__struct_fields__, "")
        lists = ("changed", "protected", "checks", "base_checks", "witness_tests", "weakened", "reasons", "landed_with")
        given |= dict.fromkeys(lists, ()) | {"train_checks": (), "landed_ms": 0, "entries": (1, 2)}
        given |= {"verdict": "accepted", "rung": "checked", "train_passed": True, **fields}
        return msgspec.convert(given, Record)

    failed = bundle._check_lines((_result(CheckState.failed),))
    assert unproven(record()) == ()
    assert unproven(record(verdict="rejected")) == ("the verdict on the candidate is rejected",)
    assert unproven(record(train_passed=False)) == ("what landed had not passed as a whole",)
    assert unproven(record(checks=msgspec.to_builtins(failed))) == ("check unit did not pass",)
    assert unproven(record(checks=msgspec.to_builtins(failed), rung="in-scope")) == ()
    assert unproven(record(train_checks=msgspec.to_builtins(failed), rung="in-scope")) == ("check unit did not pass",)


def _result(state: CheckState):  # type: ignore[no-untyped-def]
    from ganger.testing.builders import result

    return result(state)


def test_what_was_pruned_is_told_and_not_missed(landed: KeptFleet) -> None:
    (landed.turn_dir("a.1") / "checks" / "unit.log").unlink()
    checked = check(made(landed), PUBLIC)
    assert (checked.faults, checked.gone) == ((), ("runs/a.1/turn-1/checks/unit.log",))


def test_nothing_is_signed_that_is_not_as_recorded(landed: KeptFleet) -> None:
    log = landed.turn_dir("a.1") / "checks" / "unit.log"
    log.write_text("all good\n")
    with pytest.raises(JournalCorrupt, match=r"runs/a\.1/turn-1/checks/unit\.log is not what was recorded"):
        made(landed)


def test_a_damaged_journal_is_not_bundled(landed: KeptFleet) -> None:
    db = landed.fleet.store.db
    seq = landed.fleet.store.entries(subject="a.1")[3].seq
    db.execute("UPDATE entries SET actor='person:mallory' WHERE seq=?", (seq,))
    with pytest.raises(JournalCorrupt, match=f"entry {seq} of the journal does not hold"):
        made(landed)


@pytest.mark.parametrize(("item", "why"), [("c", "nothing is called 'c'"), ("b", "b has not landed")])
def test_what_has_not_landed_cannot_be_bundled(fleet: KeptFleet, item: str, why: str) -> None:
    fleet.landed("a.1")
    with pytest.raises(UsageError, match=why):
        made(fleet, item)


# The key


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    key = fleet_key(tmp_path)
    path = tmp_path / KEY
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert fleet_key(tmp_path).public == key.public
    assert list(tmp_path.iterdir()) == [path]
    assert is_signed(key.public, key.sign(b"x"), b"x")
    assert not is_signed(key.public, key.sign(b"x"), b"y")
    assert not is_signed(PUBLIC, key.sign(b"x"), b"x")


def test_a_known_key_signs_as_it_always_did() -> None:
    """Test vector 1 of RFC 8032, section 7.1."""
    key = FleetKey(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert key.public == "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.chmod(0o640), "may be read by others"),
        (lambda path: path.write_bytes(b"short"), "holds no key: 5 bytes"),
        (lambda path: (path.rename(path.with_name("x")), path.symlink_to("x")), "cannot be used"),
    ],
)
def test_a_key_that_cannot_be_believed_is_refused(tmp_path: Path, damage: Callable[[Path], object], why: str) -> None:
    fleet_key(tmp_path)
    damage(tmp_path / KEY)
    with pytest.raises(StateDirError, match=why):
        fleet_key(tmp_path)


def test_a_public_key_is_given_as_text_or_file(tmp_path: Path) -> None:
    file = tmp_path / "fleet.pub"
    file.write_text(PUBLIC + "\n")
    assert read_public(PUBLIC) == read_public(str(file)) == PUBLIC
    bad: Sequence[str] = ("", "x", PUBLIC[:-1], PUBLIC.upper(), str(tmp_path), "a\0b")
    for text in bad:
        with pytest.raises(UsageError, match="is no public key"):
            read_public(text)
