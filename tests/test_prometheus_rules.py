from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml
from support.backends import CONFIGURATIONS
from support.programs import installed

from tools.backends.programs import PROMETHEUS

FOLDER = CONFIGURATIONS / "prometheus"
ALERTS = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool in the folder of the rules."""
    return subprocess.run(
        [str(installed(PROMETHEUS) / "promtool"), *arguments],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.backends
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "--lint=all", "--lint-fatal", "rules.yml", "alerts.yml"),
        ("test", "rules", "rules.test.yml"),
        ("test", "rules", "alerts.test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    done = promtool(*arguments)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_shown_to_fire() -> None:
    cases = yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]

    fired = {
        test["alertname"]
        for case in cases
        for test in case["alert_rule_test"]
        if test["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_urgent_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "description"}
