"""What a dashboard is made of, before Grafana's own words for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Shape(str, Enum):
    """How a panel draws what its queries return."""

    LINES = "lines"
    STACK = "stack"
    NUMBER = "number"
    TABLE = "table"
    HEATMAP = "heatmap"
    TRACES = "traces"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression of a panel.

    Attributes:
        expression: PromQL; may use the dashboard's variables and ``$__rate_interval``.
        legend: What a series is called; ``{{label}}`` is replaced.
        exemplars: Whether its points lead to traces: a histogram's buckets do.
        empty_when: Why a healthy system answers with nothing; None when it
            answers.
    """

    expression: str
    legend: str = ""
    exemplars: bool = False
    empty_when: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel.

    Attributes:
        title: Over the panel.
        description: One or two sentences that its (i) shows.
        queries: What it asks.
        unit: Grafana's code of the unit: ``s``, ``bytes``, ``percentunit``, …
        shape: How it draws.
        width: Of the 24 columns.
        decimals: Digits after the point, None for as many as fit.
        to_name: Whether a series or row leads to the dashboard of its name.
    """

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str = "short"
    shape: Shape = Shape.LINES
    width: int = 8
    decimals: int | None = None
    to_name: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a dashboard.

    Attributes:
        name: Used as ``$name`` in queries.
        label: What the reader sees.
        query: Grafana's ``label_values(metric, label)``.
        several: Whether more than one may be chosen, and all are at first.
    """

    name: str
    label: str
    query: str
    several: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One dashboard.

    Attributes:
        uid: Fixed, so that links last; ``codomon-<uid>`` in Grafana, and the
            name of its file.
        title: Its name.
        description: One sentence.
        rows: What it shows.
        variables: What can be chosen.
    """

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...]
