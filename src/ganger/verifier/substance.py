"""Whether a change changes anything that runs, and whether it is what it looks like; from its contents alone."""

from __future__ import annotations

import ast
import posixpath
import re
import sys
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeGuard

from msgspec import Struct

from ganger.core.model import ItemSpec
from ganger.core.patterns import PathRules, scope_matches
from ganger.git.changes import ABSENT_MODE, Change
from ganger.verifier.containment import named

DOCS = ("**/*.{md,markdown,rst,adoc}", "{docs,doc}/**", "**/{LICENSE,COPYING,AUTHORS,NOTICE}{,.txt}")
_LINK, _SUBMODULE = "120000", "160000"
_PYTHON = (".py", ".pyi")
_C_LIKE = frozenset(
    {
        *(".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".jsx", ".tsx", ".go", ".rs", ".java", ".kt", ".c", ".h"),
        *(".cc", ".cpp", ".hpp", ".cs", ".swift", ".scala", ".php", ".css", ".scss"),
    }
)
_HASH_LIKE = frozenset({".sh", ".bash", ".rb", ".pl", ".toml", ".ini", ".cfg", ".mk", ".r"})
_IMPORT_ROOTS = ("", "src", "lib")


class Diff(Struct, frozen=True):
    """What differs between a base and a candidate, as far as it can be read."""

    changes: tuple[Change, ...]
    before: Mapping[str, bytes]
    after: Mapping[str, bytes]
    """Contents of changed files by path; one that is not there, or too large, is in neither."""


def faults(
    spec: ItemSpec, diff: Diff, paths: Collection[str], is_test: Callable[[str], bool], rules: PathRules
) -> tuple[str, ...]:
    """Say what is wrong with a change, a line each; `paths` are all of the candidate's, in their text form.

    A link or submodule, a reach into the process, or a question about it, in a file that the scope names letter by
    letter is the person's wish.
    """
    wanted = {text.lstrip("/") for text in spec.scope}
    return (
        *_swapped(change for change in diff.changes if change.path not in wanted),
        *_twins(diff.changes, paths),
        *_shadowing(diff.changes, paths, is_test),
        *_always_equal(diff),
        *_reaching(diff, wanted),
        *_asking(diff, wanted, is_test),
        *_without_substance(spec, diff, rules),
    )


# ── what is put in the place of files ──


def _swapped(all_changes: Iterable[Change]) -> tuple[str, ...]:
    changes, found = list(all_changes), []
    submodules = [change.path for change in changes if _SUBMODULE in (change.old_mode, change.new_mode)]
    if submodules:
        found.append(f"puts a submodule in, changes one, or takes one out: {named(submodules)}")
    links = [c.path for c in changes if c.new_mode == _LINK and c.old_mode not in (_LINK, ABSENT_MODE)]
    if links:
        found.append(f"puts a symbolic link in the place of a file: {named(links)}")
    files = [c.path for c in changes if c.old_mode == _LINK and c.new_mode not in (_LINK, ABSENT_MODE, _SUBMODULE)]
    if files:
        found.append(f"puts a file in the place of a symbolic link: {named(files)}")
    new = [c.path for c in changes if c.new_mode == _LINK and c.path not in links]
    if new:
        found.append(f"adds or moves a symbolic link: {named(new)}")
    return tuple(found)


def _twins(changes: Iterable[Change], paths: Collection[str]) -> tuple[str, ...]:
    """Find names that some file system takes for one: by case, or by how their letters are composed."""
    added = [change.path for change in changes if change.old_mode == ABSENT_MODE]
    if not added:
        return ()
    count = Counter(prefix for path in paths for prefix in {_folded(path)})
    folders: dict[str, set[str]] = {}
    for path in paths:
        for parent in _parents(path):
            folders.setdefault(_folded(parent), set()).add(parent)
    twins = [path for path in added if count[_folded(path)] > 1]
    twins += [
        path
        for path in added
        if path not in twins and any(len(folders.get(_folded(parent), ())) > 1 for parent in _parents(path))
    ]
    return (f"adds a path that differs from another only by case or composition: {named(twins)}",) if twins else ()


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: number + 1]) for number in range(len(parts))]


def _shadowing(changes: Iterable[Change], paths: Collection[str], is_test: Callable[[str], bool]) -> tuple[str, ...]:
    """Find added modules that Python would import instead of its own: where imports begin, named like one of those."""
    found = []
    known = set(paths)
    for change in changes:
        if change.old_mode != ABSENT_MODE:
            continue
        folder, name = posixpath.split(change.path)
        if name == "__init__.py":
            folder, name = posixpath.split(folder)
        module = name.partition(".")[0]
        if not change.path.endswith((".py", ".so", ".pyd", ".pyc")) or module not in sys.stdlib_module_names:
            continue
        if folder in _IMPORT_ROOTS or (is_test(change.path) and f"{folder}/__init__.py" not in known):
            found.append(f"{change.path} ({module})")
    return (f"adds a module that would be imported in the place of Python's own: {named(found)}",) if found else ()


def _always_equal(diff: Diff) -> tuple[str, ...]:
    found = []
    for path, content in diff.after.items():
        if path.endswith(_PYTHON):
            before = {name for name, _ in _equal_to_all(diff.before.get(path, b""))}
            found += [f"{name} at {path}:{line}" for name, line in _equal_to_all(content) if name not in before]
    return (f"compares equal to everything, which deceives any assertion: {named(found)}",) if found else ()


def _equal_to_all(content: bytes) -> list[tuple[str, int]]:
    if b"__eq__" not in content and b"__ne__" not in content:
        return []
    tree = _parsed(content)
    found = []
    for one in ast.walk(tree) if tree is not None else ():
        if not isinstance(one, ast.ClassDef):
            continue
        for inner in one.body:
            name, always = _constant_answer(inner)
            if (name, always) in (("__eq__", True), ("__ne__", False)):
                found.append((f"{one.name}.{name}", inner.lineno))
    return found


def _constant_answer(node: ast.stmt) -> tuple[str, object]:
    """The name of a method, and the one value that it returns whatever it is given; None when it is no such method."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        value = node.value
        inner = value.body if isinstance(value, ast.Lambda) else None
        return node.targets[0].id, _truth(inner)
    if not isinstance(node, ast.FunctionDef):
        return "", None
    returned = [one.value for one in ast.walk(node) if isinstance(one, ast.Return)]
    values = {_truth(value) for value in returned}
    return node.name, values.pop() if len(values) == 1 else None


def _truth(node: ast.expr | None) -> object:
    """The truth of an expression that is the same whatever it is given; None where that is not plain."""
    if isinstance(node, ast.Constant) and node.value is not NotImplemented:
        return bool(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _truth(node.operand)
        return None if inner is None else not inner
    return None


# ── what only those need who want to get at the process that tests them ──

_REACHES = {
    "gc": frozenset({"get_objects", "get_referents", "get_referrers"}),
    "sys": frozenset({"meta_path", "path_hooks", "setprofile", "settrace"}),
    "ctypes": frozenset({"pythonapi"}),
    "os": frozenset({"_exit"}),
}
_INSIDES = frozenset({"__closure__", "__code__", "__globals__"})
_RUNNERS = frozenset({"_pytest", "pluggy", "sitecustomize"})


def _reaching(diff: Diff, wanted: Collection[str]) -> tuple[str, ...]:
    found = []
    for path, content in diff.after.items():
        if path.endswith(_PYTHON) and path not in wanted:
            before = {name for name, _ in _reaches(diff.before.get(path, b""))}
            found += [f"{name} at {path}:{line}" for name, line in _reaches(content) if name not in before]
    return (f"reaches into the process that tests it: {named(found)}",) if found else ()


def _reaches(content: bytes) -> list[tuple[str, int]]:
    """List what of the interpreter's and the test runner's own insides a file names, with lines, in order."""
    tree = _parsed(content)
    found = []
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr in _REACHES.get(owner, ()) or node.attr in _INSIDES:
                found.append((f"{owner}.{node.attr}".lstrip("."), node.lineno))
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names if alias.name in _REACHES.get(node.module or "", ())]
            found += [(f"{node.module}.{name}", node.lineno) for name in names]
            if (node.module or "").partition(".")[0] in _RUNNERS:
                found.append((f"import of {node.module}", node.lineno))
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.partition(".")[0] in _RUNNERS]
            found += [(f"import of {name}", node.lineno) for name in names]
        elif isinstance(node, ast.Constant) and node.value in ("__eq__", "__code__", "__globals__", "__closure__"):
            found.append((f'"{node.value}"', node.lineno))
    return found


# ── what a product asks that is to behave otherwise while it is tested ──

_MARKS = re.compile(
    rb"""(?x) \b(?: PYTEST_(?:CURRENT_TEST|VERSION|XDIST_WORKER|RUN_CONFIG|ADDOPTS) | GANGER_(?:SEEN|GUARD)
    | NODE_TEST_CONTEXT | JEST_WORKER_ID | VITEST(?:_WORKER_ID|_POOL_ID)? | NODE_V8_COVERAGE | RUST_TEST_THREADS
    | CARGO_TARGET_TMPDIR | NEXTEST(?:_RUN_ID)? )\b
    | \btesting\.Testing\(\) | \bflag\.Lookup\(\s*["`]test\. | ["'`]-?-?test\.(?:v|run|timeout|paniconexit0)\b
    | HasSuffix\([^)\n]*,\s*["`]\.test["`]\s*\) | \bcfg!\(\s*test\s*\)
    | (?:process\.argv|process\.execArgv|execArgv)[^;\n]*["'`]--test\b """
)
"""Names by which a program can tell that a test runner runs it."""
_LOADED = frozenset({"pytest", "_pytest", "unittest", "unittest.case", "unittest.main", "nose2", "xdist", "pluggy"})
_LOADERS = frozenset({"modules", "argv", "orig_argv", "getLoader", "stack", "find_spec"})

_TELLING = frozenset({"get", "endswith", "startswith", "count", "find", "index", "search", "match", "__contains__"})
"""Methods whose answer depends on what they are given."""


def _asking(diff: Diff, wanted: Collection[str], is_test: Callable[[str], bool]) -> tuple[str, ...]:
    found = []
    for path, content in diff.after.items():
        suffix = posixpath.splitext(path)[1].lower()
        if (suffix in _C_LIKE or suffix in _PYTHON) and path not in wanted and not is_test(path):
            before = {name for name, _ in _asked(suffix, diff.before.get(path, b""))}
            found += [f"{name} at {path}:{line}" for name, line in _asked(suffix, content) if name not in before]
    return (f"asks whether it is tested: {named(found)}",) if found else ()


def _asked(suffix: str, content: bytes) -> list[tuple[str, int]]:
    """List by what a file asks whether a test runner runs it, with lines; comments do not ask."""
    if suffix in _PYTHON:
        return _asked_by_python(content)
    found = []
    for number, row in enumerate(content.splitlines(), 1):
        for match in _MARKS.finditer(row.partition(b"//")[0]):
            found.append((match[0].decode("utf-8", "replace").strip(), number))
    return found


def _asked_by_python(content: bytes) -> list[tuple[str, int]]:
    if not any(word in content for word in (b"pytest", b"PYTEST", b"unittest", b"GANGER", b"NEXTEST", b"nose2")):
        return []
    tree = _parsed(content)
    found = []
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _MARKS.fullmatch(node.value.encode()):
            found.append((node.value, node.lineno))
        elif _may_ask(node):
            texts = {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and one.value in _LOADED}
            asked = {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)} & _LOADERS
            if texts and asked:
                found.append((f"{min(asked)} for {min(map(str, texts))!r}", node.lineno))
    return list(dict.fromkeys(found))


def _may_ask(node: ast.AST) -> TypeGuard[ast.expr]:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr in _TELLING
    return isinstance(node, (ast.Compare, ast.Subscript, ast.GeneratorExp, ast.ListComp, ast.SetComp))


# ── whether anything that runs is changed ──


def _without_substance(spec: ItemSpec, diff: Diff, rules: PathRules) -> tuple[str, ...]:
    if spec.changes != "behaviour" or not diff.changes:
        return ()
    kinds = {_insubstantial(change, diff, spec, rules) for change in diff.changes}
    if "" in kinds:
        return ()
    order = ("documentation", "comments and layout", "empty files", "file modes")
    what = ", ".join(kind for kind in order if kind in kinds)
    return (f'changes nothing that runs, only {what}; an item that wants no more says changes = "words"',)


def _insubstantial(change: Change, diff: Diff, spec: ItemSpec, rules: PathRules) -> str:
    """Name what a change is that changes nothing that runs; empty for one that may."""
    if scope_matches(DOCS, change.path, rules):
        return "" if _is_wanted_as_docs(spec.scope, change.path, rules) else "documentation"
    if change.old_oid == change.new_oid:
        return "file modes"
    before, after = diff.before.get(change.path), diff.after.get(change.path)
    if before is None and after is None:
        return ""
    if not (before or b"").strip() and not (after or b"").strip():
        return "empty files"
    return "comments and layout" if _is_same_program(change.path, before or b"", after or b"") else ""


def _is_wanted_as_docs(scope: Iterable[str], path: str, rules: PathRules) -> bool:
    """Whether the pattern that lets a document be changed is about documents."""
    return any(
        scope_matches((pattern,), path, rules)
        and re.search(r"(^|/)docs?/|\.(md|markdown|rst|adoc|txt)\}?$|^/?[A-Z]+$", pattern)
        for pattern in scope
    )


def _is_same_program(path: str, before: bytes, after: bytes) -> bool:
    suffix = posixpath.splitext(path)[1].lower()
    if suffix in _PYTHON:
        return _python_of(before) == _python_of(after) is not None
    if suffix in _C_LIKE:
        return _words(before, _C_WORDS) == _words(after, _C_WORDS)
    if suffix in _HASH_LIKE:
        return _words(before, _HASH_WORDS) == _words(after, _HASH_WORDS)
    return False


def _parsed(content: bytes) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _python_of(content: bytes) -> str | None:
    """What a Python file does, without comments, layout, and documentation that nothing runs."""
    tree = _parsed(content)
    if tree is None:
        return None
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node, clean=False)
            if text is not None and ">>>" not in text:
                node.body = node.body[1:]
    try:
        return ast.dump(tree)
    except RecursionError:
        return None


_STRINGS = rb'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\''
_C_WORDS = re.compile(rb"//[^\n]*|/\*.*?\*/|" + _STRINGS + rb"|`(?:[^`\\]|\\.)*`|\w+|[^\w\s]", re.S)
_HASH_WORDS = re.compile(rb"(?<![^\s;])#[^\n]*|" + _STRINGS + rb"|\n|[^\s\"'#]+|.", re.S)


def _words(content: bytes, words: re.Pattern[bytes]) -> list[bytes]:
    """The words of a program without its comments; lines count where they end a statement."""
    found = [word for word in words.findall(content) if not word.startswith((b"//", b"/*")) and not word.isspace()]
    if words is _HASH_WORDS:
        found = [word for word in found if not word.startswith(b"#") or word.startswith(b"#!")]
    return found
