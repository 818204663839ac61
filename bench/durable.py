"""Durable execution: steps a second, what a durable run takes longer, and how long journals get. Beside DBOS and
LangGraph's PostgreSQL checkpointer, on the same server in the same minutes."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from statistics import median
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from bench.deployment import Deployment, cpu_seconds, deployed
from bench.measure import Report
from bench.peers import Driver, Framework, Missing

LOOM = Framework("loom", "on_durable_loom.py", "from loom.runtime import PostgresRuntime")
DBOS = Framework("dbos", "on_dbos.py", "from dbos import DBOS", ("dbos", "psycopg[binary]"))
LANGGRAPH = Framework(
    "langgraph-postgres", "on_langgraph_postgres.py", "from langgraph.checkpoint.postgres import PostgresSaver",
    ("langgraph", "langgraph-checkpoint-postgres", "psycopg[binary,pool]"),
)  # fmt: skip
PEERS = (DBOS, LANGGRAPH)
STEPS_ALONE, STEPS_TOGETHER, OVERHEAD_MS, TIMES_THE_TEXT = 300.0, 1_500.0, 10.0, 2.0
TURNS = (10, 25, 50, 100)


def measure(*, quick: bool = False) -> Report:
    report = Report("durable")
    seconds, rounds = (0.5, 2) if quick else (3.0, 5)
    with ExitStack() as stack:
        platform = stack.enter_context(deployed(with_worker=False))
        drivers = {}
        for framework in (LOOM, *PEERS):
            try:
                environment = _environment(platform, framework)
                drivers[framework.name] = stack.enter_context(Driver(framework, environment))
            except Missing as error:
                report.skipped[framework.name] = str(error)
        for scenario, goal in (("sequence", STEPS_ALONE), ("concurrent", STEPS_TOGETHER)):
            _steps(report, drivers, scenario, goal, seconds, rounds)
        _overhead(report, drivers["loom"], seconds, rounds)
        _sizes(report, drivers)
    return report


def _steps(report: Report, drivers: dict[str, Driver], scenario: str, goal: float, seconds: float, rounds: int) -> None:
    """In turn, so that a busy moment of the machine meets all."""
    asked = [("loom, platform", drivers["loom"], f"platform_{scenario}"), ("loom, SDK", drivers["loom"], scenario)]
    asked += [(name, driver, scenario) for name, driver in drivers.items() if name != "loom"]
    found: dict[str, list[float]] = {who: [] for who, _, _ in asked}
    used: dict[str, list[float]] = {who: [] for who, _, _ in asked}
    for _ in range(rounds):
        for who, driver, name in asked:
            try:
                began, before = time.perf_counter(), cpu_seconds(driver.pid)
                each = driver.run(name, seconds)
                share = (cpu_seconds(driver.pid) - before) / (time.perf_counter() - began)
                found[who].append(1 / each)
                used[who].append(1000 * each * share)
            except Missing as error:
                report.skipped[f"{who}, {scenario}"] = str(error)
    best = max((median(rates) for who, rates in found.items() if rates and not who.startswith("loom")), default=None)
    for who, rates in found.items():
        is_ours = who.startswith("loom")
        beside = {"beside": "the faster peer", "ratio": median(rates) / best} if is_ours and best else {}
        if rates:
            report.add(
                f"durable steps, {scenario}", who, rates, "steps/s",
                more_is_better=True, goal=goal if is_ours else None, **beside,
            )  # fmt: skip
            report.add(f"processor of the program, {scenario}", who, used[who], "ms each step")


def _overhead(report: Report, loom: Driver, seconds: float, rounds: int) -> None:
    plain, durable = [], []
    for _ in range(rounds):
        plain.append(1000 * loom.run("plain_run", seconds / 2))
        durable.append(1000 * loom.run("durable_run", seconds))
    report.add("2 model calls and a tool, not durable", "loom", plain, "ms")
    report.add("2 model calls and a tool, durable", "loom", durable, "ms")
    more = [after - before for before, after in zip(plain, durable, strict=True)]
    report.add("what durability adds", "loom", more, "ms", goal=OVERHEAD_MS)


def _sizes(report: Report, drivers: dict[str, Driver]) -> None:
    for turns in TURNS:
        for who, name, scenario in (
            ("loom, platform", "loom", f"platform_bytes_{turns}"),
            ("loom, SDK", "loom", f"bytes_{turns}"),
            ("langgraph-postgres", "langgraph-postgres", f"bytes_{turns}"),
        ):
            if name not in drivers:
                continue
            try:
                times = drivers[name].run(scenario, 1)
            except Missing as error:
                report.skipped[f"{who}, {turns} turns"] = str(error)
                continue
            goal = TIMES_THE_TEXT if name == "loom" else None
            report.add(f"bytes on disk, {turns} turns", who, [times], "times what was said", goal=goal)


def _environment(platform: Deployment, framework: Framework) -> dict[str, str]:
    """A peer gets a database of its own on the same server."""
    owner = platform.environment["DATABASE_OWNER_URL"]
    environment = {**os.environ, **platform.environment, "BENCH_TENANT": "demo"}
    if framework is LOOM:
        return environment
    name = f"bench_{framework.name.replace('-', '_')}"
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return {**environment, "DATABASE_OWNER_URL": urlsplit(owner)._replace(path=f"/{name}").geturl()}
