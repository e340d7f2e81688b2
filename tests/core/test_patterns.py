"""What a pattern matches, what is refused and in which words, and what two patterns have in common: a row a rule."""

from __future__ import annotations

import pytest

from ganger.core.patterns import (
    EXPANDED_MAX,
    PathRules,
    PatternError,
    ScopeIndex,
    covers,
    overlap,
    parse,
    scope_fault,
    scope_matches,
    scope_overlap,
)

PLAIN = PathRules()
FOLD = PathRules(fold_case=True)
NFC = PathRules(normalize=True)
BOTH = PathRules(fold_case=True, normalize=True)


@pytest.mark.parametrize(
    ("text", "fitting", "other"),
    [
        ("README.md", "README.md", "docs/README.md READMExmd readme.md"),
        ("*.md", "a.md .md .x.md", "docs/a.md a.mdx"),
        ("*", "a .hidden", "a/b"),
        ("**", "a a/b a/b/c", "a/ /a a//b"),
        ("src/**", "src/a src/a/b src/.x", "src srcs/a a/src/b"),
        ("src/", "src/a src/a/b", "src"),
        ("/src/a", "src/a", "/src/a x/src/a"),
        ("**/x.py", "x.py a/x.py a/b/x.py", "ax.py a/x.py/b"),
        ("a/**/b", "a/b a/x/b a/x/y/b", "ab a/x"),
        ("**/a/**", "a/x x/a/y", "a x/a"),
        ("a/**/**/b", "a/b a/x/b", "a"),
        ("v?.txt", "v1.txt v..txt", "v.txt v12.txt"),
        ("a?b", "axb", "a/b"),
        ("[abc]", "a c", "d A"),
        ("[a-c]x", "ax bx", "dx -x"),
        ("[a-]", "a -", "b"),
        ("[-a]", "a -", "b"),
        ("[]a]", "] a", "b"),
        ("[!a]", "b ] !", "a"),
        ("[^a]", "b ^", "a"),
        ("[!]a]", "b", "] a"),
        ("x[+-9]y", "x0y x.y", "x/y"),
        ("[\\]\\-\\\\]", "] - \\", "a"),
        ("{a,b}", "a b", "ab {a,b}"),
        ("{a,b{c,d}}.py", "a.py bc.py bd.py", "b.py"),
        ("{src,lib/x}/*.py", "src/a.py lib/x/a.py", "lib/a.py"),
        ("a{,b}c", "ac abc", "abbc"),
        ("{,x/}y", "y x/y", "/y"),
        ("{**,a}/b", "b a/b c/a/b", "a/c"),
        ("a{/,.py}", "a/x a.py", "a"),
        ("*{,a}*", "a b", "a/b"),
        ("[{]{[,],x}", "{, {x", "{"),
        ("a,b", "a,b", "a"),
        ("a\\*b", "a*b", "axb"),
        ("\\{a\\}\\[\\?\\,", "{a}[?,", "a"),
        ("\\!x", "!x", "x"),
        ("#x ~x ]", "", "x"),
        ("\\~/x", "~/x", "x"),
        ("a b", "", "a b/c"),
        ("**/*", "a a/b .x", ""),
        ("**/a*b*c/**", "abc/x y/axbxc/z", "abc acb/x"),
        ("[!a-z]", "A ß", "a z"),
    ],
)
def test_what_a_pattern_matches(text: str, fitting: str, other: str) -> None:
    pattern = parse(text)
    assert [path for path in fitting.split() if not pattern.matches(path)] == []
    assert [path for path in other.split() if pattern.matches(path)] == []


def test_spaces_and_odd_characters_are_plain_text() -> None:
    for name in ("a b", " x", "#x", "~x", "a]b", "\u202ex", "'; rm"):
        assert parse(name).matches(name) and not parse(name).matches(name + "x")


def test_a_path_that_climbs_is_matched_by_nothing() -> None:
    for path in ("src/../x", "../src/x", "src/./x", "./src/x", "src/..", ".", "..", "", "src//x", "src/", "/src/x"):
        assert not parse("**").matches(path), path
        assert not parse("src/**").matches(path), path
    assert parse("**").matches("src/..x/...")


LONGEST = "it has 1025 characters, the most is 1024; split it into several patterns"
DEEP = "'**' stands alone between slashes; write '*' within a name, '**/' for any directories"
UNCLOSED = "'[' is not closed; add ']' (one right after '[' is a member), or write '\\[' for the character itself"
SIZE = (
    "its alternatives expand to more than 256 patterns or 8192 characters; split it into several patterns, or write "
    "'*' for one of them"
)
EMPTY = "it is empty; write '**' for every file"
SLASHES = "it has an empty segment ('//'); write one slash, or '/**/' for any number of directories"
DRIVE = "it is absolute; write it relative to the repository, with '/' between directories"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", EMPTY),
        ("/", EMPTY),
        ("x" * 1025, LONGEST),
        ("a\0b", "it holds the control character U+0000; write '?' in its place"),
        ("a\nb", "it holds the control character U+000A; write '?' in its place"),
        ("a\x9bb", "it holds the control character U+009B; write '?' in its place"),
        ("a\udcffb", "it holds the control character U+DCFF; write '?' in its place"),
        ("//x", "it begins with '//'; write it relative to the repository, without a slash in front"),
        ("~/x", "'~' is not expanded; write it relative to the repository, or '\\~/' for a directory named '~'"),
        ("C:\\x", DRIVE),
        ("c:/x", DRIVE),
        ("!x", "a scope cannot exclude; list what it includes, or write '\\!' for a name that begins with '!'"),
        ("a/../b", "it has a segment '..'; write the path without it, relative to the repository"),
        ("./a", "it has a segment '.'; write the path without it, relative to the repository"),
        ("a/[.]", "it has a segment '.'; write the path without it, relative to the repository"),
        ("{a,..}/b", "it has a segment '..'; write the path without it, relative to the repository"),
        ("a//b", SLASHES),
        ("a/{b,}/c", SLASHES),
        ("a//", SLASHES),
        ("{a,}", "an alternative leaves nothing of it; write '**' for every file"),
        ("**.py", DEEP),
        ("src**", DEEP),
        ("***", DEEP),
        ("a/{*,**}x", DEEP),
        ("a[b", UNCLOSED),
        ("[]", UNCLOSED),
        ("[!]", UNCLOSED),
        ("[\\]", UNCLOSED),
        ("a]{b", "'{' is not closed; add '}', or write '\\{' for the character itself"),
        ("a}", "'}' closes nothing; write '\\}' for the character itself"),
        ("{a}", "the braces hold one alternative only; leave them out, or write '\\{' for '{'"),
        ("{{x,y}}", "the braces hold one alternative only; leave them out, or write '\\{' for '{'"),
        ("a\\", "it ends in a backslash; write '\\\\' for the character itself"),
        ("src\\auth", "the backslash before 'a' escapes nothing; write '/' between directories"),
        ("[\\w]", "the backslash before 'w' escapes nothing; write '/' between directories"),
        ("a\\/b", "the backslash before '/' escapes nothing; write '/' between directories"),
        ("[a/b]", "a class cannot hold '/'; write alternatives, such as '{a/b,c}'"),
        ("[z-a]", "the range z-a is backwards; write a-z"),
        ("[[:lower:]]", "named classes are not known; write ranges, such as '[a-z]' for '[[:lower:]]'"),
        ("{a,b}" * 9, SIZE),
        ("{" * 200 + "a,b" + ",c}" * 200, ""),
        ("{" + "a," * 256 + "b}", SIZE),
        ("{a,b,c,d,e,f,g,h,i}" + "x" * (EXPANDED_MAX // 9), SIZE),
        ("a" * 1024, ""),
    ],
)
def test_what_is_refused_and_how_it_is_said(text: str, reason: str) -> None:
    shown = text if len(text) <= 60 else text[:59] + "…"
    said = f"pattern {shown!r}: {reason}" if reason else ""
    assert scope_fault(text) == said
    assert "\n" not in said
    if reason:
        with pytest.raises(PatternError) as caught:
            parse(text)
        assert str(caught.value) == said


@pytest.mark.parametrize(
    ("a", "b", "shared"),
    [
        ("src/auth/**", "src/billing/**", False),
        ("src/auth/**", "src/**/test_*.py", True),
        ("src/auth/**", "src/*.py", False),
        ("src/a*", "src/*b", True),
        ("src/a*", "src/b*", False),
        ("*.md", "docs/**", False),
        ("*.md", "README*", True),
        ("**/*.md", "docs/**", True),
        ("**/x.py", "**/y.py", False),
        ("a/**", "**/b", True),
        ("a/**", "b/**", False),
        ("?", "ab", False),
        ("?b", "a?", True),
        ("[ab]/*", "[!a]/[!a]", True),
        ("[ab]", "[!ab]", False),
        ("[a-f]x", "[f-z]?", True),
        ("src", "src/**", False),
        ("a/**/b", "a/b", True),
        ("{a,b}/x", "{b,c}/x", True),
        ("{a,b}/x", "{c,d}/x", False),
        ("*a*b", "*b*a", False),
        ("a*b*c", "ab?c", True),
        ("a*bc*d", "abd", False),
        ("*aab*", "aaab", True),
    ],
)
def test_whether_two_patterns_share_a_path(a: str, b: str, shared: bool) -> None:
    assert overlap(parse(a), parse(b)) is shared
    assert overlap(parse(b), parse(a)) is shared


@pytest.mark.parametrize(
    ("a", "b", "covered"),
    [
        ("src/**", "src/auth/**", True),
        ("src/auth/**", "src/**", False),
        ("src/**", "src", False),
        ("**", "**/*.py", True),
        ("**/*", "**", True),
        ("**/*.py", "src/**/test_*.py", True),
        ("**/*.py", "src/**", False),
        ("{a,b}/**", "[ab]/x", True),
        ("{[!a],a}", "?", True),
        ("{*a*,[!a],?[!a]}", "?{,?}", True),
        ("{?,??*}", "*", True),
        ("{?,???*}", "*", False),
        ("{x/**,x}", "x{,/y}", True),
        ("*/**", "**/*", False),
        ("{*,*/**}", "**", True),
        ("a*", "a", True),
        ("*b*", "*a*b*c", True),
    ],
)
def test_whether_one_pattern_covers_another(a: str, b: str, covered: bool) -> None:
    assert covers(parse(a), parse(b)) is covered


@pytest.mark.parametrize(
    ("rules", "text", "fitting", "other"),
    [
        (FOLD, "SRC/*.Py", "src/a.pY SRC/B.PY", "src/a.px"),
        (FOLD, "[A-C]x", "ax CX", "dx"),
        (FOLD, "[A-Z]", "q Q \u212a", "1 é"),
        (FOLD, "[!A]", "b B", "a A"),
        (FOLD, "[!a-z]", "1 é", "a A \u212a"),
        (FOLD, "straße", "STRASSE strasse STRAẞE", "strase"),
        (FOLD, "ß", "ss SS ẞ sS", "s"),
        (FOLD, "[aß]x", "ax Ax ßx SSx", "sx"),
        (FOLD, "[ß]", "ss ß", "s"),
        (FOLD, "??", "ß ab", "a"),
        (FOLD, "[Þ-ÿ]", "ß ss É þ", "s \u0130"),
        (FOLD, "[\u0100-\uffff]", "\u0130 i\u0307 \ufb03 ffi \u0101", "i a é"),
        (FOLD, "\u0130", "\u0130 i\u0307 I\u0307", "i I ı"),
        (FOLD, "\u212a", "k K \u212a", "c"),
        (FOLD, "σ", "Σ ς σ", "s"),
        (FOLD, "é", "É", "e\u0301"),
        (NFC, "caf\u00e9", "cafe\u0301 café", "cafe Café"),
        (NFC, "cafe\u0301", "cafe\u0301 café", "cafe"),
        (NFC, "caf[e\u0301]", "cafe\u0301 café", "cafe"),
        (NFC, "caf{e\u0301,x}", "café cafx", "cafe"),
        (NFC, "cafe{\u0301,x}", "café cafex", "cafe"),
        (NFC, "caf?", "cafe\u0301 café cafe", "caf"),
        (NFC, "\u212a", "K \u212a", "k"),
        (NFC, "[\u212a]", "K \u212a", "k"),
        (NFC, "[!\u212b]", "A", "\u00c5 A\u030a \u212b"),
        (BOTH, "CAFE\u0301", "café cafe\u0301 CAFÉ", "cafe"),
        (BOTH, "[É]", "é e\u0301 E\u0301", "e"),
        (BOTH, "\u01f0", "J\u030c j\u030c", "j"),
        (BOTH, "?", "J\u030c \u01f0", "ß"),
        (PLAIN, "é", "é", "e\u0301 É"),
        (PLAIN, "ß", "ß", "ss ẞ"),
        (PLAIN, "[A-Z]", "Q", "q"),
    ],
)
def test_names_that_the_repository_takes_for_the_same(rules: PathRules, text: str, fitting: str, other: str) -> None:
    pattern = parse("d/" + text, rules)
    for path in fitting.split():
        assert pattern.matches("d/" + path), path
        assert overlap(pattern, parse("d/" + path, rules)) and covers(pattern, parse("d/" + path, rules)), path
    for path in other.split():
        assert not pattern.matches("d/" + path), path
        assert not overlap(pattern, parse("d/" + path, rules)), path


def test_classes_that_only_differ_in_characters_no_folded_name_has_are_told_apart_exactly() -> None:
    assert covers(parse("{[!a-z],[a-z]}", FOLD), parse("?", FOLD))
    assert covers(parse("{[!A-Z],[A-Z]}", FOLD), parse("?", FOLD))
    assert not overlap(parse("[!a-z]", FOLD), parse("[A-Z]", FOLD))
    assert not covers(parse("{[!a-z],[a-y]}", FOLD), parse("?", FOLD))
    assert overlap(parse("[!ß]", FOLD), parse("s", FOLD))
    assert covers(parse("{[!@],??,???}", FOLD), parse("[A-\u0500]", FOLD))
    assert not covers(parse("[!@]", FOLD), parse("[A-\u0500]", FOLD)), "ß among them is two characters"


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("src/auth/**", ("src", "auth")),
        ("src/a.py", ("src", "a.py")),
        ("*.md", ()),
        ("src/{a,b}/x", ("src",)),
        ("src/a\\*/?", ("src", "a*")),
        ("src/{,x/}y", ("src",)),
    ],
)
def test_the_prefix_is_what_is_plain_in_every_alternative(text: str, prefix: tuple[str, ...]) -> None:
    assert parse(text).prefix == prefix
    assert parse(text.upper(), FOLD).prefix == prefix


def test_a_pattern_is_a_value() -> None:
    assert parse("src/**") is parse("src/**")
    assert parse("src/**").text == "src/**"
    assert parse("a", FOLD) != parse("a") and parse("a") != parse("b")
    assert repr(parse("a'b")) == 'Pattern("a\'b")'
    with pytest.raises(AssertionError):
        overlap(parse("a", FOLD), parse("a"))


def test_scopes_are_unions_and_an_empty_one_holds_nothing() -> None:
    assert scope_overlap(("docs/**", "src/**"), ("*.md", "src/a.py", "docs/x"), PLAIN) == ("docs/**", "docs/x")
    assert scope_overlap(("a",), ("b",), PLAIN) is None
    assert scope_overlap((), ("**",), PLAIN) is None
    assert scope_matches(("a", "src/**"), "src/x", PLAIN)
    assert not scope_matches((), "src/x", PLAIN)
    assert scope_matches(("SRC/**",), "src/x", FOLD)


def test_the_index_names_each_overlapping_owner_once_as_far_as_it_is_asked() -> None:
    index: ScopeIndex[str] = ScopeIndex(PLAIN)
    index.add("all", ("**/*.lock",))
    index.add("src", ("src/**", "src/a/**"))
    index.add("a", ("src/a/x.py", "docs/{a,b}.md"))
    index.add("none", ())
    assert list(index.overlapping(("src/a/*",))) == ["all", "src", "a"]
    assert list(index.overlapping(("docs/*", "src/b"))) == ["all", "a", "src"]
    assert list(index.overlapping(("test/x.py", "sr?/[b]/x"))) == ["src"]
    assert next(index.overlapping(("**",))) == "all"
    assert list(index.overlapping(())) == []
    assert len(index) == 4
    index.remove("src")
    index.add("all", ("test/**",))
    assert list(index.overlapping(("**",))) == ["all", "a"]
    assert list(index.overlapping(("test/x.py",))) == ["all"]
    index.remove("all")
    assert list(index.overlapping(("test/x.py",))) == []
    with pytest.raises(KeyError):
        index.remove("all")


def test_the_index_looks_below_any_number_of_directories() -> None:
    index: ScopeIndex[str] = ScopeIndex(PLAIN)
    index.add("file", ("src/a/b/c/x.tar.gz",))
    index.add("folder", ("src/a/b/d/*.tar.gz",))
    for asked in ("**/x.tar.gz", "src/**/x.tar.gz", "src/**/*.gz", "**/x*", "src/*/b/**", "**"):
        assert list(index.overlapping((asked,))) == ["file", "folder"], asked
    for asked in ("**/x.tar", "src/**/x.zip", "src/**/*.tar", "**/tar.gz", "a/**", "*.gz", "src/*.gz"):
        assert list(index.overlapping((asked,))) == [], asked


def test_to_one_who_would_share_a_scope_the_index_names_only_exclusive_owners() -> None:
    index: ScopeIndex[str] = ScopeIndex(PLAIN)
    index.add("reader", ("src/**",), shared=True)
    index.add("writer", ("src/a/**",))
    index.add("both", ("docs/**",), shared=True)
    index.add("both", ("docs/a",))
    assert list(index.overlapping(("src/a/x", "docs/**"))) == ["writer", "reader", "both"]
    assert list(index.overlapping(("src/a/x", "docs/**"), shared=True)) == ["writer", "both"]
    assert list(index.overlapping(("src/b", "docs/b"), shared=True)) == []
    index.remove("both")
    assert list(index.overlapping(("docs/**",))) == []


def test_a_scope_that_is_refused_leaves_the_index_as_it_was() -> None:
    index: ScopeIndex[str] = ScopeIndex(PLAIN)
    with pytest.raises(PatternError):
        index.add("a", ("src/**", "b**"))
    assert len(index) == 0 and list(index.overlapping(("**",))) == []
