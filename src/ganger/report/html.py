"""The report as one page: no script, no resource from elsewhere, and a policy that lets the browser hold it to that."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from datetime import tzinfo
from functools import cache
from pathlib import Path
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape

from ganger import __version__
from ganger.core.model import Usage
from ganger.journal.queries import Reader
from ganger.report.data import collect
from ganger.report.safe import printable
from ganger.report.shape import AnomalyKind, Numbers, ReportData, Source, Spent
from ganger.report.timeline import CHAR_WIDTH, LEFT, RIGHT, TRAIN_HEIGHT, WIDTH, picture
from ganger.report.wording import Clock, count, duration, iso
from ganger.report.words import spent

HERE = Path(__file__).parent
FIRST_SHOWN = 25
"""Entries of a section shown at once; the rest is folded."""
SPENT_PARTS = ("waiting", "working", "checking", "asking", "train")


def write(reader: Reader, state_dir: Path, out: Path, since_ms: int = 0, zone: tzinfo | None = None) -> Path:
    """Collect the report and put it at `out` in one step: whoever opens it sees the old page or the new one.

    Links to logs are relative to where `out` lies; `state_dir/reports/` is the usual place. Returns `out`.
    """
    data = collect(reader, state_dir, since_ms)
    out.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    page = render_html(data, zone, root=os.path.relpath(state_dir, out.parent))
    fresh = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with fresh.open("w", encoding="utf-8", newline="\n") as file:
            fresh.chmod(0o600)
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(out)
    finally:
        fresh.unlink(missing_ok=True)
    return out


def render_html(data: ReportData, zone: tzinfo | None = None, root: str = "..") -> str:
    """Draw the page; `root` leads from where it will lie to the state directory. `zone` None: local time.

    The same data, zone and root give the same bytes.
    """
    css = (HERE / "report.css").read_text(encoding="utf-8")
    clock = Clock(data.now_ms, data.numbers.wall_ms, zone)
    when = cache(lambda ms: _when(clock, ms))
    return _template().render(
        data=data,
        picture=picture(data, zone),
        clock=clock,
        when=when,
        entry_rows=_entry_rows(data, when),
        evidence=evidence,
        css=Markup(css),  # noqa: S704 - our own file
        csp=_policy(css),
        root=root,
        version=__version__,
        anomalies=_by_kind(data),
        tiles=_tiles(data.numbers, data),
        spent=[(one, _spent_parts(one)) for one in data.spent],
        metered=data.numbers.metered != Usage(),
        spent_max=max((one.total_ms for one in data.spent), default=1) or 1,
    )


def _policy(css: str) -> str:
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def _template() -> jinja2.Template:
    """The compiled page; `finalize` makes every string it prints harmless before it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        finalize=_harmless,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": duration,
        "iso": iso,
        "lines": _lines,
        "link": _link,
        "count": count,
        "spent": spent,
    }
    environment.globals |= {
        "FIRST_SHOWN": FIRST_SHOWN,
        "WIDTH": WIDTH,
        "LEFT": LEFT,
        "RIGHT": RIGHT,
        "TRAIN_HEIGHT": TRAIN_HEIGHT,
        "CHAR_WIDTH": CHAR_WIDTH,
    }
    return environment.get_template("report.html.j2")


def _harmless(value: object) -> object:
    """What jinja prints: text is made printable, what the template itself made stays as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _lines(text: str) -> Markup:
    return escape(printable(text, keep_newlines=True))


def _when(clock: Clock, ms: int) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(iso(ms), clock(ms)) if ms else Markup("")


def evidence(source: Source) -> Markup:
    """Links to the entries a statement rests on. Made of numbers alone, thousands of times a page."""
    links = [f'<a href="#e{seq:d}">#{seq:d}</a>' for seq in source.seqs if seq and seq != source.train]
    if source.train:
        links.insert(0, f'<a href="#t{source.train:d}">train #{source.train:d}</a>')
    return Markup(f'<span class="src">{" ".join(links)}</span>')  # noqa: S704 - numbers only


def _entry_rows(data: ReportData, when: Callable[[int], Markup]) -> Markup:
    """The rows of the list of entries: the longest part of a page, so put together without the template."""
    shown = cache(lambda text: escape(printable(text)))
    return Markup("\n").join(
        Markup(  # noqa: S704 - each part is escaped or a number
            f'<tr id="e{one.seq:d}"><td>#{one.seq:d}</td><td>{when(one.at_ms)}</td><td>{shown(one.type)}</td>'
            f"<td>{shown(one.subject)}</td><td>{shown(one.actor)}</td></tr>"
        )
        for one in data.entries
    )


def _link(log: str, root: str) -> str:
    """The address of a file of the state directory; the `./` keeps a colon from being read as a scheme."""
    return quote(f"{root}/{log}" if root.startswith(("/", ".")) else f"./{root}/{log}", errors="replace")


def _by_kind(data: ReportData) -> list[tuple[str, list[object]]]:
    groups: dict[AnomalyKind, list[object]] = {}
    for one in data.anomalies:
        groups.setdefault(one.kind, []).append(one)
    return [(kind.value, found) for kind, found in groups.items()]


def _tiles(numbers: Numbers, data: ReportData) -> list[tuple[str, str, str]]:
    """Figure, what it counts, and where its evidence stands."""
    tiles = [
        (f"{numbers.landed:,} of {numbers.items:,}", "items landed", "#landed"),
        (duration(numbers.wall_ms), "from first to last", "#picture"),
        (duration(numbers.work_ms), f"work of {count(numbers.turns, 'turn')}", "#time"),
        (f"{numbers.checks:,}", f"checks run by ganger, {count(numbers.tests, 'test')}", "#trains"),
    ]
    busy_ms = numbers.wall_ms - numbers.paused_ms
    if numbers.work_ms and busy_ms > 0:
        tiles.insert(
            3, (f"{(numbers.work_ms + numbers.checking_ms) / busy_ms:.1f} ×", "one thing after another", "#picture")
        )
    return tiles


def _spent_parts(one: Spent) -> list[tuple[str, int, float, float]]:
    """Name, length, and where each part of an item's bar begins and how wide it is, in per cent of the whole."""
    parts = []
    at = 0.0
    for name in SPENT_PARTS:
        ms = int(getattr(one, f"{name}_ms"))
        width = round(100 * ms / (one.total_ms or 1), 2)
        if ms:
            parts.append((name, ms, round(at, 2), width))
        at += width
    return parts
