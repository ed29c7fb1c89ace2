"""Kafka, out of the jars that ``make backends`` fetches."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING

from support.ports import free_ports
from support.programs import RealProgram, installed, wait_for
from tools.backends.programs import KAFKA

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Kafka(RealProgram):
    """One Kafka broker that is its own controller.

    Attributes:
        broker: ``host:port``.
    """

    def __init__(self, *, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._libs = installed(KAFKA) / "libs"
        port, controller = free_ports(2)
        self.broker = f"127.0.0.1:{port}"
        self._properties = folder / "server.properties"
        self._properties.write_text(_kafka_properties(port, controller, folder / "data"))
        super().__init__(
            "kafka",
            self._java("kafka.Kafka", str(self._properties)),
            folder=folder,
            ready=lambda: _listens(port),
        )
        if not (folder / "data").exists():
            self._do(
                "kafka.tools.StorageTool",
                *("format", "-t", "c3RhY2sgb2YgdGhlIHRlc3"),
                *("-c", str(self._properties)),
            )

    def create_topics(self, topics: Iterable[str], *, partitions: int) -> None:
        """Make *topics* and wait until they are there."""
        for topic in topics:
            wait_for(
                lambda topic=topic: self._do(  # type: ignore[misc] # mypy cannot type a default
                    "org.apache.kafka.tools.TopicCommand",
                    *("--bootstrap-server", self.broker, "--create", "--if-not-exists"),
                    *("--topic", topic, "--partitions", str(partitions)),
                ),
                what=f"topic {topic}",
            )

    def _java(self, main: str, *arguments: str) -> list[str]:
        return ["java", "-Xmx512m", "-cp", f"{self._libs}/*", main, *arguments]

    def _do(self, main: str, *arguments: str) -> bool:
        done = subprocess.run(
            self._java(main, *arguments), capture_output=True, text=True, check=False
        )
        return done.returncode == 0


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except OSError:
        return False
    return True


def _kafka_properties(port: int, controller: int, data: Path) -> str:
    """A broker on loopback with one replica of everything."""
    return "\n".join(
        [
            "process.roles=broker,controller",
            "node.id=1",
            f"controller.quorum.voters=1@127.0.0.1:{controller}",
            f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}",
            "controller.listener.names=CONTROLLER",
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            f"log.dirs={data}",
            "auto.create.topics.enable=false",
            "offsets.topic.replication.factor=1",
            "offsets.topic.num.partitions=1",
            "transaction.state.log.replication.factor=1",
            "transaction.state.log.min.isr=1",
            "group.initial.rebalance.delay.ms=0",
            "",
        ]
    )
