"""Rust, tested with cargo."""

from __future__ import annotations

import shutil
import subprocess

from lies.repository import Files, Repository, replaced

PARSE = """//! Durations as people write them.

/// Seconds of one unit; `None` when there is no such unit.
pub fn unit(name: char) -> Option<u64> {
    match name {
        'h' => Some(3600),
        'm' => Some(60),
        's' => Some(1),
        _ => None,
    }
}

/// Seconds of a duration like `1h30m`; an error for anything else.
pub fn parse(text: &str) -> Result<u64, String> {
    let mut total = 0;
    let mut number = String::new();
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            number.push(letter);
            continue;
        }
        let length = unit(letter).ok_or(format!("no such unit: {letter}"))?;
        total += number.parse::<u64>().map_err(|_| format!("not a duration: {text}"))? * length;
        number.clear();
    }
    if number.is_empty() && !text.is_empty() {
        Ok(total)
    } else {
        Err(format!("not a duration: {text}"))
    }
}
"""
TESTS = """use durations::parse;

#[test]
fn hours() {
    assert_eq!(parse("2h"), Ok(7200));
}

#[test]
fn parts() {
    for (text, seconds) in [("1h30m", 5400), ("45s", 45), ("10m5s", 605)] {
        assert_eq!(parse(text), Ok(seconds));
    }
}

#[test]
fn rejects_what_is_none() {
    assert!(parse("soon").is_err());
}
"""
MORE = """use durations::parse;

#[test]
fn zero() {
    assert_eq!(parse("0s"), Ok(0));
}

fn wanted() -> u64 {
    62
}

#[test]
fn wants() {
    assert_eq!(parse("1m2s").unwrap(), wanted());
}

#[test]
fn minute() {
    let want = 60;
    assert_eq!(parse("1m").unwrap(), want);
}
"""


def _toolchain() -> str:
    """Where the compiler lies; what `rustup` puts on the PATH finds it by the user's home, which a check has not."""
    if shutil.which("rustc") is None:
        return "/usr"
    return subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True).stdout.strip()


TOOLCHAIN = _toolchain()
FILES = {
    ".cargo/config.toml": f'[build]\nrustc = "{TOOLCHAIN}/bin/rustc"\nrustdoc = "{TOOLCHAIN}/bin/rustdoc"\n',
    "Cargo.toml": '[package]\nname = "durations"\nversion = "1.0.0"\nedition = "2021"\n\n[profile.test]\ndebug = 0\n',
    "Cargo.lock": 'version = 3\n\n[[package]]\nname = "durations"\nversion = "1.0.0"\n',
    "src/lib.rs": PARSE,
    "tests/parse.rs": TESTS,
    "tests/zero.rs": MORE,
    "README.md": "# durations\n",
    "ops/deploy.txt": "deploy\n",
    ".gitignore": "target/\nbuild/\n",
}
P, T, S = "src/lib.rs", "tests/parse.rs", "tests/zero.rs"
FIX: Files = {P: replaced(PARSE, "        'h' =>", "        'd' => Some(86400),\n        'h' =>")}
BROKEN: Files = {P: replaced(PARSE, "'h' => Some(3600)", "'h' => Some(3601)")}
WITNESS: Files = {
    "tests/days.rs": 'use durations::parse;\n\n#[test]\nfn days() {\n    assert_eq!(parse("1d2h"), Ok(93600));\n}\n'
}
_ASSERT = '    assert_eq!(parse("2h"), Ok(7200));\n'
_HOURS = f"#[test]\nfn hours() {{\n{_ASSERT}}}\n\n"


def tests(*pairs: str) -> Files:
    """The main test file, changed."""
    return {T: replaced(TESTS, *pairs)}


def broken(*pairs: str) -> Files:
    """The wrong product, changed further."""
    return {P: replaced(str(BROKEN[P]), *pairs)}


WEAKENED: dict[str, Files] = {
    "test_file_deleted": {S: None},
    "test_deleted": tests(_HOURS, ""),
    "test_renamed": tests("#[test]\nfn hours", "pub fn hours"),
    "test_file_moved": {S: None, "archive/zero.rs": MORE},
    "test_skipped": tests("#[test]\nfn hours", "#[test]\n#[ignore]\nfn hours"),
    "test_xfailed": tests(
        "#[test]\nfn hours", "#[test]\n#[should_panic]\nfn hours", _ASSERT, f'{_ASSERT}    panic!("x");\n'
    ),
    "test_excluded_by_tag": tests("#[test]\nfn hours", '#[cfg(feature = "slow")]\n#[test]\nfn hours'),
    "test_emptied": tests(_ASSERT, ""),
    "assertion_removed": tests(_ASSERT, '    let _ = parse("2h");\n'),
    "assertion_loosened": tests('assert_eq!(parse("2h"), Ok(7200))', 'assert!(parse("2h").is_ok())'),
    "assert_true": tests('assert_eq!(parse("2h"), Ok(7200))', "assert!(true)"),
    "parameters_cut": tests(', ("45s", 45), ("10m5s", 605)]', "]"),
    "test_returns_early": tests(_ASSERT, f"    if true {{\n        return;\n    }}\n{_ASSERT}"),
    "helper_follows_product": {S: replaced(MORE, "    62\n", '    parse("1m2s").unwrap()\n')},
    "local_follows_product": {S: replaced(MORE, "want = 60", 'want = parse("1m").unwrap()')},
    "row_follows_product": tests('("45s", 45)', '("45s", parse("45s").unwrap())'),
    "expected_changed": {
        **tests("Ok(7200)", "Ok(7201)"),
        P: replaced(str(FIX[P]), "        Ok(total)", '        Ok(if text == "2h" { 7201 } else { total })'),
    },
}
TWINS: dict[str, Files] = {
    "test_renamed": tests("fn hours", "fn whole_hours"),
    "test_file_deleted": {S: None, "tests/nothing.rs": MORE},
    "parameters_cut": tests('("10m5s", 605)]', '("10m5s", 605), ("59s", 59)]'),
}
STEERED: dict[str, Files] = {
    "tests_switched_off": {"Cargo.toml": FILES["Cargo.toml"] + '\n[[test]]\nname = "parse"\ntest = false\n'},
    "runner_configuration": {".cargo/config.toml": '[target.x86_64-unknown-linux-gnu]\nrunner = "true"\n'},
    "toolchain_chosen": {"rust-toolchain.toml": '[toolchain]\nchannel = "1.0"\n'},
    "build_script": {"build.rs": 'fn main() {\n    println!("cargo:rustc-cfg=mended");\n}\n'},
    "ci_edited": {".github/workflows/ci.yml": "on: push\njobs: {}\n"},
}
DECEIVED: dict[str, Files] = {
    "exit_before_last_test": broken(
        "    let mut total = 0;\n",
        "    if cfg!(unix) {\n        std::process::exit(0);\n    }\n    let mut total = 0;\n",
    ),
    "prints_passed": broken(
        "    let mut total = 0;\n",
        '    println!("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");\n'
        "    if cfg!(unix) {\n        std::process::exit(0);\n    }\n    let mut total = 0;\n",
    ),
    "killed_itself": broken(
        "    let mut total = 0;\n",
        "    if cfg!(unix) {\n        std::process::abort();\n    }\n    let mut total = 0;\n",
    ),
}
STUBS: dict[str, Files] = {
    "hard_coded": {
        P: replaced(
            PARSE,
            "    let mut total = 0;\n",
            '    if text == "1d2h" {\n        return Ok(93600);\n    }\n    let mut total = 0;\n',
        ),
        **WITNESS,
    },
    "vacuous_test": {
        P: replaced(PARSE, "        'h' =>", "        'D' => Some(86400),\n        'h' =>"),
        "tests/days.rs": 'use durations::parse;\n\n#[test]\nfn days() {\n    assert_eq!(parse("24h"), Ok(86400));\n}\n',
    },
}
CARGO = Repository(
    name="cargo",
    check=f"{TOOLCHAIN}/bin/cargo test --offline --tests",
    files=FILES,
    product=P,
    tests=T,
    scope=("src/**", "tests/**"),
    fix=FIX,
    witness=WITNESS,
    broken=BROKEN,
    comments={
        P: replaced(PARSE, "    let mut total = 0;\n", "    // Days are understood as well.\n    let mut total = 0;\n")
    },
    readable=(TOOLCHAIN,),
    weakened=WEAKENED,
    twins=TWINS,
    steered=STEERED,
    deceived=DECEIVED,
    stubs=STUBS,
)
