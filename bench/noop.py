"""The peer of the platform's queue: a Celery task that does nothing, on the same Valkey, with the same settings."""

from __future__ import annotations

import os

import redis
from celery import Celery

DONE = "bench:done"

app = Celery("bench.noop", broker=os.environ.get("REDIS_URL", "redis://"))
app.conf.update(task_ignore_result=True, task_default_queue="bench-noop", worker_prefetch_multiplier=1)


@app.task(name="bench.noop")
def noop(is_last: bool = False) -> None:
    if is_last:
        redis.Redis.from_url(os.environ["REDIS_URL"]).rpush(DONE, "1")
