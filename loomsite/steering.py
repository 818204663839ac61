"""What the commands of `loom` do that steer runs: cancel, retry, fork, and answer their questions.

What cannot be taken back is shown and asked about first, on stderr; stdout has what came of it.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from loom.errors import Invalid
from loomsite.client import call, items
from loomsite.commands import Args, hint, moment, online, show, show_rows
from loomsite.lines import card, one_line, plain, table

if TYPE_CHECKING:
    import httpx2


# --- runs -------------------------------------------------------------------------------------------------------------


@online
def cancel_run(http: httpx2.Client, args: Args) -> None:
    body = {"reason": args.reason, "compensate": args.compensate}
    run = call(http, "POST", f"/runs/{args.id}/cancel", json=body)
    show(args, run, f"run {run['id']} is {run['status']}")


@online
def retry_run(http: httpx2.Client, args: Args) -> int:
    body = {} if args.from_seq is None else {"from_seq": args.from_seq}
    return _replay(http, args, "retry", body, args.from_seq)


@online
def fork_run(http: httpx2.Client, args: Args) -> int:
    edit = _edit(args)
    body: dict[str, Any] = {"at_seq": args.at_seq}
    if edit:
        body["edit"] = edit
    if args.agent_version is not None:
        body["agent_version"] = args.agent_version
    return _replay(http, args, "fork", body, args.at_seq + bool(edit))


def _edit(args: Args) -> dict[str, Any]:
    """What is to be changed: at most one thing, as the parser has seen to."""
    given = {"input": args.input, "tool_result": args.tool_result, "message": args.message}
    return {what: _json_or_text(what, text) for what, text in given.items() if text is not None}


def _json_or_text(what: str, text: str) -> Any:
    """JSON where that is meant: for a tool's result whatever is some, else objects only."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if what == "tool_result" or isinstance(value, dict) else text


def _replay(http: httpx2.Client, args: Args, verb: str, body: dict[str, Any], from_seq: int | None) -> int:
    if not args.yes:
        params = {} if from_seq is None else {"from_seq": from_seq}
        hint(_told(call(http, "GET", f"/runs/{args.id}/replay", params=params)))
        if not _confirmed(verb):
            return 1
    run = call(http, "POST", f"/runs/{args.id}/{verb}", json=body)
    show(args, run, f"{run['id']} {run['status']}: watch it with `loom runs events {run['id']} --follow`")
    return 0


def _told(preview: dict[str, Any]) -> str:
    """A preview for people."""
    steps = [{"seq": str(s["seq"]), "kind": s["kind"], "step": one_line(s["step_key"], 60)} for s in preview["again"]]
    told = [f"{preview['kept']} finished steps are kept."]
    if steps:
        told += ["Done again, as far as it goes the same way:", table(steps)]
    if preview["effects"]:
        told += ["Calls that are made again:", table([_effect_row(effect) for effect in preview["effects"]])]
    return "\n".join(told)


def _effect_row(effect: dict[str, Any]) -> dict[str, str]:
    twice = "may happen twice" if effect["may_happen_twice"] else "no second effect"
    return {
        "seq": str(effect["seq"]),
        "tool": effect["tool"],
        "args": one_line(effect["args"], 60),
        "effect": effect["effect"],
        "and": "a person is asked first" if effect["asks_first"] else twice,
    }


# --- approvals --------------------------------------------------------------------------------------------------------


@online
def list_approvals(http: httpx2.Client, args: Args) -> None:
    found = items(http, "/approvals", limit=args.limit, status=args.status or ["pending"], run_id=args.run)
    show_rows(args, found, _row)


def _row(approval: dict[str, Any]) -> dict[str, str]:
    return {
        "id": approval["id"],
        "status": approval["status"],
        "risk": approval["risk"],
        "agent": approval["agent"],
        "tool": approval["tool"],
        "args": one_line(approval["args"], 50),
        "expires": moment(approval["expires_at"]),
    }


@online
def show_approval(http: httpx2.Client, args: Args) -> None:
    approval = call(http, "GET", f"/approvals/{args.id}")
    show(args, approval, _card(approval))


def _card(approval: dict[str, Any]) -> str:
    needed, four_eyes = approval["needed"], approval["four_eyes"]
    facts = {
        **_row(approval),
        "question": "did this happen? approve makes the call again" if approval["kind"] == "reconcile" else "",
        "run": approval["run_id"],
        "step": approval["step_key"],
        "for user": one_line(approval["user_id"] or "", 200),
        "started by": approval["requested_by"],
        "reason": one_line(approval["reason"], 2000),
        "who decides": f"{needed} of {', '.join(approval['approvers'])}"
        + (", not who started the run" if four_eyes else ""),
        "args": plain(json.dumps(approval["args"], ensure_ascii=False)),
        "args hash": approval["args_hash"],
    }
    said = [
        {
            "by": each["by"],
            "decision": each["decision"],
            "reason": one_line(each["reason"], 60),
            "at": moment(each["at"]),
        }
        for each in approval["decisions"]
    ]
    return card(facts) + (f"\n\n{table(said)}" if said else "")


@online
def decide(http: httpx2.Client, args: Args) -> int:
    """Decide about exactly what was shown: here and now, or before, as its hash says."""
    body: dict[str, Any] = {"decision": args.decision, "reason": args.reason}
    if args.decision == "edit":
        body["args"] = _arguments(args.args)
    if args.decision == "respond":
        body["response"] = args.response
    if args.args_hash is None:
        approval = call(http, "GET", f"/approvals/{args.id}")
        hint(_card(approval))
        if not args.yes and not _confirmed(args.decision):
            return 1
        body["args_hash"] = approval["args_hash"]
    else:
        body["args_hash"] = args.args_hash
    approval = call(http, "POST", f"/approvals/{args.id}/decide", json=body)
    show(args, approval, f"approval {approval['id']} is {approval['status']}")
    return 0


def _arguments(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Invalid(f"--args is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Invalid(f"--args is a JSON object with all the arguments, not {text}")
    return value


# --- asking first -----------------------------------------------------------------------------------------------------


def _confirmed(verb: str) -> bool:
    """Ask on the terminal. Raises Invalid where nobody is there to answer."""
    sys.stderr.write(f"{verb}? [y/N] ")
    sys.stderr.flush()
    said = sys.stdin.readline()
    if not said:
        hint("")
        raise Invalid(f"nobody has answered: {verb} with --yes where nobody can")
    if said.strip().lower() in ("y", "yes"):
        return True
    hint("nothing was done")
    return False
