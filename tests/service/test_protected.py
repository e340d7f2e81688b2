"""Which files steer the verifier and which are tests; and, as important, which are neither."""

from __future__ import annotations

import pytest

from ganger.core.patterns import PathRules, scope_fault
from ganger.service.protected import PROTECTED, TESTS, is_protected, is_test_file


def words(text: str) -> list[str]:
    return text.split()


STEERING = words("""
conftest.py a/b/conftest.py pytest.ini .pytest.ini pytest.toml tox.ini setup.cfg setup.py
pyproject.toml sub/pyproject.toml noxfile.py .coveragerc
mypy.ini .flake8 sitecustomize.py src/usercustomize.py x/evil.pth x.egg-info/entry_points.txt
evil.dist-info/METADATA pytest.py pytest/__init__.py src/_pytest/x.py unittest.py src/unittest/mock.py coverage.py
package.json web/package.json package-lock.json pnpm-lock.yaml yarn.lock bun.lockb .npmrc .yarnrc.yml .pnp.cjs
jest.config.js vitest.config.mts web/vite.config.ts jest.setup.ts karma.conf.js .mocharc.json .babelrc .eslintrc.json
eslint.config.mjs tsconfig.json web/tsconfig.build.json deno.lock
go.mod go.sum go.work .golangci.yml Cargo.toml crates/x/Cargo.toml Cargo.lock .cargo/config.toml rust-toolchain.toml
poetry.lock uv.lock Pipfile.lock Gemfile.lock composer.lock pom.xml build.gradle.kts gradle/wrapper/gradle-wrapper.jar
Makefile GNUmakefile makefile sub/Makefile x.mk justfile .justfile Taskfile.yml
.github/workflows/ci.yml .gitlab-ci.yml .circleci/config.yml Jenkinsfile .pre-commit-config.yaml .githooks/pre-commit
.husky/pre-commit .gitattributes src/.gitattributes .gitmodules .env .env.test .envrc .tool-versions ganger.toml
.ganger .ganger/rules.md .ganger/kinds/scout.md
""")

FREE = words("""
README.md src/app.py src/config.py docs/conftest.md plans/night.toml src/makefile.py src/pytest_helpers.py env.py
.env.example .gitignore src/environment.ts lib/package.py src/package-lock.py go.modules src/coverage_report.py
tests/test_app.py src/app.test.ts src/setup/__init__.py data/users.json src/jest.ts src/lib/unittest_base.py config.toml
docs/ganger/rules.md src/.gangerx docs/tox.md src/Cargo.rs locks/yarn.py notes.lock src/hypothesis_data.py
""")

TEST_FILES = words("""
test_app.py tests/test_app.py src/pkg/app_test.py app/tests.py tests/data/golden.json tests/integration.rs a/tests/b.rs
pkg/app_test.go pkg/testdata/in.txt src/app.test.ts src/app.test.jsx src/app.spec.tsx src/app.spec.mjs
src/__tests__/app.js src/__snapshots__/app.snap src/x.snap test/app.js test/test_helper.rb spec/app_spec.rb
src/test/java/AppTest.java
""")

NOT_TESTS = words(
    "src/app.py src/testing.py contest.py src/latest/app.py src/attest.go README.md tests.md spec.py a_test.pyc"
)


@pytest.mark.parametrize("path", STEERING)
def test_files_that_steer_the_verifier(path: str) -> None:
    assert is_protected(path)


@pytest.mark.parametrize("path", FREE)
def test_files_that_do_not(path: str) -> None:
    assert not is_protected(path)


@pytest.mark.parametrize("path", TEST_FILES)
def test_test_files(path: str) -> None:
    assert is_test_file(path)


@pytest.mark.parametrize("path", NOT_TESTS)
def test_other_files(path: str) -> None:
    assert not is_test_file(path)


def test_every_pattern_is_one() -> None:
    assert [fault for pattern in (*PROTECTED, *TESTS) if (fault := scope_fault(pattern, PathRules()))] == []


def test_names_are_compared_as_the_file_system_does() -> None:
    assert not is_protected("Conftest.PY")
    assert is_protected("Conftest.PY", rules=PathRules(fold_case=True))
    assert is_protected("x/y", ("x/**",))
