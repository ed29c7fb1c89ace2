"""What `make test-all` does not reach: other Pythons, other OpenTelemetrys, other libraries, none.

``nox`` runs them all, ``nox -s caches`` one of them; each makes its own virtual
environment. A Python that is not on this machine is left out, aloud.
"""

from __future__ import annotations

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False

PYTHONS = ("3.10", "3.11", "3.12", "3.13")

# The oldest set that pyproject.toml allows, as one release of OpenTelemetry.
OLDEST_API = "1.38.0"
OLDEST_CONTRIB = "0.59b0"
OPENTELEMETRY = {
    "oldest": (
        f"opentelemetry-api=={OLDEST_API}",
        f"opentelemetry-sdk=={OLDEST_API}",
        f"opentelemetry-exporter-otlp=={OLDEST_API}",
        f"opentelemetry-instrumentation=={OLDEST_CONTRIB}",
        f"opentelemetry-semantic-conventions=={OLDEST_CONTRIB}",
        f"opentelemetry-distro=={OLDEST_CONTRIB}",
    ),
    "newest": (),
}

# Two versions of each library whose caches are read: an old one that is still
# in use, and whatever is newest. cachetools has four, for it keeps its counts
# in another place in each.
CACHE_LIBRARIES = {
    "oldest": (
        "aiocache==0.12.0",
        "async-lru==2.0.4",
        "cachetools==5.3.3",
        "diskcache==5.6.1",
        "django==4.2.*",
        "joblib==1.3.2",
        "pymemcache==3.5.2",
        "redis==5.0.1",
    ),
    "cachetools-6": ("cachetools==6.2.0",),
    "cachetools-7": ("cachetools==7.3.2",),
    "newest": (
        "aiocache",
        "async-lru",
        "cachetools",
        "diskcache",
        "django",
        "joblib",
        "pymemcache",
        "redis",
    ),
}


def _install(session: nox.Session, *groups: str) -> None:
    session.install("--upgrade", "pip>=25.1")  # the first that knows dependency groups
    # In two steps, as `make` does: in one, pip goes through every version of
    # everything before it finds the parts of OpenTelemetry that fit together.
    session.install(".")
    session.install(".", *(word for group in groups for word in ("--group", group)))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The whole suite, on each Python."""
    _install(session, "test", "caches")
    session.run("pytest", *session.posargs)


@nox.session
@nox.parametrize("which", sorted(OPENTELEMETRY), ids=sorted(OPENTELEMETRY))
def opentelemetry(session: nox.Session, which: str) -> None:
    """The whole suite with the oldest and the newest OpenTelemetry that is allowed."""
    _install(session, "test")
    session.install("--upgrade", ".", *OPENTELEMETRY[which])
    if which == "oldest":  # it comes with a plugin of pytest that needs a newer SDK
        session.run("python", "-m", "pip", "uninstall", "--yes", "logfire")
    session.run("pytest", *session.posargs)


@nox.session
def bare(session: nox.Session) -> None:
    """The suite with nothing optional installed: what needs something is skipped, no more."""
    _install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session
@nox.parametrize("which", sorted(CACHE_LIBRARIES), ids=sorted(CACHE_LIBRARIES))
def caches(session: nox.Session, which: str) -> None:
    """The tests of the adapters with versions of the libraries whose caches they read."""
    _install(session, "test")
    session.install("--upgrade", *CACHE_LIBRARIES[which])
    session.run("pytest", *(session.posargs or _cache_tests()))


def _cache_tests() -> list[str]:
    return [f"tests/test_cache_{what}.py" for what in ("libraries", "counting", "schedules")]
