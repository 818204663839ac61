"""What a measurement is, how it is shown, and on which machine it was made."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).parent / "results"
_BUSY = 0.5  # of the processors, before we began


@dataclass(frozen=True)
class Figure:
    """One number: the median of several rounds.

    `beside` names what it is compared with, and `ratio` is this value over that one; `goal` is an upper bound, or a
    lower one where more is better.
    """

    what: str
    who: str
    value: float
    unit: str
    rounds: tuple[float, ...] = ()
    beside: str = ""
    ratio: float | None = None
    goal: float | None = None
    more_is_better: bool = False

    @property
    def is_met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value >= self.goal if self.more_is_better else self.value <= self.goal


@dataclass
class Report:
    """The figures of one benchmark, and what was left out with the reason."""

    name: str
    figures: list[Figure] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, what: str, who: str, rounds: Sequence[float], unit: str, **more: object) -> Figure:
        """Take up the median of some rounds."""
        figure = Figure(what, who, median(rounds), unit, tuple(rounds), **more)  # type: ignore[arg-type]
        self.figures.append(figure)
        return figure

    def write(self) -> Path:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.name}.json"
        path.write_text(json.dumps({"machine": machine(), **asdict(self)}, indent=2) + "\n")
        return path


def machine() -> dict[str, object]:
    """What the figures depend on."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def warning() -> str | None:
    """Why not to trust absolute numbers now."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load < _BUSY * cores:
        return None
    return f"the machine is busy (load {load:.1f} on {cores} cores): compare ratios, not absolute numbers"


def show(report: Report) -> None:
    print(f"\n== {report.name} ==")
    rows = [("what", "who", "median", "spread", "beside", "ratio", "goal")]
    rows += [_row(figure) for figure in report.figures]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for place, row in enumerate(rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if place == 0:
            print("  ".join("-" * width for width in widths))
    for name, reason in report.skipped.items():
        print(f"skipped {name}: {reason}")
    for note in report.notes:
        print(f"note: {note}")


def percentile(values: Iterable[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _row(figure: Figure) -> tuple[str, ...]:
    goal = ""
    if figure.goal is not None:
        sign = "≥" if figure.more_is_better else "≤"
        goal = f"{sign} {_number(figure.goal)} {'met' if figure.is_met else 'MISSED'}"
    spread = f"{_number(min(figure.rounds))}-{_number(max(figure.rounds))}" if len(figure.rounds) > 1 else ""
    ratio = f"{figure.ratio:.2f}x" if figure.ratio is not None else ""
    value = f"{_number(figure.value)} {figure.unit}"
    return figure.what, figure.who, value, spread, figure.beside, ratio, goal


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
