"""A model or the broker is away: the platform says so, and loses nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loomsite import embedded
from loomsite.ports import free_port
from tests.journeys.conftest import Caller, Fleet, offer


def test_a_model_that_is_down_fails_the_run_with_an_error_that_says_trying_again_may_help(
    fleet: Fleet, acme: Any, committed_db: None
) -> None:
    fleet.env |= {"OPENAI_BASE_URL": f"http://127.0.0.1:{free_port()}/v1", "OPENAI_API_KEY": "none"}
    offer(acme, "clerk", {"instructions": "Help.", "model": "gpt-4o-mini", "retry_policy": {"max_attempts": 1}})
    ann = Caller(fleet.web(), acme.token)
    fleet.worker()

    run_id = ann.start("clerk", "hello")
    assert ann.sse(run_id)[-1]["kind"] == "run.failed"

    run = ann.run(run_id)
    assert (run["status"], run["output"]) == ("failed", None)
    error = run["error"]
    assert (error["type"], error["retryable"]) == ("TransientModelError", True), error
    page = acme.member("ann").get(f"/runs/{run_id}").content.decode()
    assert "TransientModelError" in page
    assert "Trying again may help." in page


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a Valkey of its own, which may be stopped and started."""
    folder = tmp_path_factory.mktemp("broker") / "var"
    yield folder
    embedded.remove(folder)


def _start(broker: Path) -> str:
    return embedded.start(broker, database_url=os.environ["DATABASE_URL"]).redis_url


def test_while_the_broker_is_away_runs_are_accepted_at_once_and_done(
    fleet: Fleet, acme: Any, committed_db: None, broker: Path, wait_for: Callable[..., None]
) -> None:
    fleet.env["REDIS_URL"] = _start(broker)
    offer(acme, "quick-echo", {"program": "quick-echo"})
    ann = Caller(fleet.web(), acme.token)
    fleet.worker()
    ann.socket(ann.start("quick-echo", "before"))  # all is warm

    embedded.stop(broker)
    began = time.monotonic()
    run_ids = [ann.start("quick-echo", f"number {number}") for number in range(3)]
    took = (time.monotonic() - began) / len(run_ids)

    began = time.monotonic()
    assert [ann.socket(run_id)[-1]["kind"] for run_id in run_ids] == ["run.succeeded"] * 3
    print(f"accepted in {took:.2f} s without a broker, done after {time.monotonic() - began:.1f} s")  # noqa: T201
    assert took < 1

    _start(broker)
    assert ann.socket(ann.start("quick-echo", "after"))[-1]["kind"] == "run.succeeded"


def test_a_worker_that_begins_while_the_broker_is_away_takes_work_when_it_is_back(
    fleet: Fleet, acme: Any, committed_db: None, broker: Path
) -> None:
    fleet.env["REDIS_URL"] = _start(broker)
    embedded.stop(broker)
    offer(acme, "quick-echo", {"program": "quick-echo"})
    ann = Caller(fleet.web(), acme.token)
    run_id = ann.start("quick-echo", "early")
    process = fleet.start_worker()
    time.sleep(3)
    assert process.poll() is None, process.log.read_text()

    _start(broker)

    assert ann.socket(run_id)[-1]["kind"] == "run.succeeded"
