from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tools.backends import __main__ as door, install as installing
from tools.backends.install import InstallError, install, make
from tools.backends.programs import (
    COLLECTOR,
    FOLDER,
    FRAMEWORKS,
    JAEGER,
    KAFKA,
    PROGRAMS,
    PROMETHEUS,
    Program,
    cache_folder,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted(Program):
    """A program that a function of the test makes."""

    makes: tuple[str, ...] = ("tool",)
    needs: tuple[str, ...] = ("sh",)
    script: Callable[[Path], None]


@make.register(Scripted)
def _make_scripted(program: Scripted, *, work: Path, into: Path) -> None:
    del work
    program.script(into)


def write_tool(into: Path) -> None:
    (into / "tool").write_text("whole")


def write_half_and_fail(into: Path) -> None:
    (into / "tool").write_text("half")
    raise InstallError("cannot go on: the line was cut")


def write_half_and_be_ended(into: Path) -> None:
    (into / "tool").write_text("half")
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_folder()


def test_what_is_installed_is_whole_and_alone_in_the_cache(cache: Path) -> None:
    program = Scripted(name="tool", version="1.2.3", script=write_tool)

    install(program)

    assert program.installed
    assert (program.folder / "tool").read_text() == "whole"
    assert [entry.name for entry in cache.iterdir()] == [program.folder.name]


@pytest.mark.parametrize(
    ("script", "error"),
    [(write_half_and_fail, InstallError), (write_half_and_be_ended, KeyboardInterrupt)],
)
def test_a_cut_off_installation_leaves_nothing(
    cache: Path, script: Callable[[Path], None], error: type[BaseException]
) -> None:
    program = Scripted(name="tool", version="1", script=script)

    with pytest.raises(error):
        install(program)

    assert not program.installed
    assert list(cache.iterdir()) == []


def test_what_is_there_is_not_made_again() -> None:
    made: list[Path] = []

    def count(into: Path) -> None:
        made.append(into)
        write_tool(into)

    program = Scripted(name="tool", version="1", script=count)

    install(program)
    install(program)

    assert len(made) == 1


def test_somebody_quicker_wins() -> None:
    def be_overtaken(into: Path) -> None:
        write_tool(into)
        program.folder.mkdir()
        (program.folder / "tool").write_text("theirs")

    program = Scripted(name="tool", version="1", script=be_overtaken)

    install(program)

    assert (program.folder / "tool").read_text() == "theirs"


def test_a_missing_command_is_named_with_the_way_out() -> None:
    program = Scripted(name="tool", version="1", needs=("no-such-command",), script=write_tool)
    expected = re.escape(
        "cannot install tool 1: there is no no-such-command on PATH; "
        "install it with your system's package manager"
    )

    with pytest.raises(InstallError, match=f"^{expected}$"):
        install(program)


def test_one_that_fails_does_not_stop_the_others_but_the_exit_code_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Scripted(name="broken", version="1", script=write_half_and_fail)
    fine = Scripted(name="fine", version="2", script=write_tool)
    monkeypatch.setattr(door, "PROGRAMS", (broken, fine))

    code = door.main([])

    assert code == 1
    assert fine.installed
    said = capsys.readouterr().out
    assert re.search(r"broken 1: installing .*failed after \d+ s\ncannot go on", said)
    assert re.search(r"fine 2: installing .*done in \d+ s", said)
    assert door.main(["fine"]) == 0
    assert "fine 2: there" in capsys.readouterr().out


def test_a_failed_command_ends_with_what_it_said(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such module version')"]

    with pytest.raises(InstallError, match="exit code 1; it said:\nno such module version"):
        installing._run(command, at=tmp_path)


def test_a_go_module_is_rebuilt_with_its_own_replacements() -> None:
    theirs = {
        "Go": "1.26.0",
        "Replace": [
            {"Old": {"Path": "a.example/x"}, "New": {"Path": "b.example/y", "Version": "v2.0.0"}},
            {"Old": {"Path": "a.example/z", "Version": "v1.0.0"}, "New": {"Path": "c.example/z"}},
        ],
        "Exclude": [{"Path": "d.example/w", "Version": "v0.1.0"}],
    }

    text = installing._own_module(PROMETHEUS, theirs)

    assert text.splitlines() == [
        "module otel-codomon/backend",
        "go 1.26.0",
        "require github.com/prometheus/prometheus v0.314.0",
        "replace a.example/x => b.example/y v2.0.0",
        "replace a.example/z v1.0.0 => c.example/z",
        "exclude d.example/w v0.1.0",
    ]


def test_another_manifest_is_another_folder(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text(COLLECTOR.manifest.read_text())
    same = type(COLLECTOR)(
        name="otelcol", version="1", makes=("otelcol",), builder="b@1", manifest=manifest
    )
    before = same.folder

    manifest.write_text(manifest.read_text() + "# one more part\n")

    assert same.folder != before


def test_the_pinned_versions_are_those_of_the_inputs() -> None:
    manifest = COLLECTOR.manifest.read_text()
    pom = KAFKA.pom.read_text()

    assert f"version: {COLLECTOR.version}" in manifest
    assert set(re.findall(r" v(\d+\.\d+\.\d+)$", manifest, re.MULTILINE)) == {
        COLLECTOR.version,
        "1.64.0",
    }
    assert COLLECTOR.builder.endswith(f"@v{COLLECTOR.version}")
    assert set(re.findall(r"kafka(?:_2\.13|-tools)</artifactId>\s*<version>([^<]+)", pom)) == {
        KAFKA.version
    }
    requirements = FRAMEWORKS.requirements.read_text().splitlines()
    assert all("==" in line for line in requirements if not line.startswith("#"))
    assert len({program.name for program in PROGRAMS}) == len(PROGRAMS) == 6
    assert JAEGER in PROGRAMS


def test_no_registry_is_named() -> None:
    inputs = [path for path in FOLDER.iterdir() if path.is_file()]

    named = [
        path.name
        for path in inputs
        if re.search(
            r"GOPROXY|GONOSUM|<repositor|https?://(?!maven\.apache\.org/POM)", path.read_text()
        )
    ]

    assert named == []
