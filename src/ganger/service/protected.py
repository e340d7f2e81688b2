"""Which files steer the verifier, and which are tests.

A protected file decides what a check runs, how it runs, or what counts as passing: configuration of test runners and
type checkers, plugins, files that an interpreter runs on its own, CI, hooks, task runners, lock files. Checks run with
the base's version of these files, so that a worker cannot weaken its own verdict.

`pyproject.toml`, `package.json`, `setup.cfg`, `Cargo.toml` and `go.mod` are among them as a whole, although honest
items change dependencies there. They hold test options (`addopts`, `scripts.test`, `test = false`, plugins by entry
point), and a change of one cannot be told from a change of the other without believing what the file says. The price
is that honest work on them is refused with a reason, for a person to look at; the other way round, a lie would pass in
silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ganger.core.patterns import PathRules, scope_matches

_PYTHON_TOOLS = (
    *("_pytest", "coverage", "doctest", "hypothesis", "iniconfig", "mypy", "nose2", "nox", "pluggy", "pytest"),
    *("pytest_cov", "runpy", "sitecustomize", "tox", "unittest", "usercustomize", "xdist"),
)
"""Modules that run tests or are imported by what does: one of that name beside the code would be run instead."""

PROTECTED: tuple[str, ...] = (
    # Ganger and continuous integration.
    *("ganger.toml", ".ganger{,/**}"),
    *(".github/**", ".gitlab-ci.yml", ".gitlab/**", ".circleci/**", ".travis.yml", ".buildkite/**"),
    *("Jenkinsfile", "azure-pipelines.yml", "bitbucket-pipelines.yml", ".drone.yml", ".woodpecker/**"),
    # Git: filters and submodules; hooks.
    *("**/.gitattributes", ".gitmodules", ".pre-commit-config.yaml", ".githooks/**", ".husky/**"),
    *("lefthook.{yml,yaml,toml}", ".lefthook.{yml,yaml,toml}"),
    # Environment files and version managers, which decide on programs and variables.
    *(
        "**/.env{,.local,.test,.testing,.ci}",
        "**/.envrc",
        "**/.tool-versions",
        "**/mise.toml",
        "**/.mise.toml",
        "**/.python-version",
    ),
    *("**/.nvmrc", "**/.node-version"),
    # Python: runners, checkers, what the interpreter runs by itself, plugins by entry point, shadowed tools.
    *("**/conftest.py", "**/{,.}pytest.{ini,toml}", "**/tox.{ini,toml}", "**/setup.cfg", "**/setup.py"),
    *("**/pyproject.toml", "**/noxfile.py", "**/.coveragerc", "**/{,.}mypy.ini", "**/{,.}ruff.toml", "**/.flake8"),
    *("**/{,.}pylintrc", "**/pyrightconfig.json", "**/*.pth", "**/*.{egg,dist}-info/**"),
    *(f"{{,src/,lib/}}{{{tool}.py,{tool}/**}}" for tool in _PYTHON_TOOLS),
    *("**/poetry.lock", "**/uv.lock", "**/pdm.lock", "**/Pipfile", "**/Pipfile.lock", "**/pylock{,.*}.toml"),
    # JavaScript and TypeScript.
    *("**/package.json", "**/{package-lock,npm-shrinkwrap}.json", "**/pnpm-{lock,workspace}.yaml", "**/yarn.lock"),
    *("**/bun.{lock,lockb}", "**/.npmrc", "**/.yarnrc*", "**/.pnp.*", "**/.pnpmfile.cjs", "**/bunfig.toml"),
    *("**/{jest,vitest,vite,ava,karma,playwright,cypress,babel,eslint}.{config,conf,setup,workspace}.*",),
    *("**/.{mocharc,nycrc,c8rc,taprc,babelrc,eslintrc}*", "**/tsconfig*.json", "**/deno.{json,jsonc,lock}"),
    # Go and Rust.
    *("**/go.{mod,sum}", "**/go.work{,.sum}", "**/.golangci.*", "**/Cargo.{toml,lock}", "**/.cargo/**"),
    *("**/rust-toolchain{,.toml}", "**/.config/nextest.toml", "**/{,.}clippy.toml"),
    # Ruby, PHP and the JVM.
    *("**/Gemfile{,.lock}", "**/Rakefile", "**/.rspec", "**/composer.{json,lock}", "**/phpunit.xml{,.dist}"),
    *("**/pom.xml", "**/{build,settings}.gradle{,.kts}", "**/gradle.properties", "**/gradle/wrapper/**", "**/gradlew"),
    # Task runners.
    *("**/{GNUm,M,m}akefile", "**/*.mk", "**/{,.}justfile", "**/Justfile", "**/Taskfile.{yml,yaml}"),
)

TESTS: tuple[str, ...] = (
    *("**/test_*.py", "**/*_test.py", "**/tests.py", "**/*_test.go", "**/testdata/**"),
    *("**/*.{test,spec}.*", "**/__tests__/**", "**/__snapshots__/**", "**/*.snap"),
    *("**/tests/**", "**/test/**", "**/*_{test,spec}.rb"),
)
"""Files whose loss or change weakens what is checked: tests, and the data and snapshots they compare with."""

_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})


def is_protected(path: str, patterns: Iterable[str] = PROTECTED, rules: PathRules = PathRules()) -> bool:  # noqa: B008
    """Whether a file is protected; `patterns` is `Config.protected` where there is a configuration."""
    return scope_matches(tuple(patterns), path, rules)


def is_test_file(path: str, rules: PathRules = PathRules()) -> bool:  # noqa: B008 - a frozen value
    """Whether a file is a test or belongs to one."""
    return scope_matches(TESTS, path, rules)


def started_files(commands: Iterable[tuple[str, ...]], repo_top: Path) -> tuple[str, ...]:
    """Give patterns for the files of the repository that commands start: `./check.sh`, or `x.sh` in `bash x.sh`."""
    found: dict[str, None] = {}
    for argv in commands:
        script = argv[0] if "/" in argv[0] else _shell_script(argv)
        path = PurePosixPath(script)
        if script and not path.is_absolute() and ".." not in path.parts and (repo_top / path).is_file():
            found[_literal(str(path))] = None
    return tuple(found)


def _shell_script(argv: tuple[str, ...]) -> str:
    if argv[0] not in _SHELLS:
        return ""
    return next((word for word in argv[1:] if not word.startswith("-")), "")


def _literal(path: str) -> str:
    """Write a path as the pattern that matches only it."""
    return "".join(f"\\{char}" if char in "*?[]{}!,\\" else char for char in path)
