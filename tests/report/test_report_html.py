"""The page: well-formed, self-contained, every link leads somewhere, and hostile text stays text."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from datetime import UTC
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import pytest
from report_builder import Night, Words, full_night, hard_day, large_night, spec

from ganger.core.model import Check
from ganger.report.data import collect
from ganger.report.html import render_html, write
from ganger.report.safe import printable

VOID = {"meta", "br", "hr", "img", "link", "input"}
ATTACK = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}</style>&lt;"
    "\x1b]52;c;eA==\x07\x9b31m\u202e\u200b\U000e0041\r\n"
)
HOSTILE = Words(
    title=f"t {ATTACK}",
    summary=f"s {ATTACK}",
    question=f"q {ATTACK}",
    options=(f"o {ATTACK}", f"-- {ATTACK}", "$(reboot)"),
    risk=f"r {ATTACK}",
    path=f"src/{ATTACK}",
    reason=f"e {ATTACK}",
    tail=f"l {ATTACK}\nlast",
    note=f"n {ATTACK}",
)
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e0fff]")


class Element:
    """A node of the page."""

    def __init__(self, tag: str, attributes: dict[str, str], parent: Element | None) -> None:
        self.tag, self.attributes, self.parent = tag, attributes, parent
        self.children: list[Element] = []
        self.text = ""

    def walk(self) -> Iterator[Element]:
        yield self
        for child in self.children:
            yield from child.walk()

    def has(self, name: str) -> bool:
        return name in self.attributes.get("class", "").split()

    def links(self) -> set[str]:
        return {one.attributes["href"] for one in self.walk() if one.tag == "a"}

    def said(self) -> str:
        return "".join(one.text for one in self.walk())


class Page(HTMLParser):
    """A strict reader: every element is closed in order, no attribute is given twice."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self._at = Element("", {}, None)
        self.feed(html)
        self.close()
        assert self._at is self.root, f"<{self._at.tag}> is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"<{tag}> has an attribute twice"
        element = Element(tag, {name: value or "" for name, value in attrs}, self._at)
        self._at.children.append(element)
        if tag not in VOID:
            self._at = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._at.tag == tag, f"</{tag}> closes <{self._at.tag}>"
        assert self._at.parent is not None
        self._at = self._at.parent

    def handle_data(self, data: str) -> None:
        self._at.text += data

    def all(self, tag: str) -> list[Element]:
        return [one for one in self.root.walk() if one.tag == tag]


def page_of(night: Night, name: str = "reports/night.html") -> str:
    reader = night.reader()
    try:
        return write(reader, night.state_dir, night.state_dir / name, zone=UTC).read_text(encoding="utf-8")
    finally:
        reader.close()


@pytest.fixture(scope="module", params=["plain", "hostile"])
def night(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    words = HOSTILE if request.param == "hostile" else Words()
    found = full_night(tmp_path_factory.mktemp(request.param), words)
    if request.param == "hostile":
        _more_attacks(found)
    hard_day(found, words)
    yield found
    found.close()


def _more_attacks(night: Night) -> None:
    """Places that plans and processes name: item, agent, check, host, and a log whose name needs quoting."""
    name = 'x"><img src=x>\x1b[31m'
    check = Check("<b>c</b>\u202e", ("true",))
    scope = ("x/**",)
    items = [spec("evil", "evil", agent=f"a {ATTACK}", scope=scope, checks=(check,)), spec(name, "y", scope=("y/**",))]
    state = night.store.catch_up()
    kept = [item.spec for item in state.items.values()]
    night.plan(*kept, *items, digest="2")
    run = night.grant("evil")
    night.done(run, ATTACK, 1)
    log = "runs/a b#c?d:%41<x>/javascript:x.log"
    (night.state_dir / log).parent.mkdir(parents=True)
    (night.state_dir / log).write_text("x")
    night.evidence(run, night.result(run, check.name, log=log), changed=("x/1",))
    night.wait(name, run, reason=f"w {ATTACK}")


@pytest.fixture(scope="module")
def html(night: Night) -> str:
    return page_of(night)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_ids_are_unique_and_every_link_inside_leads_somewhere(page: Page) -> None:
    ids = [one.attributes["id"] for one in page.root.walk() if "id" in one.attributes]
    assert len(set(ids)) == len(ids)
    inside = {link[1:] for link in page.root.links() if link.startswith("#")}
    assert len(inside) > 100
    assert inside <= set(ids)
    described = [one.attributes["aria-labelledby"] for one in page.root.walk() if "aria-labelledby" in one.attributes]
    assert {name for names in described for name in names.split()} <= set(ids)


def test_links_to_logs_open_from_where_the_report_lies(page: Page, night: Night) -> None:
    outside = {link for link in page.root.links() if not link.startswith("#")}
    assert len(outside) > 5
    for link in outside:
        parts = urlsplit(link)
        assert not parts.scheme and not parts.netloc and not parts.query and not parts.fragment
        assert (night.state_dir / "reports" / unquote(parts.path)).is_file(), link


def test_no_statement_without_evidence(page: Page) -> None:
    def backed(one: Element) -> bool:
        return any(re.fullmatch(r"#[et][0-9]+", link) for link in one.links())

    statements = [one for one in page.root.walk() if one.has("card") or one.tag == "article"]
    statements += [li for ul in page.all("ul") if ul.has("plain") or ul.has("todo") for li in ul.children]
    statements += [li for ol in page.all("ol") for li in ol.children]
    statements += [tr for body in page.all("tbody") for tr in body.children if tr.attributes.get("id", "")[:1] != "e"]
    statements += [one for one in page.all("details") if one.has("attempt")]
    assert len(statements) > 80
    assert [one.said() for one in statements if not backed(one)] == []
    assert all(one.links() for ul in page.all("ul") if ul.has("tiles") for one in ul.children)
    drawn = [one for svg in page.all("svg") for one in svg.walk() if one.tag == "rect" and one.has("b-good")]
    assert drawn and all(one.parent is not None and one.parent.tag == "a" for one in drawn)


def test_nothing_is_loaded_and_nothing_runs(page: Page, html: str) -> None:
    tags = {one.tag for one in page.root.walk()}
    assert not tags & {"script", "iframe", "object", "embed", "img", "link", "base", "form", "video", "image", "use"}
    names = {name for one in page.root.walk() for name in one.attributes}
    assert not [name for name in names if name.startswith("on") or name in ("style", "src", "srcset", "action", "ping")]
    (style,) = page.all("style")
    assert not re.search(r"url\((?!#)|@import", style.text)
    digest = base64.b64encode(hashlib.sha256(style.text.encode()).digest()).decode()
    policy = next(one for one in page.all("meta") if "http-equiv" in one.attributes).attributes["content"]
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "http://" not in html and "https://" not in html


def test_no_control_character_gets_out(html: str) -> None:
    assert CONTROL.findall(html) == []


def test_hostile_text_is_text(night: Night, page: Page, html: str) -> None:
    if "hostile" not in str(night.state_dir):
        return
    assert "<script" not in html and "<img" not in html
    said = page.root.said()
    assert "{{7*7}}</style>&lt;" in said
    for start in "tsqore":
        assert printable(f"{start} {ATTACK}".rstrip())[:60] in said, start
    assert r"\x1b]52;c;eA==\x07\x9b31m\u202e\u200b\U000e0041" in said


def test_the_same_journal_gives_the_same_bytes(night: Night, html: str) -> None:
    assert page_of(night) == html


def test_sections_stand_in_their_rank(page: Page) -> None:
    ids = [one.attributes["id"] for one in page.all("section")]
    assert ids == [
        "anomalies",
        "picture",
        "landed",
        "ready",
        "blocked",
        "given-up",
        "held-back",
        "open",
        "time",
        "evidence",
    ]


def test_every_element_of_the_picture_has_words(page: Page) -> None:
    for svg in page.all("svg"):
        for one in svg.walk():
            if one.tag == "rect" and not one.has("hatch"):
                assert [child for child in one.children if child.tag == "title" and child.text]


def test_a_log_that_is_gone_is_not_linked(tmp_path: Path) -> None:
    tmp_path /= "state"
    night = Night(tmp_path)
    night.plan(spec("a"), spec("b"))
    night.land(night.accepted("a"))
    (tmp_path / "runs/a.1/turn-1/checks/unit.log").unlink()
    run = night.grant("b")
    night.done(run, "", 1)
    (tmp_path.parent / "outside.log").write_text("not ours")
    checks = [night.result(run, f"c{n}", log=log) for n, log in enumerate(("../outside.log", "/etc/passwd", "runs"))]
    night.evidence(run, *checks, changed=("src/b/x",))
    links = Page(page_of(night)).root.links()
    night.close()
    assert {link for link in links if not link.startswith("#")} == {
        link for link in links if link.startswith("../trains/")
    }


def test_writing_is_atomic_private_and_anywhere(tmp_path: Path) -> None:
    night = Night(tmp_path / "state dir")
    night.plan(spec("a"))
    night.land(night.accepted("a"))
    for name in ("reports/night.html", "report.html", "a/b/c.html", "../elsewhere/r.html"):
        page = Page(page_of(night, name))
        out = night.state_dir / name
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        logs = [link for link in page.root.links() if not link.startswith("#")]
        assert logs and all((out.parent / unquote(link)).is_file() for link in logs)
        assert os.listdir(out.parent) == [out.name] or name == "report.html"
    reader = night.reader()
    (night.state_dir / "taken").mkdir()
    with pytest.raises(OSError):
        write(reader, night.state_dir, night.state_dir / "taken")
    assert not [name for name in os.listdir(night.state_dir) if name.startswith(".taken")]
    reader.close()
    night.close()


def test_an_empty_journal_has_a_page(tmp_path: Path) -> None:
    night = Night(tmp_path)
    page = Page(page_of(night))
    night.close()
    assert "There are no items." in page.root.said()
    assert {link[1:] for link in page.root.links() if link.startswith("#e")} <= {
        one.attributes.get("id") for one in page.root.walk()
    }


def test_times_are_those_of_the_zone(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.plan(spec("a"))
    night.land(night.accepted("a", work=30))
    reader = night.reader()
    data = collect(reader, tmp_path)
    reader.close()
    night.close()
    assert "Friday 20 November 2026 22:00 to 22:33" in render_html(data, UTC)
    assert "Friday 20 November 2026 23:00 to 23:33 (UTC+01:00)" in render_html(data, ZoneInfo("Europe/Berlin"))


def test_a_large_night_is_drawn_whole(tmp_path: Path) -> None:
    """10,000 items and 1,000 runs."""
    night = large_night(tmp_path, 10_000, 1_000)
    reader = night.reader()
    html = render_html(collect(reader, tmp_path), UTC)
    reader.close()
    night.close()
    assert html.count("<article") == 1_000
    assert len(html) < 12_000_000
