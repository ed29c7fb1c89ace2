"""Install a program into its folder, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING

from tools.backends.programs import BuiltCollector, GoModule, Jars, PythonPackages

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tools.backends.programs import Program

# The slowest, the collector, takes four to seven minutes on two idle cores.
STEP_SECONDS = 45 * 60
# -mod=mod: the go.mod that is made here is completed by Go as it builds.
# CGO_ENABLED=0, -trimpath and -s -w for all, so that they share a build cache.
_GO_ENVIRONMENT = {"GOFLAGS": "-mod=mod -buildvcs=false", "GOWORK": "off", "CGO_ENABLED": "0"}


class InstallError(Exception):
    """A program could not be installed; the message says what to do."""


def install(program: Program) -> None:
    """Install *program*; do nothing when it is there.

    It is made in a folder beside its own and renamed at the end, so that an
    installation that is cut off leaves nothing that looks whole.

    Raises:
        InstallError: A command it needs is missing or failed.
    """
    if program.installed:
        return
    _refuse_without(program)
    program.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{program.name}-", dir=program.folder.parent, ignore_cleanup_errors=True
    ) as temporary:
        whole = Path(temporary, "whole")
        whole.mkdir()
        make(program, work=Path(temporary), into=whole)
        _put(whole, program.folder)


def _refuse_without(program: Program) -> None:
    missing = [command for command in program.needs if shutil.which(command) is None]
    if missing:
        raise InstallError(
            f"cannot install {program.name} {program.version}: there is no "
            f"{' and no '.join(missing)} on PATH; install it with your system's package manager"
        )


def _put(whole: Path, folder: Path) -> None:
    """Give *whole* its name, unless somebody else was quicker."""
    try:
        whole.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


@singledispatch
def make(program: Program, *, work: Path, into: Path) -> None:
    """Make the files of *program* in *into*, with *work* for what is in between."""
    raise NotImplementedError(type(program).__name__)


@make.register(GoModule)
def _make_go_module(program: GoModule, *, work: Path, into: Path) -> None:
    """Build the commands of a Go module.

    ``go install package@version`` refuses a module with ``replace`` or
    ``exclude``; a module of our own that requires it and repeats those lines
    builds the same.
    """
    module = work / "module"
    module.mkdir()
    downloaded = _download(program, module)
    text = _own_module(
        program, json.loads(_go("mod", "edit", "-json", downloaded["GoMod"], at=module))
    )
    (module / "go.mod").write_text(text)
    shutil.copyfile(Path(downloaded["Dir"], "go.sum"), module / "go.sum")
    (module / "go.sum").chmod(0o644)
    stamps = "".join(f" -X {stamp}" for stamp in program.stamps)
    for package, made in zip(program.packages, program.makes, strict=True):
        _go(
            *("build", "-trimpath", f"-tags={program.tags}", f"-ldflags=-s -w{stamps}"),
            *("-o", str(into / made), f"{program.module}/{package}"),
            at=module,
        )


def _download(program: GoModule, at: Path) -> dict[str, str]:
    """Fetch the module itself; says where its go.mod and its folder are."""
    wanted = f"{program.module}@{program.module_version}"
    answer: dict[str, str] = json.loads(_go("mod", "download", "-json", wanted, at=at))
    return answer


def _own_module(program: GoModule, theirs: Mapping[str, object]) -> str:
    """The go.mod of a module that builds *program* as its own go.mod would."""

    def lines(key: str) -> Iterable[Mapping[str, Mapping[str, str]]]:
        found = theirs.get(key)
        return found if isinstance(found, list) else ()

    def at(module: Mapping[str, str]) -> str:
        return f"{module['Path']} {module.get('Version', '')}".strip()

    return "\n".join(
        [
            "module otel-codomon/backend",
            f"go {theirs['Go']}",
            f"require {program.module} {program.module_version}",
            *(f"replace {at(row['Old'])} => {at(row['New'])}" for row in lines("Replace")),
            *(f"exclude {row['Path']} {row['Version']}" for row in lines("Exclude")),
            "",
        ]
    )


@make.register(BuiltCollector)
def _make_collector(program: BuiltCollector, *, work: Path, into: Path) -> None:
    """Build the builder, and let it build the collector."""
    _go("install", "-trimpath", "-ldflags=-s -w", program.builder, at=work, GOBIN=str(work))
    shutil.copyfile(program.manifest, work / "manifest.yaml")
    _run([str(work / "builder"), "--config=manifest.yaml"], at=work, environment=_GO_ENVIRONMENT)
    (work / "build" / program.makes[0]).rename(into / program.makes[0])


@make.register(Jars)
def _make_jars(program: Jars, *, work: Path, into: Path) -> None:
    """Copy the jars of a Maven project's dependencies."""
    shutil.copyfile(program.pom, work / "pom.xml")
    _run(
        [
            *("mvn", "--batch-mode", "--no-transfer-progress", "dependency:copy-dependencies"),
            *("-DincludeScope=runtime", f"-DoutputDirectory={into / program.makes[0]}"),
        ],
        at=work,
    )


@make.register(PythonPackages)
def _make_packages(program: PythonPackages, *, work: Path, into: Path) -> None:
    """Install packages beside the environment of this interpreter, not into it."""
    _run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--target", str(into / program.makes[0]), "--requirement", str(program.requirements)),
        ],
        at=work,
    )


def _go(*arguments: str, at: Path, **environment: str) -> str:
    return _run(["go", *arguments], at=at, environment={**_GO_ENVIRONMENT, **environment})


def _run(command: list[str], *, at: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run *command* and return its output.

    Raises:
        InstallError: It failed; the message ends with the last it said.
    """
    try:
        done = subprocess.run(  # noqa: S603 - commands of the table above, no input of others
            command,
            cwd=at,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=STEP_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(
            f"cannot finish `{command[0]} {command[1]}` in {STEP_SECONDS // 60} minutes: it was "
            "ended; run it again, what was fetched is kept"
        ) from error
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise InstallError(
            f"cannot run `{' '.join(command)}`: exit code {done.returncode}; it said:\n{said}"
        )
    return done.stdout
