"""The demo job, told live: a support mail goes to the agent `intake`, a gated call is approved, a ticket is filed.

A plain client of the REST API, as anybody's program would be: `python -m loomsite.demo URL`, with the key in
LOOM_API_KEY.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

from loomsite.env import ROOT

MODULES = "examples.intake"  # what LOOM_MODULES is when nobody says
INBOX = ROOT / "examples" / "inbox"
ENDS = ("run.succeeded", "run.failed", "run.cancelled")
DEADLINE_SECONDS = 300.0
WIDTH = 100
TOLD = ("agent", "node", "tool", "model", "args", "text", "reason", "error", "output")


def run_demo(client: httpx2.Client, mail: str) -> bool:
    """Start the run, print what happens, approve what it asks; did it succeed?"""
    run = _json(client.post("/api/v1/runs", json={"agent": "intake", "input": {"mail": mail}}))
    _say(f"run {run['id']}")
    _follow(client, run["id"])
    run = _json(client.get(f"/api/v1/runs/{run['id']}"))
    _say(f"\n{run['status']}: {_one_line(run['output'] if run['error'] is None else run['error'], 2000)}")
    return bool(run["status"] == "succeeded")


def _follow(client: httpx2.Client, run_id: str) -> None:
    """Print the run's events as they happen, to the last one; a broken stream is taken up where it broke."""
    began, seen, decided = time.monotonic(), 0, set[str]()
    while time.monotonic() - began < DEADLINE_SECONDS:
        try:
            with client.sse(f"/api/v1/runs/{run_id}/events", headers={"Last-Event-ID": str(seen)}) as stream:
                for frame in stream:
                    if not frame.data:  # `retry:` and comments
                        continue
                    event = json.loads(frame.data)
                    seen = max(seen, event.get("seq") or 0)
                    if event["kind"] != "model.delta":
                        _say(_line(event, time.monotonic() - began))
                    if event["kind"] == "approval.requested":
                        _approve(client, run_id, decided)
                    if event["kind"] in ENDS:
                        return
        except httpx2.TransportError as error:
            _say(f"the stream broke ({error}); going on after event {seen}")
        time.sleep(0.2)
    raise TimeoutError(f"run {run_id} did not end within {DEADLINE_SECONDS:g} s")


def _approve(client: httpx2.Client, run_id: str, decided: set[str]) -> None:
    """Say yes, as the operator would, to exactly what the approval shows."""
    for approval_id in _json(client.get(f"/api/v1/runs/{run_id}"))["waiting_for"]:
        if approval_id not in decided:
            decided.add(approval_id)
            approval = _json(client.get(f"/api/v1/approvals/{approval_id}"))
            _say(f"            approving {approval['tool']} {_one_line(approval['args'], WIDTH)}")
            answer = {"decision": "approve", "reason": "the demo's operator", "args_hash": approval["args_hash"]}
            _json(client.post(f"/api/v1/approvals/{approval_id}/decide", json=answer))


def _line(event: dict[str, Any], seconds: float) -> str:
    return f"{event['seq']:>4} {seconds:6.1f} s  {event['kind']:<36} {_gist(event['data'])}".rstrip()


def _gist(data: dict[str, Any]) -> str:
    """What a person wants to know of an event. The whole event is on the run's page."""
    value = data.get("value")
    flat = data | (value if isinstance(value, dict) else {"output": value})
    return _one_line("  ".join(_one_line(flat[name], WIDTH) for name in TOLD if flat.get(name)), WIDTH)


def _one_line(value: Any, width: int) -> str:
    text = " ".join((value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).split())
    return text if len(text) <= width else text[: width - 1] + "…"


def _json(response: httpx2.Response) -> Any:
    if response.is_error:
        raise RuntimeError(f"{response.request.method} {response.url} answered {response.status_code}: {response.text}")
    return response.json()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    mail = sorted(INBOX.glob("*.txt"))[0]
    headers = {"Authorization": f"Bearer {os.environ['LOOM_API_KEY']}"}
    # A proxy is for the outside; heartbeats come every 15 s, so a stream is silent for longer only when it is dead.
    with httpx2.Client(base_url=sys.argv[1], headers=headers, timeout=45, trust_env=False) as client:
        _say(f"mail {mail.relative_to(ROOT)}")
        sys.exit(0 if run_demo(client, Path(mail).read_text()) else 1)


if __name__ == "__main__":
    main()
