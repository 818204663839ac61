"""Where keys come from: the argument, then a store of secrets, then the environment; and how they stay out of logs.

$ python examples/api_keys.py
OpenAIModel for gpt-4o, with the key of the store
the key is [REDACTED]
in the audit log: my key is [REDACTED]
"""

import asyncio
import os
import sys

from loom import Agent, InMemoryAuditLog
from loom.security import DictSecrets, EnvSecrets

MODEL = os.environ.get("LOOM_MODEL", "echo")
KEY = "sk-" + "example-only-" * 2


async def main(model: str = MODEL) -> str:
    store = DictSecrets({"OPENAI_API_KEY": KEY})  # or EnvSecrets(), or a class of yours around a vault
    asking = Agent("Answer.", model="gpt-4o", secrets=store)
    print(f"{type(asking.model).__name__} for {asking.model.name}, with the key of the store")
    print(store.redact(f"the key is {KEY}"))

    log = InMemoryAuditLog()
    agent = Agent("Answer.", model=model, secrets=EnvSecrets(), audit_log=log)
    await agent.run(f"my key is {KEY}")
    [started] = await log.query(action="run_started")
    print("in the audit log:", started.payload["prompt"])
    return started.payload["prompt"]


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
