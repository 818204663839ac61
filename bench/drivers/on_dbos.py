"""Durable steps on DBOS, on the PostgreSQL server of the platform that is measured."""

from __future__ import annotations

import os

from dbos import DBOS
from durable_work import RUNS, STEPS, per_step
from harness import serve

DBOS(config={"name": "bench", "system_database_url": os.environ["DATABASE_OWNER_URL"], "log_level": "ERROR"})


@DBOS.step()
async def effect(amount: int) -> str:
    return f"paid {amount}"


@DBOS.workflow()
async def run() -> int:
    for number in range(STEPS):
        await effect(number)
    return STEPS


async def one() -> None:
    assert await run() == STEPS


async def sequence(seconds: float) -> float:
    return await per_step(one, 1, seconds)


async def concurrent(seconds: float) -> float:
    return await per_step(one, RUNS, seconds)


if __name__ == "__main__":
    DBOS.launch()
    serve({"sequence": sequence, "concurrent": concurrent})
    DBOS.destroy()
