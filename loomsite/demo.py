"""The demo job, told live: a support mail goes to the agent `intake`, a gated call is approved, a ticket is filed.

A plain client of the REST API, as anybody's program would be: `python -m loomsite.demo URL`, with the key in
LOOM_API_KEY.
"""

import os
import sys
import time
from pathlib import Path

import httpx2

from loomsite.client import call, connect, follow
from loomsite.env import ROOT
from loomsite.lines import event_line, one_line

MODULES = "examples.intake"  # what LOOM_MODULES is when nobody says
INBOX = ROOT / "examples" / "inbox"
DEADLINE_SECONDS = 300.0


def run_demo(client: httpx2.Client, mail: str) -> bool:
    """Start the run, print what happens, approve what it asks; did it succeed?"""
    run = call(client, "POST", "/runs", json={"agent": "intake", "input": {"mail": mail}})
    _say(f"run {run['id']}")
    _watch(client, run["id"])
    run = call(client, "GET", f"/runs/{run['id']}")
    _say(f"\n{run['status']}: {one_line(run['output'] if run['error'] is None else run['error'], 2000)}")
    return bool(run["status"] == "succeeded")


def _watch(client: httpx2.Client, run_id: str) -> None:
    """Print the run's events as they happen, to the last one."""
    began, decided = time.monotonic(), set[str]()
    for event in follow(client, run_id, tell=_say):
        seconds = time.monotonic() - began
        if seconds > DEADLINE_SECONDS:
            raise TimeoutError(f"run {run_id} did not end within {DEADLINE_SECONDS:g} s")
        if event["kind"] != "model.delta":
            _say(event_line(event, f"{seconds:6.1f} s"))
        if event["kind"] == "approval.requested":
            _approve(client, run_id, decided)


def _approve(client: httpx2.Client, run_id: str, decided: set[str]) -> None:
    """Say yes, as the operator would, to exactly what the approval shows."""
    for approval_id in call(client, "GET", f"/runs/{run_id}")["waiting_for"]:
        if approval_id not in decided:
            decided.add(approval_id)
            approval = call(client, "GET", f"/approvals/{approval_id}")
            _say(f"            approving {approval['tool']} {one_line(approval['args'])}")
            answer = {"decision": "approve", "reason": "the demo's operator", "args_hash": approval["args_hash"]}
            call(client, "POST", f"/approvals/{approval_id}/decide", json=answer)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    mail = sorted(INBOX.glob("*.txt"))[0]
    with connect(sys.argv[1], os.environ["LOOM_API_KEY"]) as client:
        _say(f"mail {mail.relative_to(ROOT)}")
        sys.exit(0 if run_demo(client, Path(mail).read_text()) else 1)


if __name__ == "__main__":
    main()
