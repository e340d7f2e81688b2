"""What a shell command would write, as far as its text alone says so.

Only words that stand there as they are count: a word with a variable, a substitution or a wildcard in it is unknown,
and what is unknown is left to the jail. So nothing here is a wall; it tells an agent early what would be refused in the
end. Reading is total: any text gives a list of deeds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from itertools import islice

from msgspec import Struct

from ganger.drivers.hooks import patched

COMMAND_CHARS_MAX = 200_000
"""Of a longer command only so much is looked at: what comes after is left to the jail."""
DEEDS_MAX = 2_000
"""Of a command that does more only so much is looked at; one worker must not keep the gate from the others."""
NESTED_MAX = 4
"""How deep `sh -c` is followed."""


class How(StrEnum):
    """What is done to a path."""

    file = "file"
    """A file is written, made or removed."""
    tree = "tree"
    """It is removed or moved with all below it, should it be a directory."""
    into = "into"
    """A file is written there, or into it, should it be a directory."""
    directory = "directory"
    """A directory is made: no file of the repository changes by it."""


class Deed(Struct, frozen=True):
    """One thing that a command would do."""

    how: How
    path: str
    """As written, from the directory that `cd` led to; absolute or from where the command is run."""
    name: str = ""
    """With `into`: the last name of what is put there."""


class Forbidden(Struct, frozen=True):
    """Something no worker does; `reason` says why and what to do instead."""

    reason: str


class Word(Struct, frozen=True):
    """A word of a command; `known` when it is the text itself."""

    text: str
    known: bool = True


_OPENS, _CLOSES = [Word("(", known=False)], [Word(")", known=False)]
"""Stand for a command of their own where a subshell begins and ends: what it does with `cd` ends with it."""
_OPERATORS = re.compile(r"&>>|&>|[0-9]*(?:<<<|<<-?|<>|<&|>&|>>|>\||[<>])|\|\||\|&|&&|;;&|;;|;&|[;&|()\n]")
_WORD_END = frozenset(" \t\n;&|()<>")
_SEPARATORS = frozenset({"||", "|&", "&&", ";;&", ";;", ";&", ";", "&", "|", "(", ")", "\n"})
_SPACE_IN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_WILD = frozenset("*?[")


def deeds(command: str, nested: int = 0) -> Iterator[Deed | Forbidden]:
    """Yield what a command would do, in order."""
    yield from islice(_deeds(command, nested), DEEDS_MAX)


def _deeds(command: str, nested: int) -> Iterator[Deed | Forbidden]:
    cwd: str | None = ""
    outer: list[str | None] = []
    in_patches: tuple[str, ...] | None = None
    for words, targets in _simple_commands(_tokens(command[:COMMAND_CHARS_MAX])):
        if words == _OPENS:
            outer.append(cwd)
            continue
        if words == _CLOSES:
            cwd = outer.pop() if outer else None
            continue
        for target in targets:
            if target.known and not target.text.startswith("&"):
                yield from _at(cwd, Deed(How.file, target.text))
        words = _unwrapped(words)
        if not words or not words[0].known:
            continue
        name = words[0].text.rpartition("/")[2]
        if name in ("cd", "pushd"):
            cwd = _moved(cwd, words)
        elif name in _SHELLS and nested < NESTED_MAX:
            inner = _script(words)
            for deed in deeds(inner, nested + 1):
                yield from (deed,) if isinstance(deed, Forbidden) else _at(cwd, deed)
        elif name == "apply_patch":
            in_patches = patched(command) if in_patches is None else in_patches
            for path in in_patches:
                yield from _at(cwd, Deed(How.file, path))
        elif name == "git":
            for deed in _git(words[1:]):
                yield from (deed,) if isinstance(deed, Forbidden) else _at(cwd, deed)
        elif name in _WRITERS:
            for deed in _WRITERS[name](words[1:]):
                yield from _at(cwd, deed)


def _at(cwd: str | None, deed: Deed) -> Iterator[Deed]:
    """The deed as seen from where the command is run; nothing when nobody knows where that is."""
    if deed.path.startswith("/") or cwd == "":
        yield deed
    elif deed.path.startswith("~"):
        return
    elif cwd is not None:
        yield Deed(deed.how, f"{cwd}/{deed.path}", deed.name)


def _moved(cwd: str | None, words: list[Word]) -> str | None:
    """Where `cd` leads; None when nobody knows."""
    to = [word for word in words[1:] if word.text not in ("--", "-P", "-L")]
    if len(to) != 1 or not to[0].known or to[0].text.startswith(("~", "-")):
        return None
    if to[0].text.startswith("/") or cwd == "":
        return to[0].text
    return None if cwd is None else f"{cwd}/{to[0].text}"


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


class _Operator(Struct, frozen=True):
    text: str


def _tokens(text: str) -> Iterator[Word | _Operator]:
    """Cut a command into words and operators, leaving out comments and the bodies of here-documents."""
    at, waiting = 0, list[str]()
    expects_end = False
    while at < len(text):
        char = text[at]
        if char in " \t" or text.startswith("\\\n", at):
            at += 1 if char in " \t" else 2
        elif char == "#":
            at = _line_end(text, at)
        elif found := _OPERATORS.match(text, at):
            at = found.end()
            if found[0] == "\n" and waiting:
                at, waiting = _after_bodies(text, at, waiting), []
            expects_end = found[0].lstrip("0123456789") in ("<<", "<<-")
            yield _Operator(found[0])
        else:
            word, at = _word(text, at)
            if expects_end:
                waiting.append(word.text)
                expects_end = False
            yield word


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _after_bodies(text: str, at: int, ends: list[str]) -> int:
    for end in ends:
        while at < len(text):
            line_end = _line_end(text, at)
            line = text[at:line_end]
            at = line_end + 1
            if line.lstrip("\t") == end:
                break
    return min(at, len(text))


def _word(text: str, at: int) -> tuple[Word, int]:
    """Read one word; what the shell would put in its place makes it unknown."""
    parts: list[str] = []
    known = True
    begin = at
    while at < len(text) and text[at] not in _WORD_END:
        char = text[at]
        if char == "'":
            end = text.find("'", at + 1)
            end = len(text) if end < 0 else end
            parts.append(text[at + 1 : end])
            at = end + 1
        elif char == '"':
            piece, at, plain = _double_quoted(text, at + 1)
            parts.append(piece)
            known = known and plain
        elif char == "\\" and at + 1 < len(text):
            if text[at + 1] != "\n":
                parts.append(text[at + 1])
            at += 2
        elif char in "$`":
            known = False
            at = _substituted(text, at)
        else:
            known = known and char not in _WILD and not (char == "{" and at + 1 < len(text) and text[at + 1] != "}")
            known = known and not (char == "~" and at == begin)
            parts.append(char)
            at += 1
    return Word("".join(parts), known), max(at, begin + 1)


def _double_quoted(text: str, at: int) -> tuple[str, int, bool]:
    parts: list[str] = []
    plain = True
    while at < len(text) and text[at] != '"':
        char = text[at]
        if char == "\\" and at + 1 < len(text) and text[at + 1] in '"\\$`\n':
            parts.append("" if text[at + 1] == "\n" else text[at + 1])
            at += 2
        elif char in "$`":
            plain = False
            at = _substituted(text, at)
        else:
            parts.append(char)
            at += 1
    return "".join(parts), at + 1, plain


def _substituted(text: str, at: int) -> int:
    """Where a substitution that begins here ends."""
    if text[at] == "`":
        end = text.find("`", at + 1)
        return len(text) if end < 0 else end + 1
    if text.startswith(("$(", "${"), at):
        closes = ")" if text[at + 1] == "(" else "}"
        depth, opens = 1, text[at + 1]
        at += 2
        while at < len(text) and depth:
            depth += (text[at] == opens) - (text[at] == closes)
            at += 1
        return at
    return at + 1


def _simple_commands(tokens: Iterator[Word | _Operator]) -> Iterator[tuple[list[Word], list[Word]]]:
    """Yield each simple command: its words, and the files it is redirected to."""
    words: list[Word] = []
    targets: list[Word] = []
    pending = ""
    for token in tokens:
        if isinstance(token, Word):
            if not pending:
                words.append(token)
            elif ">" in pending and not (pending.endswith("&") and _is_handle(token.text)):
                targets.append(token)
            pending = ""
        elif token.text in _SEPARATORS:
            if words or targets:
                yield words, targets
            words, targets, pending = [], [], ""
            if token.text in ("(", ")"):
                yield _OPENS if token.text == "(" else _CLOSES, []
        else:
            pending = token.text.lstrip("0123456789")
    if words or targets:
        yield words, targets


def _is_handle(text: str) -> bool:
    return text == "-" or text.isdecimal()


_RESERVED = frozenset({"if", "then", "elif", "else", "while", "until", "do", "!", "{", "coproc"})
_PREFIXES: Mapping[str, frozenset[str]] = {
    "sudo": frozenset({"-u", "-g", "-C", "-D", "-h", "-p"}),
    "doas": frozenset({"-u"}),
    "env": frozenset({"-u", "-C", "-S"}),
    "nice": frozenset({"-n"}),
    "timeout": frozenset({"-k", "-s"}),
    "stdbuf": frozenset({"-i", "-o", "-e"}),
    "ionice": frozenset({"-c", "-n"}),
    "xargs": frozenset({"-a", "-d", "-E", "-I", "-L", "-n", "-P", "-s"}),
    **{name: frozenset() for name in ("command", "builtin", "busybox", "exec", "nohup", "setsid", "time", "xvfb-run")},
}
"""Commands that run another one, with those of their options that take a value."""


def _unwrapped(words: list[Word]) -> list[Word]:
    """The command without assignments, reserved words, and commands that only run it."""
    at = 0
    while at < len(words):
        text = words[at].text
        if text in _RESERVED or _SPACE_IN_NAME.match(text):
            at += 1
        elif words[at].known and text.rpartition("/")[2] in _PREFIXES:
            name = text.rpartition("/")[2]
            at = _past_options(words, at + 1, _PREFIXES[name])
            at += name == "timeout"
        else:
            break
    return words[at:]


def _past_options(words: list[Word], at: int, valued: frozenset[str]) -> int:
    while at < len(words) and words[at].text.startswith("-"):
        at += 2 if words[at].text in valued else 1
    return at


_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "eval"})


def _script(words: list[Word]) -> str:
    """The text that a shell is given to run; empty when there is none, or nobody knows it."""
    if words[0].text == "eval":
        return " ".join(word.text for word in words[1:]) if all(word.known for word in words[1:]) else ""
    is_text = skips = False
    for word in words[1:]:
        if skips:
            skips = False
        elif word.text.startswith("--"):
            skips = word.text in ("--rcfile", "--init-file")
        elif word.text.startswith(("-", "+")):
            is_text = is_text or (word.text[0] == "-" and "c" in word.text)
            skips = word.text[-1] in "oO"
        else:
            return word.text if is_text and word.known else ""
    return ""


# ── what commands write ──────────────────────────────────────────────────────────────────────────────────────────


def _operands(words: list[Word], valued: str = "") -> list[Word]:
    """What is no option; `valued` are the letters of short options that take a value."""
    found: list[Word] = []
    skip = only = False
    for word in words:
        if skip:
            skip = False
        elif only or not word.text.startswith("-") or word.text == "-":
            found.append(word)
        elif word.text == "--":
            only = True
        elif not word.text.startswith("--") and word.text[-1] in valued:
            skip = True
    return found


def _all(how: How, valued: str = "") -> Callable[[list[Word]], Iterator[Deed]]:
    def writes(words: list[Word]) -> Iterator[Deed]:
        return (Deed(how, word.text) for word in _operands(words, valued) if word.known)

    return writes


def _beyond_first(how: How) -> Callable[[list[Word]], Iterator[Deed]]:
    def writes(words: list[Word]) -> Iterator[Deed]:
        return (Deed(how, word.text) for word in _operands(words)[1:] if word.known)

    return writes


def _put(takes_away: bool) -> Callable[[list[Word]], Iterator[Deed]]:
    """`cp`, `mv`, `ln`, `install`: into the last operand, or into the directory of `-t`."""

    def writes(words: list[Word]) -> Iterator[Deed]:
        into, rest = _directory_option(words)
        operands = _operands(rest, "Sgmo")
        if into is None and len(operands) < 2:
            return
        sources = operands if into is not None else operands[:-1]
        target = into if into is not None else operands[-1]
        for source in sources:
            if takes_away and source.known:
                yield Deed(How.tree, source.text)
            if target.known:
                name = source.text.rstrip("/").rpartition("/")[2] if source.known else ""
                yield Deed(How.into, target.text, name)

    return writes


def _directory_option(words: list[Word]) -> tuple[Word | None, list[Word]]:
    for number, word in enumerate(words):
        if word.text in ("-t", "--target-directory") and number + 1 < len(words):
            return words[number + 1], [*words[:number], *words[number + 2 :]]
        if word.text.startswith("--target-directory="):
            name = word.text.partition("=")[2]
            return Word(name, word.known), [*words[:number], *words[number + 1 :]]
    return None, words


def _sed(words: list[Word]) -> Iterator[Deed]:
    if not any(re.match(r"-[nrEsuz]*i|--in-place", word.text) for word in words):
        return
    scripted = any(word.text in ("-e", "-f") or word.text.startswith("--expression") for word in words)
    yield from (Deed(How.file, word.text) for word in _operands(words, "ef")[0 if scripted else 1 :] if word.known)


def _perl(words: list[Word]) -> Iterator[Deed]:
    if any(re.match(r"-[pnlaw0]*i", word.text) for word in words):
        yield from (Deed(How.file, word.text) for word in _operands(words, "eE") if word.known)


def _dd(words: list[Word]) -> Iterator[Deed]:
    for word in words:
        if word.known and word.text.startswith("of="):
            yield Deed(How.file, word.text[3:])


def _output_option(words: list[Word]) -> Iterator[Deed]:
    """`curl -o`, `sort -o`, `wget -O`."""
    for word, after in zip(words, [*words[1:], Word("", known=False)], strict=True):
        if word.text in ("-o", "-O", "--output", "--output-document") and after.known:
            yield Deed(How.file, after.text)
        elif word.known and word.text.startswith(("--output=", "--output-document=")):
            yield Deed(How.file, word.text.partition("=")[2])


_WRITERS: Mapping[str, Callable[[list[Word]], Iterator[Deed]]] = {
    **{name: _all(How.tree) for name in ("rm", "rmdir")},
    **{name: _all(How.file) for name in ("unlink", "shred", "tee")},
    "touch": _all(How.file, "drt"),
    "truncate": _all(How.file, "sr"),
    "mkdir": _all(How.directory, "m"),
    **{name: _beyond_first(How.tree) for name in ("chmod", "chown", "chgrp")},
    "mv": _put(takes_away=True),
    **{name: _put(takes_away=False) for name in ("cp", "ln", "install")},
    "sed": _sed,
    "perl": _perl,
    "dd": _dd,
    **dict.fromkeys(("curl", "wget", "sort"), _output_option),
}

_GIT_VALUED = frozenset({"-c", "--git-dir", "--work-tree", "--namespace", "--exec-path"})
_GIT_WRITES: Mapping[str, Callable[[list[Word]], Iterator[Deed]]] = {
    "rm": _all(How.tree),
    "mv": _put(takes_away=True),
}
_NO_PUSH = "nothing is pushed from a workspace: commit, and ganger fetches your branch itself"
_NO_REMOTES = "remotes of a workspace stay as they are: commit, and ganger fetches your branch itself"
_NO_CONFIG = "git's configuration and hooks stay as they are; pass -c NAME=VALUE where you need one"
_NO_LINKS = "this would tie the workspace to another place: work in the one you were given"


def _git(words: list[Word]) -> Iterator[Deed | Forbidden]:
    at, where = 0, ""
    while at < len(words) and words[at].text.startswith("-"):
        if words[at].text == "-C" and at + 1 < len(words):
            where = words[at + 1].text if words[at + 1].known else "\0"
            at += 2
        else:
            at += 2 if words[at].text in _GIT_VALUED else 1
    if at >= len(words) or not words[at].known:
        return
    verb, rest = words[at].text, words[at + 1 :]
    if reason := _git_forbids(verb, rest):
        yield Forbidden(reason)
    elif verb in _GIT_WRITES and where != "\0":
        for deed in _GIT_WRITES[verb](rest):
            yield Deed(deed.how, f"{where}/{deed.path}" if where else deed.path, deed.name)


def _git_forbids(verb: str, rest: list[Word]) -> str:
    texts = [word.text for word in rest]
    if verb in ("push", "send-pack", "send-email", "http-push"):
        return _NO_PUSH
    if verb == "remote":
        changing = {"add", "remove", "rm", "rename", "set-url", "set-head", "set-branches", "prune", "update"}
        return _NO_REMOTES if changing & set(texts) else ""
    if verb == "config":
        reading = {
            "--get",
            "--get-all",
            "--get-regexp",
            "--list",
            "-l",
            "get",
            "list",
            "--get-urlmatch",
            "--show-origin",
        }
        values = [text for text in texts if not text.startswith("-")]
        return "" if reading & set(texts) or (len(values) < 2 and "--unset" not in texts) else _NO_CONFIG
    if verb == "worktree":
        return _NO_LINKS if "add" in texts else ""
    if verb == "submodule":
        return _NO_LINKS if {"add", "set-url", "update", "init"} & set(texts) else ""
    return ""
