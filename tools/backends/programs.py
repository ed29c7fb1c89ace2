"""The programs that the tests of the stack run, and their pinned versions."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent


def cache_folder() -> Path:
    """Where the programs are kept: the cache folder of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "otel-codomon" / "backends"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One thing to install: it has a version and makes files in one folder.

    Attributes:
        name: What people call it, and the first part of its folder's name.
        version: What the program itself says, and its container image's tag.
        makes: Files or folders that are there once it is installed.
        needs: Commands that installing it takes.
    """

    name: str
    version: str
    makes: tuple[str, ...]
    needs: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where it is installed, or would be."""
        return cache_folder() / f"{self.name}-{self.version}-{self.recipe}"

    @property
    def recipe(self) -> str:
        """Eight characters that change with what it is made from.

        So that a manifest with one more part in it makes another folder, and
        what is there of the same version is not taken for it.
        """
        values = [getattr(self, field.name) for field in fields(self)]
        told = (v.read_text() if isinstance(v, Path) else repr(v) for v in values)
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:8]

    @property
    def installed(self) -> bool:
        """Whether it is there; a folder gets its name only when it is whole."""
        return all((self.folder / made).exists() for made in self.makes)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoModule(Program):
    """Commands out of one Go module.

    Attributes:
        module: Path of the module.
        module_version: Its version on the module proxy, which may be numbered
            differently from the program's.
        packages: For each command in `makes`, its package below the module.
        tags: Go build tags.
        stamps: Variables the linker sets, so that the program knows its version.
    """

    needs: tuple[str, ...] = ("go",)
    module: str
    module_version: str
    packages: tuple[str, ...]
    tags: str = ""
    stamps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltCollector(Program):
    """The collector, which a builder makes from a manifest.

    Attributes:
        builder: The package that is the builder, with its version.
        manifest: The builder's input.
    """

    needs: tuple[str, ...] = ("go",)
    builder: str
    manifest: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Jars(Program):
    """A folder of jars with all they need.

    Attributes:
        pom: The Maven project whose dependencies they are.
    """

    needs: tuple[str, ...] = ("mvn", "java")
    pom: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonPackages(Program):
    """A folder of Python packages with all they need, for one version of Python.

    Attributes:
        requirements: File with their names and versions.
        python: The Python they are for: some are compiled.
    """

    needs: tuple[str, ...] = ("cc",)
    requirements: Path
    python: str = ".".join(map(str, sys.version_info[:3]))


COLLECTOR: Final = BuiltCollector(
    name="otelcol",
    version="0.158.0",
    makes=("otelcol",),
    builder="go.opentelemetry.io/collector/cmd/builder@v0.158.0",
    manifest=FOLDER / "otelcol.yaml",
)
PROMETHEUS: Final = GoModule(
    name="prometheus",
    version="3.14.0",
    makes=("prometheus", "promtool"),
    module="github.com/prometheus/prometheus",
    module_version="v0.314.0",
    packages=("cmd/prometheus", "cmd/promtool"),
    tags="netgo,remove_all_sd",
    stamps=("github.com/prometheus/common/version.Version=3.14.0",),
)
# The module path of 2.x has no /v2, so v1.76.0 is the newest that can be
# installed as a module; what it builds calls itself 2.13.
JAEGER: Final = GoModule(
    name="jaeger",
    version="2.13.0",
    makes=("jaeger",),
    module="github.com/jaegertracing/jaeger",
    module_version="v1.76.0",
    packages=("cmd/jaeger",),
)
COMPOSE: Final = GoModule(
    name="docker-compose",
    version="5.5.1",
    makes=("docker-compose",),
    module="github.com/docker/compose/v5",
    module_version="v5.5.1",
    packages=("cmd",),
    stamps=("github.com/docker/compose/v5/internal.Version=v5.5.1",),
)
KAFKA: Final = Jars(name="kafka", version="4.1.0", makes=("libs",), pom=FOLDER / "pom.xml")
FRAMEWORKS: Final = PythonPackages(
    name="frameworks",
    version="2026.11",
    makes=("packages",),
    requirements=FOLDER / "frameworks.txt",
)

# The quick ones first: whoever waits has something to use early.
PROGRAMS: Final[tuple[Program, ...]] = (KAFKA, FRAMEWORKS, COMPOSE, PROMETHEUS, JAEGER, COLLECTOR)
