"""A process that has imported everything and becomes a worker by forking, so that one may die every second.

It reads a JSON line for each worker that is wanted and answers with its pid. The children are the same Celery workers
that `celery -A loomsite worker` starts.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from typing import Any


def main() -> None:
    import django
    import uvloop  # noqa: F401

    from loomsite.celery import app

    django.setup()
    app.loader.import_default_modules()
    app.finalize()
    from agents import assembly

    assembly.load_modules()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    _say("ready")
    for line in sys.stdin:
        wanted = json.loads(line)
        if (pid := os.fork()) == 0:
            try:
                _work(app, **wanted)
            finally:
                os._exit(1)
        _say(str(pid))


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def _work(
    app: Any,
    *,
    name: str,
    log: str,
    fault: str,
    sweep_seconds: float,
    lease_seconds: int | None,
    concurrency: int | None,
) -> None:
    from django.conf import settings

    from agents import worker
    from agents.core import faults

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(out, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    faults.arm(faults.parse(fault))
    worker.LOOK_AGAIN_SECONDS = sweep_seconds
    said = {"lease_seconds": lease_seconds, "worker_concurrency": concurrency}
    settings.LOOM = settings.LOOM.model_copy(update={k: v for k, v in said.items() if v is not None})
    words = ["--pool", "threads", "--concurrency", "2", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    try:
        app.worker_main(["worker", *words, "-n", f"{name}@%h"])
    except SystemExit as ended:
        os._exit(ended.code if isinstance(ended.code, int) else 0)


if __name__ == "__main__":
    main()
