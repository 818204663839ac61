"""What the workers of these tests run: named in their LOOM_MODULES."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import anyio

from agents.core.tools.builtin.shell import bash_tool
from loom import Agent, EchoModel, Workflow, get_run_context, register, tool
from loom.governance import BudgetConfig, StandardBudget


def _trace(*words: str) -> None:
    """One write of one line: also two processes at once do not mix."""
    file = os.open(Path(os.environ["CHAOS_FOLDER"], "steps"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{' '.join(words)} {os.getpid()} {time.time()}\n".encode())
    os.close(file)


@tool(effect="transactional")
def count(name: str, seconds: float) -> dict[str, Any]:
    """Write a row of the tenant's, in the transaction of the step."""
    from django.db import connection

    _trace("count", name)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chaos_count (tenant_id, name) VALUES (current_setting('loom.tenant')::uuid, %s)", [name]
        )
    return {"name": name, "seconds": seconds}


async def wait(value: dict[str, Any]) -> dict[str, Any]:
    """Take a while."""
    _trace("wait", value["name"])
    await anyio.sleep(value["seconds"])
    return value


@tool
def pay(name: str, seconds: float) -> str:
    """Charge somebody's card, under the key of this step."""
    _trace("pay", name)
    key = get_run_context().idempotency_key
    body = json.dumps({"name": name}).encode()
    request = Request(os.environ["CHAOS_PAYMENTS"], body, {"Idempotency-Key": key or "", "X-Seconds": str(seconds)})
    with urlopen(request, timeout=20) as response:
        return f"paid: {json.load(response)['charge']}"


register(Workflow.chain([count, wait, pay], name="three-steps"))


# A second call of its model waits until the first is settled, so nobody goes on after a reservation that leaked.
THRIFT = StandardBudget(BudgetConfig(max_tokens=7_000))
register(Agent("Repeat.", name="thrifty", model=EchoModel(cost_per_token=0.001), budget=THRIFT))


async def die(value: dict[str, Any]) -> str:
    """Take the whole process down, whoever tries."""
    _trace("die", value["name"])
    os._exit(139)


register(Workflow.chain([die], name="poison"))


async def stay(value: dict[str, Any]) -> str:
    """Take until the file of that name is there."""
    _trace("stay", value["name"])
    while not Path(os.environ["CHAOS_FOLDER"], value["name"]).exists():
        await anyio.sleep(0.05)
    return f"{value['name']} came"


register(Workflow.chain([stay], name="stay"))
register(Workflow.chain([bash_tool(os.environ.get("CHAOS_FOLDER", "."), timeout=600)], name="shell"))
