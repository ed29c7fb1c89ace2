from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.backends import REPOSITORY
from support.programs import installed

from tools.backends.programs import COLLECTOR, COMPOSE, PROMETHEUS

if TYPE_CHECKING:
    from pathlib import Path

STACK: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
EXAMPLE = dict(
    line.split("=", 1)
    for line in (REPOSITORY / ".env.example").read_text().splitlines()
    if "=" in line and not line.startswith("#")
)

PASSWORD = {"GF_SECURITY_ADMIN_PASSWORD": "of-this-test"}

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def compose(*arguments: str, settings: Path) -> subprocess.CompletedProcess[str]:
    """Run Docker Compose's ``config`` with *settings* as its only environment."""
    program = installed(COMPOSE) / "docker-compose"
    return subprocess.run(
        [
            *(str(program), "--file", str(REPOSITORY / "docker-compose.yml")),
            *("--env-file", str(settings), "--profile", "*", "config", *arguments),
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(settings.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def settings_with(folder: Path, **changed: str) -> Path:
    """The example's settings with *changed* in them."""
    file = folder / "settings.env"
    file.write_text("".join(f"{key}={value}\n" for key, value in {**EXAMPLE, **changed}.items()))
    return file


@pytest.mark.backends
def test_compose_accepts_the_file_with_every_profile(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, **PASSWORD)

    done = compose("--format", "json", settings=settings)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    seen = json.loads(done.stdout)["services"]
    assert set(seen) == set(SERVICES)
    published = [port for service in seen.values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}
    assert {int(port["published"]) for port in published} == {4317, 4318, 16686, 9090, 3000, 3200}


@pytest.mark.backends
def test_compose_refuses_the_file_without_a_password(tmp_path: Path) -> None:
    done = compose(settings=settings_with(tmp_path))

    assert done.returncode != 0
    assert "GF_SECURITY_ADMIN_PASSWORD is missing a value: set it in .env" in done.stderr


@pytest.mark.backends
def test_compose_refuses_the_file_without_versions_and_says_what_to_copy(tmp_path: Path) -> None:
    done = compose(settings=settings_with(tmp_path, GRAFANA_VERSION="", **PASSWORD))

    assert done.returncode != 0
    assert "GRAFANA_VERSION is missing a value: copy .env.example to .env" in done.stderr


@each_service
def test_a_service_publishes_on_this_machine_only(service: dict[str, Any]) -> None:
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert service["networks"] == ["telemetry"]
    assert "network_mode" not in service


@each_service
def test_a_service_has_no_privileges_to_lose(service: dict[str, Any]) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert not {"privileged", "cap_add", "pid", "ipc", "devices"} & set(service)


@each_service
def test_a_service_writes_only_to_its_volume(service: dict[str, Any]) -> None:
    mounts = [mount.split(":") for mount in service["volumes"]]

    files = [mount for mount in mounts if mount[0].startswith(".")]
    volumes = [mount for mount in mounts if not mount[0].startswith(".")]
    assert all(mount[2:] == ["ro"] for mount in files)
    assert all((REPOSITORY / mount[0]).exists() for mount in files)
    assert all(mount[0] in STACK["volumes"] for mount in volumes)
    assert "docker.sock" not in json.dumps(service)


@each_service
def test_a_service_is_bounded(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}


@pytest.mark.parametrize(
    "name", [name for name, service in SERVICES.items() if "build" not in service]
)
def test_a_go_program_collects_its_garbage_before_the_limit(name: str) -> None:
    limit = SERVICES[name]["mem_limit"]
    mebibytes = int(limit[:-1]) * {"m": 1, "g": 1024}[limit[-1]]

    told = int(SERVICES[name]["environment"]["GOMEMLIMIT"].removesuffix("MiB"))

    assert told == pytest.approx(0.8 * mebibytes, abs=1)


@each_service
def test_an_image_is_pinned_in_one_place(service: dict[str, Any]) -> None:
    if "build" in service:
        assert service["build"]["args"]["PYTHON_VERSION"].startswith("${PYTHON_VERSION:?")
        return
    variable = re.fullmatch(r"[a-z/-]+:\$\{([A-Z]+_VERSION):\?copy .*\}", service["image"])
    assert variable is not None
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", EXAMPLE[variable[1]])


def test_there_is_no_default_password() -> None:
    grafana = SERVICES["grafana"]["environment"]

    [password] = PASSWORD
    assert grafana[password] == f"${{{password}:?set it in .env}}"
    assert EXAMPLE[password] == ""
    assert grafana["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert grafana["GF_USERS_ALLOW_SIGN_UP"] == "false"
    assert grafana["GF_ANALYTICS_REPORTING_ENABLED"] == "false"


def test_the_images_are_of_the_versions_that_are_tested() -> None:
    assert EXAMPLE["COLLECTOR_VERSION"] == COLLECTOR.version
    assert EXAMPLE["PROMETHEUS_VERSION"] == f"v{PROMETHEUS.version}"


def test_what_a_shell_can_ask_is_asked() -> None:
    probed = {name for name, service in SERVICES.items() if "healthcheck" in service}

    # The images of the others have no shell, and no program that could ask.
    assert probed == {"jaeger", "prometheus", "grafana"}


def test_the_profiles_are_those_of_the_documentation() -> None:
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}

    assert profiles == {
        "collector": [],
        "jaeger": [],
        "prometheus": [],
        "grafana": [],
        "tempo": ["tempo"],
        "sample": ["sample"],
    }
