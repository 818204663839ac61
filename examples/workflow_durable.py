"""A workflow that is cut off goes on after the steps that are done, and a step that is tried again has the same key.

$ python examples/workflow_durable.py
reserve tea
charge: no answer
charge: no answer
cut off: the bank does not answer
charge: fine
tea is paid
every try with one key: True
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from loom import Workflow, get_run_context
from loom.governance import RetryPolicy
from loom.runtime import SqliteRuntime

MODEL = os.environ.get("LOOM_MODEL")  # there is no model in this one
keys: list[str | None] = []


async def reserve(item: str) -> str:
    print("reserve", item)
    return item


async def charge(item: str) -> str:
    keys.append(get_run_context().idempotency_key)  # hand it to the bank, and it charges once
    answers = len(keys) > 2
    print("charge:", "fine" if answers else "no answer")
    if not answers:
        raise ConnectionError("the bank does not answer")
    return f"{item} is paid"


def order(runtime: SqliteRuntime) -> Workflow:
    """The workflow as each start of the program makes it."""
    twice = RetryPolicy(max_attempts=2, initial_delay_s=0.01)
    workflow = Workflow("order", runtime=runtime)
    workflow.add_node("reserve", reserve).add_node("charge", charge, retry=twice, timeout=5)
    return workflow.add_edge("reserve", "charge").set_start("reserve")


async def main(model: str | None = MODEL) -> str:
    keys.clear()
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder, "runs.db")
        runtime = SqliteRuntime(journal)
        try:
            await order(runtime).run("tea", user_id="ann", session_id="order-17")
        except ConnectionError as error:
            print("cut off:", error)
        await runtime.aclose()

        runtime = SqliteRuntime(journal)  # the next process
        result = await order(runtime).resume("order-17", "tea", user_id="ann")
        await runtime.aclose()
    print(result.output)
    print("every try with one key:", len(set(keys)) == 1)
    return result.output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
