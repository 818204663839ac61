"""Ann works from a terminal: the command-line client against a web process and a worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.core.registry import registry
from tests.journeys.conftest import Fleet, offer

ROOT = Path(__file__).parents[2]
TEN_WORDS = "one two three four five six seven eight nine ten"

Loom = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def address(module_fleet: Fleet) -> str:
    address = module_fleet.web()
    module_fleet.worker()
    return f"http://{address}"


@pytest.fixture
def loom(address: str, acme: Any, committed_db: None) -> Loom:
    def run(*words: str, key: str = acme.token, stdin: str = "") -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "LOOM_URL": address, "LOOM_API_KEY": key}
        command = [sys.executable, "-m", "loomsite.cli", *words]
        return subprocess.run(command, cwd=ROOT, env=env, input=stdin, capture_output=True, text=True, timeout=120)

    return run


def test_a_followed_run_is_told_as_it_happens_and_ends_with_the_answer(loom: Loom, acme: Any) -> None:
    offer(acme, "slow-echo", {"program": "slow-echo"})

    done = loom("run", "slow-echo", "-", "--follow", stdin=TEN_WORDS)

    assert done.returncode == 0, done.stderr
    assert [kind in done.stdout for kind in ("run.started", "model.completed", "run.succeeded")] == [True] * 3
    assert done.stdout.endswith(f"\n\nEcho: {TEN_WORDS}\n")
    assert "Echo: one two" in done.stdout.partition("model.completed")[0]


def test_a_run_that_fails_fails_the_command(loom: Loom, acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.programs, "nobody-wrote-this", object())  # here, but in no worker
    offer(acme, "nobody", {"program": "nobody-wrote-this"})

    done = loom("run", "nobody", "Hello", "--follow")

    assert done.returncode == 1
    assert "nobody-wrote-this" in done.stderr.splitlines()[-1]


def test_a_wrong_key_fails_with_the_sentence_of_the_api(loom: Loom) -> None:
    done = loom("runs", "list", key="loom_0000000000_guess")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "loom: the API key is unknown, revoked or expired\n"


def test_an_agent_is_pushed_promoted_and_run(loom: Loom, tmp_path: Path) -> None:
    file = tmp_path / "parrot.toml"
    file.write_text('instructions = "Repeat."\nmodel = "echo"\n')
    assert loom("agents", "push", str(file)).stdout == "parrot@1: labeled production\n"
    file.write_text('instructions = "Repeat it louder."\nmodel = "echo"\n')
    assert "loom agents promote parrot 2" in loom("agents", "push", str(file)).stdout
    assert loom("agents", "promote", "parrot", "2").returncode == 0

    done = loom("run", "parrot", "Hello", "--follow")
    listed = loom("runs", "list", "--agent", "parrot", "--json")

    assert done.stdout.endswith("\n\nEcho: Hello\n"), done.stderr
    (run,) = json.loads(listed.stdout)
    assert (run["status"], run["agent_version"], run["output"]) == ("succeeded", 2, "Echo: Hello")


def test_a_question_is_answered_and_the_run_tried_otherwise(
    loom: Loom, acme: Any, wait_for: Callable[..., None]
) -> None:
    offer(acme, "cashier", {"program": "cashier"})
    run_id = json.loads(loom("run", "cashier", '{"amount": 500}', "--json-input", "--json").stdout)["id"]
    wait_for(lambda: run_id in loom("runs", "list", "--status", "waiting").stdout)
    (question,) = json.loads(loom("approvals", "list", "--run", run_id, "--json").stdout)

    nobody = loom("approvals", "approve", question["id"])
    wrong = loom("approvals", "approve", question["id"], "--args-hash", "0" * 64)
    misfit = loom("approvals", "edit", question["id"], "--args", '{"amount": "much"}', "--yes")
    edited = loom("approvals", "edit", question["id"], "--args", '{"amount": 5}', stdin="y\n")
    again = loom("approvals", "reject", question["id"], "--yes")

    assert [done.returncode for done in (nobody, wrong, misfit, edited, again)] == [1, 1, 1, 0, 1]
    assert "with --yes" in nobody.stderr
    assert "look at them again" in wrong.stderr
    assert "/args/amount" in misfit.stderr
    assert '{"amount": 500}' in edited.stderr
    assert "is edited already" in again.stderr
    loom("runs", "events", run_id, "--follow")
    assert json.loads(loom("runs", "show", run_id, "--json").stdout)["output"] == "paid 5"

    journal = json.loads(loom("runs", "events", run_id, "--json").stdout)
    [at] = [str(event["seq"]) for event in journal if event["kind"] == "tool.completed"]
    forked = loom("runs", "fork", run_id, "--at", at, "--tool-result", "refused", stdin="y\n")
    fork_id = forked.stdout.split()[0]
    loom("runs", "events", fork_id, "--follow")
    assert json.loads(loom("runs", "show", fork_id, "--json").stdout)["output"] == "refused", forked.stderr


def test_a_run_is_cancelled_and_then_retried(loom: Loom, acme: Any, wait_for: Callable[..., None]) -> None:
    offer(acme, "cashier", {"program": "cashier"})
    run_id = json.loads(loom("run", "cashier", '{"amount": 5}', "--json-input", "--json").stdout)["id"]
    wait_for(lambda: run_id in loom("runs", "list", "--status", "waiting").stdout)

    refused = loom("runs", "retry", run_id, "--yes")
    cancelled = loom("runs", "cancel", run_id, "--reason", "not today")
    retried = loom("runs", "retry", run_id, stdin="y\n")

    assert (refused.returncode, "only a run that has ended is retried" in refused.stderr) == (1, True)
    assert cancelled.stdout == f"run {run_id} is cancelled\n"
    assert retried.returncode == 0, retried.stderr
    assert "0 finished steps are kept" in retried.stderr
    again = retried.stdout.split()[0]
    wait_for(lambda: again in loom("runs", "list", "--status", "waiting").stdout)


def test_every_command_that_reads_says_json_to_programs(loom: Loom, acme: Any) -> None:
    acme.agent("parrot")
    run = json.loads(loom("run", "parrot", "Hello", "--json").stdout)
    loom("runs", "events", run["id"], "--follow")

    commands = [
        ("runs", "list"), ("runs", "show", run["id"]), ("runs", "events", run["id"]), ("agents", "list"),
        ("agents", "show", "parrot"), ("keys", "list"), ("doctor",),
    ]  # fmt: skip
    for words in commands:
        done = loom(*words, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout), words
        assert loom(*words).returncode == 0, words


def test_a_new_key_works_until_it_is_revoked(loom: Loom) -> None:
    key = json.loads(loom("keys", "create", "website", "--scope", "read", "--json").stdout)

    before = loom("agents", "list", key=key["token"])
    refused = loom("keys", "revoke", key["id"], key=key["token"])
    revoked = loom("keys", "revoke", key["id"])
    doctor = loom("doctor", key=key["token"])

    assert (before.returncode, before.stdout) == (0, "nothing\n")
    assert (refused.returncode, refused.stderr) == (1, "loom: this takes the scope 'admin'; the credential has read\n")
    assert revoked.returncode == 0
    while "valid: website" in doctor.stdout:  # a server may believe in a key for a second more
        doctor = loom("doctor", key=key["token"])
    assert doctor.returncode == 1
    assert "problem  key        the API key is unknown, revoked or expired: set LOOM_API_KEY" in doctor.stdout
