"""What the SDK costs: no network, no database, one process for each framework, rounds taken in turn."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.measure import Report
from bench.peers import BY_HAND, ENVIRONMENTS, LOOM, PEERS, ROOT, Driver, Framework, Missing


@dataclass(frozen=True)
class Scenario:
    name: str
    what: str
    unit: str = "µs"
    goal: float | None = None
    show: Callable[[float], float] = lambda seconds: seconds * 1e6
    more_is_better: bool = False
    most_rounds: int = 100  # for what takes some frameworks long


def _per_second(seconds: float) -> float:
    return 1 / seconds


SCENARIOS = (
    Scenario("construct", "construct an agent with one tool", goal=12),
    Scenario("bare", "run, echo model", goal=100),
    Scenario("bare_after_10", "run of a user with 10 earlier runs", goal=100),
    Scenario("bare_after_1000", "run of a user with 1,000 earlier runs", goal=100),
    Scenario("bare_after_10000", "run of a user with 10,000 earlier runs", goal=100),
    Scenario("tool", "run with one tool call", goal=200),
    Scenario("tools_8", "run with 8 parallel tool calls", goal=500),
    Scenario("concurrent", "1,000 runs at once", "runs/s", 8000, _per_second, more_is_better=True, most_rounds=2),
    Scenario("all_layers_reading", "run with one tool, every layer, audit and journal in files", goal=2000),
    Scenario("all_layers_changing", "the same, and its tool changes something: a wait for the disk", goal=2000),
    Scenario("workflow_step", "workflow, each step", goal=15),
    Scenario("chain", "chain of 10 agents", goal=1200),
    Scenario("supervisor", "supervisor, one delegation", goal=500),
    Scenario("http", "2 model calls over HTTP and 1 tool"),
)
HTTP_OVERHEAD_MS = 2.0
IMPORT_MS = 120.0
HEAVY = ("django", "celery", "channels", "ninja", "openai", "anthropic", "litellm", "httpx", "mcp", "numpy", "torch")


def measure(*, quick: bool = False) -> Report:
    report = Report("sdk")
    rounds, seconds = (3, 0.1) if quick else (7, 0.4)
    frameworks = list(_installed(report))
    _imports(report, frameworks, min(rounds, 5))
    _heavy_modules(report)
    with ExitStack() as stack:
        environment = {**os.environ, "BENCH_OPENAI_URL": stack.enter_context(_openai_stub())}
        drivers = list(_started(stack, frameworks, environment, report))
        for scenario in SCENARIOS:
            _compare(report, scenario, drivers, rounds, seconds)
    _http_overhead(report)
    return report


def _installed(report: Report) -> Iterator[Framework]:
    yield LOOM
    yield BY_HAND
    for peer in PEERS:
        try:
            peer.python()
        except (Missing, OSError, subprocess.SubprocessError) as error:
            report.skipped[peer.name] = str(error)
        else:
            report.notes.append(f"{peer.name} is {peer.version()}")
            yield peer


def _started(
    stack: ExitStack, frameworks: Sequence[Framework], environment: dict[str, str], report: Report
) -> Iterator[Driver]:
    for framework in frameworks:
        try:
            yield stack.enter_context(Driver(framework, environment))
        except (Missing, OSError) as error:
            report.skipped[framework.name] = str(error)


def _compare(report: Report, scenario: Scenario, drivers: Sequence[Driver], rounds: int, seconds: float) -> None:
    """One round of each in turn, again and again, so that a busy moment of the machine meets all alike."""
    able = [driver for driver in drivers if scenario.name in driver.scenarios]
    found: dict[str, list[float]] = {driver.name: [] for driver in able}
    for _ in range(min(rounds, scenario.most_rounds)):
        for driver in list(able):
            try:
                found[driver.name].append(driver.run(scenario.name, seconds))
            except Missing as reason:
                report.skipped[f"{driver.name}, {scenario.what}"] = str(reason)
                able.remove(driver)
    ours = found.get(LOOM.name)
    for name, times in found.items():
        if not times:
            continue
        compared: dict[str, Any] = {"beside": LOOM.name, "ratio": median(times) / median(ours)} if ours else {}
        if name == LOOM.name:
            floor = found.get(BY_HAND.name)
            ratio = median(times) / median(floor) if floor else None
            goal = {"goal": scenario.goal, "more_is_better": scenario.more_is_better}
            compared = {"beside": BY_HAND.name if floor else "", "ratio": ratio, **goal}
        report.add(scenario.what, name, [scenario.show(time) for time in times], scenario.unit, **compared)


def _http_overhead(report: Report) -> None:
    """What a framework adds to the raw client, in milliseconds."""
    found = {figure.who: figure for figure in report.figures if figure.what.startswith("2 model calls over HTTP")}
    floor = found.pop(BY_HAND.name, None)
    for name, figure in found.items() if floor else ():
        goal = {"goal": HTTP_OVERHEAD_MS} if name == LOOM.name else {}
        added = [(one - other) / 1000 for one, other in zip(figure.rounds, floor.rounds, strict=True)]
        report.add("the same, more than the raw client", name, added, "ms", beside="raw client", **goal)


# --- starting ---------------------------------------------------------------------------------------------------------


def _imports(report: Report, frameworks: Sequence[Framework], rounds: int) -> None:
    """Wall time of a new interpreter that imports something, after one that filled the caches."""
    cases = {
        "python -c pass": (LOOM, "pass"),
        "import pydantic": (LOOM, "import pydantic"),
        "import loom": (LOOM, "import loom"),
        **{f"{f.name}: {f.first_import}": (f, f.first_import) for f in frameworks if f is not BY_HAND},
    }
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, (framework, code) in cases.items():
            words, folder = [framework.python(), "-c", code], ENVIRONMENTS if framework.packages else ROOT
            began = time.perf_counter()
            done = subprocess.run(words, cwd=folder, env=_caching(), capture_output=True, text=True, check=False)
            if done.returncode:
                report.skipped[name] = "; ".join(done.stderr.strip().splitlines()[-1:])
            elif number:
                found[name].append(1000 * (time.perf_counter() - began))
    floor = median(found["python -c pass"])
    for name, times in found.items():
        if not times:
            continue
        goal = {"goal": IMPORT_MS} if name == "import loom" else {}
        beside = "" if name == "python -c pass" else "python -c pass"
        report.add("start a process and import", name, times, "ms", beside=beside, ratio=median(times) / floor, **goal)


def _heavy_modules(report: Report) -> None:
    """How many of the packages that take long to load come with `import loom`."""
    code = "import sys, loom; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    found = sorted(set(HEAVY) & set(done.stdout.split()))
    report.add("import loom: Django, model clients, numpy loaded", LOOM.name, [len(found)], "modules", goal=0)
    if found:
        report.notes.append(f"import loom loads {', '.join(found)}")


def _caching() -> dict[str, str]:
    """An environment in which Python may keep its bytecode, as it does for users."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def _openai_stub() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.openai_stub"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.communicate(timeout=15)
