"""What a shell command would write, as far as its text alone says so.

Only words that stand there as they are count: a word with a variable, a substitution or a wildcard in it is unknown,
and what is unknown is left to the jail. What a substitution runs, and what a shell is handed on its input, stands
there too. So nothing here is a wall; it tells an agent early what would be refused in the end. Reading is total: any
text gives a list of deeds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from functools import lru_cache
from itertools import islice

from msgspec import Struct

from ganger.drivers.hooks import patched

COMMAND_CHARS_MAX = 200_000
"""Of a longer command only so much is looked at: what comes after is left to the jail."""
DEEDS_MAX = 2_000
"""Of a command that does more only so much is looked at; one worker must not keep the gate from the others."""
NESTED_MAX = 4
"""How deep `sh -c`, substitutions and `env` are followed."""


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
    runs: tuple[str, ...] = ()
    """The commands of the substitutions in it."""


class _Simple(Struct, frozen=True):
    """A simple command; without words where only something ends."""

    words: list[Word]
    targets: list[Word]
    """What it is redirected to."""
    fed: list[str]
    """Texts on its standard input."""
    end: str
    """The operator behind it."""


_OPERATORS = re.compile(r"&>>|&>|[0-9]*(?:<<<|<<-?|<>|<&|>&|>>|>\||[<>])|\|\||\|&|&&|;;&|;;|;&|[;&|()\n]")
_NO_COMMANDS = re.compile(r"\(\((?:[^()\n]|\([^()\n]*\))*\)\)|\[\[\s[^\n]{0,400}?\s\]\](?=\s|[;&|)]|$)")
"""Where `>` compares: arithmetic and tests."""
_WORD_END = frozenset(" \t\n;&|()<>")
_SEPARATORS = frozenset({"||", "|&", "&&", ";;&", ";;", ";&", ";", "&", "|", "(", ")", "\n"})
_SPACE_IN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_WILD = frozenset("*?[")


def deeds(command: str, nested: int = 0) -> Iterator[Deed | Forbidden]:
    """Yield what a command would do, in order."""
    yield from islice(_deeds(command, nested), DEEDS_MAX)


def _deeds(command: str, nested: int) -> Iterator[Deed | Forbidden]:
    place = _Place()
    patches = lru_cache(1)(lambda: patched(command))
    for simple in _simple_commands(_tokens(command[:COMMAND_CHARS_MAX])):
        cwd = place.cwd
        for word in (*simple.words, *simple.targets):
            for inner in word.runs:
                yield from _within(cwd, inner, nested)
        for target in simple.targets:
            if target.known and not target.text.startswith("&"):
                yield from _at(cwd, Deed(How.file, target.text))
        words, where = _unwrapped(simple.words)
        if words and words[0].known:
            name = words[0].text.rpartition("/")[2]
            if name in ("cd", "pushd"):
                place.cwd = _moved(cwd, words)
            else:
                for deed in _of_command(name, words, simple.fed, nested, patches):
                    yield from _at(cwd if where is None else _moved(cwd, [words[0], where]), deed)
        place.end(simple.end, cwd)


class _Place:
    """Where commands run: what `cd` does in a subshell, a pipe or the background ends with that."""

    def __init__(self) -> None:
        self.cwd: str | None = ""
        """From where it all is run; None when nobody knows."""
        self._first: str | None = ""
        """At the beginning of the list that `&` would send to the background."""
        self._outer: list[tuple[str | None, str | None]] = []
        self._in_pipe = False

    def end(self, operator: str, before: str | None) -> None:
        """Go on behind a command that was run in `before`."""
        is_piped = operator in ("|", "|&")
        if is_piped or self._in_pipe:
            self.cwd = before
        self._in_pipe = is_piped
        if operator == "(":
            self._outer.append((self.cwd, self._first))
            self._first = self.cwd
        elif operator == ")":
            # One that closes nothing ends a pattern of `case`.
            self.cwd, self._first = self._outer.pop() if self._outer else (self.cwd, self._first)
        elif operator == "&":
            self.cwd = self._first
        elif not is_piped and operator not in ("&&", "||"):
            self._first = self.cwd


def _within(cwd: str | None, script: str, nested: int) -> Iterator[Deed | Forbidden]:
    """What a script does that is run by a command in `cwd`."""
    if nested < NESTED_MAX:
        for deed in deeds(script, nested + 1):
            yield from _at(cwd, deed)


def _of_command(
    name: str, words: list[Word], fed: list[str], nested: int, patches: Callable[[], tuple[str, ...]]
) -> Iterator[Deed | Forbidden]:
    """What one command does; `patches` are the files of all patches around."""
    if name in _SHELLS:
        for script in [_script(words)] if name == "eval" or not _reads_input(words) else fed:
            yield from _within("", script, nested)
    elif name == "apply_patch" or (name == "patch" and not _only_looks(words)):
        yield from (Deed(How.file, path) for path in patches())
        if name == "patch":
            yield from (Deed(How.file, word.text) for word in _operands(words[1:], "pidoBDFgrVYz")[:1] if word.known)
    elif name == "git":
        yield from _git(words[1:], patches)
    elif name in _WRITERS:
        yield from _WRITERS[name](words[1:])


def _only_looks(words: list[Word]) -> bool:
    """Whether a patch is only tried, or counted."""
    return not {"--dry-run", "--check", "--stat", "--numstat", "--summary"}.isdisjoint(word.text for word in words)


def _at(cwd: str | None, deed: Deed | Forbidden) -> Iterator[Deed | Forbidden]:
    """The deed as seen from where the command is run; nothing when nobody knows where that is."""
    if isinstance(deed, Forbidden) or deed.path.startswith("/") or cwd == "":
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


class _Body(Struct, frozen=True):
    """A here-document."""

    text: str


def _tokens(text: str) -> Iterator[Word | _Operator | _Body]:
    """Cut a command into words, operators and here-documents, leaving out comments, arithmetic and tests."""
    at, waiting = 0, list[str]()
    expects_end = False
    while at < len(text):
        char = text[at]
        if char in " \t" or text.startswith("\\\n", at):
            at += 1 if char in " \t" else 2
        elif char == "#":
            at = _line_end(text, at)
        elif found := _NO_COMMANDS.match(text, at):
            at = found.end()
        elif found := _OPERATORS.match(text, at):
            at = found.end()
            if found[0] == "\n" and waiting:
                begin, (at, waiting) = at, (_after_bodies(text, at, waiting), [])
                yield _Body(text[begin:at])
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
    runs: list[str] = []
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
            piece, at, plain = _double_quoted(text, at + 1, runs)
            parts.append(piece)
            known = known and plain
        elif char == "\\" and at + 1 < len(text):
            if text[at + 1] != "\n":
                parts.append(text[at + 1])
            at += 2
        elif char in "$`":
            known = False
            at = _substituted(text, at, runs)
        else:
            known = known and char not in _WILD and not (char == "{" and at + 1 < len(text) and text[at + 1] != "}")
            known = known and not (char == "~" and at == begin)
            parts.append(char)
            at += 1
    return Word("".join(parts), known, tuple(runs)), max(at, begin + 1)


def _double_quoted(text: str, at: int, runs: list[str]) -> tuple[str, int, bool]:
    parts: list[str] = []
    plain = True
    while at < len(text) and text[at] != '"':
        char = text[at]
        if char == "\\" and at + 1 < len(text) and text[at + 1] in '"\\$`\n':
            parts.append("" if text[at + 1] == "\n" else text[at + 1])
            at += 2
        elif char in "$`":
            plain = False
            at = _substituted(text, at, runs)
        else:
            parts.append(char)
            at += 1
    return "".join(parts), at + 1, plain


def _substituted(text: str, at: int, runs: list[str]) -> int:
    """Where a substitution that begins here ends; what it runs is added to `runs`."""
    begin = at
    if text[at] == "`":
        end = text.find("`", at + 1)
        runs.append(text[at + 1 :] if end < 0 else text[at + 1 : end])
        return len(text) if end < 0 else end + 1
    if text.startswith(("$(", "${"), at):
        closes = ")" if text[at + 1] == "(" else "}"
        depth, opens = 1, text[at + 1]
        at += 2
        while at < len(text) and depth:
            depth += (text[at] == opens) - (text[at] == closes)
            at += 1
        if opens == "(" and not text.startswith("$((", begin):
            runs.append(text[begin + 2 : at - 1] if depth == 0 else text[begin + 2 :])
        return at
    return at + 1


def _simple_commands(tokens: Iterator[Word | _Operator | _Body]) -> Iterator[_Simple]:
    """Yield each simple command, and each end without one."""
    words: list[Word] = []
    targets: list[Word] = []
    fed: list[str] = []
    pending = ""
    for token in tokens:
        if isinstance(token, _Body):
            fed.append(token.text)
        elif isinstance(token, Word):
            if not pending:
                words.append(token)
            elif ">" in pending and not (pending.endswith("&") and _is_handle(token.text)):
                targets.append(token)
            elif pending == "<<<" and token.known:
                fed.append(token.text)
            pending = ""
        elif token.text in _SEPARATORS:
            yield _Simple(words, targets, fed, token.text)
            words, targets, fed, pending = [], [], [], ""
        else:
            pending = token.text.lstrip("0123456789")
    yield _Simple(words, targets, fed, "")


def _is_handle(text: str) -> bool:
    return text == "-" or text.isdecimal()


_RESERVED = frozenset({"if", "then", "elif", "else", "while", "until", "do", "!", "{", "coproc"})
_OF_ENV = re.compile(r"(?:(-[CSu])|(-[i0v]+|-|--[a-z-]+))(?:(?<!-)=?(.*))?", re.S)
"""An option of `env`: its name, and the value in the same word."""
_PREFIXES: Mapping[str, frozenset[str]] = {
    "sudo": frozenset({"-u", "-g", "-C", "-D", "-h", "-p"}),
    "doas": frozenset({"-u"}),
    "nice": frozenset({"-n"}),
    "timeout": frozenset({"-k", "-s"}),
    "stdbuf": frozenset({"-i", "-o", "-e"}),
    "ionice": frozenset({"-c", "-n"}),
    "xargs": frozenset({"-a", "-d", "-E", "-I", "-L", "-n", "-P", "-s"}),
    **{name: frozenset() for name in ("command", "builtin", "busybox", "exec", "nohup", "setsid", "time", "xvfb-run")},
}
"""Commands that run another one, with those of their options that take a value."""


def _unwrapped(words: list[Word]) -> tuple[list[Word], Word | None]:
    """The command without assignments, reserved words, and commands that only run it; and the folder they go to."""
    at, where, envs = 0, None, 0
    while at < len(words):
        text = words[at].text
        if text in _RESERVED or _SPACE_IN_NAME.match(text):
            at += 1
        elif text == "function":
            at += 2
        elif words[at].known and text.rpartition("/")[2] == "env" and envs < NESTED_MAX:
            envs += 1
            words, at, where = _past_env(words, at + 1, where)
        elif words[at].known and text.rpartition("/")[2] in _PREFIXES:
            name = text.rpartition("/")[2]
            at = _past_options(words, at + 1, _PREFIXES[name])
            at += name == "timeout"
        else:
            break
    return words[at:], where


def _past_env(words: list[Word], at: int, where: Word | None) -> tuple[list[Word], int, Word | None]:
    """The words with what `-S` holds in its place, where the options of `env` end in them, and where `-C` leads."""
    while at < len(words) and (found := _OF_ENV.fullmatch(words[at].text)):
        name, value, known, used = found[1] or found[2], found[3], words[at].known, 1
        if name in ("-C", "--chdir", "-S", "--split-string", "-u", "--unset") and not value:
            if at + 1 == len(words):
                break
            value, known, used = words[at + 1].text, words[at + 1].known, 2
        if name in ("-S", "--split-string"):
            held = [one for one in _tokens(value) if isinstance(one, Word)] if known else [Word("", known=False)]
            words, used = [*words[:at], *held, *words[at + used :]], 0
        elif name in ("-C", "--chdir"):
            where = Word(value, known)
        at += used
        if not used:
            break
    return words, at, where


def _past_options(words: list[Word], at: int, valued: frozenset[str]) -> int:
    while at < len(words) and words[at].text.startswith("-"):
        at += 2 if words[at].text in valued else 1
    return at


_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "eval"})


def _script(words: list[Word]) -> str:
    """The text that a shell is given to run; empty when there is none, or nobody knows it."""
    if words[0].text == "eval":
        return " ".join(word.text for word in words[1:]) if all(word.known for word in words[1:]) else ""
    operand, options = _operand_of_shell(words)
    return operand.text if operand is not None and operand.known and "c" in options else ""


def _reads_input(words: list[Word]) -> bool:
    """Whether a shell runs what is on its standard input."""
    operand, options = _operand_of_shell(words)
    return (operand is None or "s" in options) and "c" not in options


def _operand_of_shell(words: list[Word]) -> tuple[Word | None, str]:
    """The first word that is no option, and the letters of the options before it."""
    letters = ""
    skips = False
    for word in words[1:]:
        if skips:
            skips = False
        elif word.text.startswith("--"):
            skips = word.text in ("--rcfile", "--init-file")
        elif word.text.startswith(("-", "+")):
            letters += word.text[1:] if word.text[0] == "-" else ""
            skips = word.text[-1] in "oO"
        else:
            return word, letters
    return None, letters


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


_INTO = re.compile(r"(?:-[abcCdDfilnpPrRsuvxHL]*t|--target-directory(?:=|$))(.*)", re.S)


def _directory_option(words: list[Word]) -> tuple[Word | None, list[Word]]:
    for number, word in enumerate(words):
        found = _INTO.fullmatch(word.text)
        if found is not None and found[1]:
            return Word(found[1], word.known), [*words[:number], *words[number + 1 :]]
        if found is not None and number + 1 < len(words):
            return words[number + 1], [*words[:number], *words[number + 2 :]]
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


def _output(short: str) -> Callable[[list[Word]], Iterator[Deed]]:
    """`curl -o`, `sort -o`, `wget -O`: `short` is that option, behind letters of others that take no value."""
    option = re.compile(rf"(?:-{short}|--output(?:-document)?(?:=|$))(.*)", re.S)

    def writes(words: list[Word]) -> Iterator[Deed]:
        for word, after in zip(words, [*words[1:], Word("", known=False)], strict=True):
            if found := option.fullmatch(word.text):
                name = Word(found[1], word.known) if found[1] else after
                if name.known and name.text != "-":
                    yield Deed(How.file, name.text)

    return writes


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
    "curl": _output("[#0246fgiIjkLnNqRsSvZ]*o"),
    "wget": _output("[46cdNnqrSvx]*O"),
    "sort": _output("[bCcdfghiMmnRrsuVz]*o"),
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


def _git(words: list[Word], patches: Callable[[], tuple[str, ...]]) -> Iterator[Deed | Forbidden]:
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
    elif verb == "apply" and not where and not _only_looks(rest):
        yield from (Deed(How.file, path) for path in patches())
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
        changing = {"--unset", "--unset-all", "--remove-section", "--rename-section", "--edit", "-e", "edit"}
        values = [text for text in texts if not text.startswith("-")]
        return "" if reading & set(texts) or (len(values) < 2 and not changing & set(texts)) else _NO_CONFIG
    if verb == "worktree":
        return _NO_LINKS if "add" in texts else ""
    if verb == "submodule":
        return _NO_LINKS if {"add", "set-url", "update", "init"} & set(texts) else ""
    return ""
