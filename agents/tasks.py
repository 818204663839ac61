"""What Celery does here: it tells this process to look for work, and starts and stops the part of it that works."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

from agents import queue, services, worker


@shared_task(name=queue.WAKE)
def wake() -> None:
    queue.taken()
    worker.wake()


@shared_task(name=queue.TICK)
def tick() -> None:
    services.tick()


@shared_task(name=queue.RETENTION)
def delete_old_runs() -> None:
    services.delete_old_runs()


@worker_ready.connect
def _start(**kwargs: Any) -> None:
    worker.start()


@worker_shutting_down.connect
def _stop(**kwargs: Any) -> None:
    worker.stop()


@worker_shutdown.connect
def _hand_over(**kwargs: Any) -> None:
    """Tell the others of what was given back; before this process has left the queue, it might take the word itself."""
    queue.wake_workers()
