"""What the commands of `loom` do: one request or a few, and what comes back as a table, a card or JSON."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from loom.errors import Denied, Invalid, NotFound
from loomsite.client import call, connect, follow, is_local, items, journal
from loomsite.lines import Telling, card, event_line, one_line, plain, table

if TYPE_CHECKING:
    import httpx2

URL = "http://127.0.0.1:8000"

Args = argparse.Namespace


# --- where, and as whom -----------------------------------------------------------------------------------------------


def _url() -> str:
    return os.environ.get("LOOM_URL") or URL


def _key() -> str | None:
    """The key of the environment, else the demo's: that one only for the platform on this machine."""
    if given := os.environ.get("LOOM_API_KEY", "").strip():
        return given
    if not is_local(_url()):
        return None
    root = Path(__file__).resolve().parents[1]
    try:
        return (root / (os.environ.get("LOOM_DATA_DIR") or "var") / "demo.key").read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def online(command: Callable[[httpx2.Client, Args], int | None]) -> Callable[[Args], int | None]:
    """A command that talks to the platform under our key."""

    @wraps(command)
    def run(args: Args) -> int | None:
        key = _key()
        if key is None:
            raise Denied("no API key: set LOOM_API_KEY to one of yours (`make run` prints one)")
        with connect(_url(), key) as http:
            return command(http, args)

    return run


# --- runs -------------------------------------------------------------------------------------------------------------


@online
def start_run(http: httpx2.Client, args: Args) -> int | None:
    body = {"agent": args.agent, "input": _input(args), "user_id": args.user, "session_id": args.session}
    run = call(http, "POST", "/runs", json=body)
    if not args.follow:
        show(args, run, f"{run['id']} {run['status']}: watch it with `loom runs events {run['id']} --follow`")
        return 0
    hint(f"run {run['id']}")
    _watch(http, args, run["id"], 0)
    run = call(http, "GET", f"/runs/{run['id']}")
    if args.json:
        say(json.dumps(run))
    elif run["status"] == "succeeded":
        say(f"\n{plain(run['output'] or '')}")
    if run["status"] == "succeeded":
        return 0
    reason = (run["error"] or {}).get("message") or "no reason was given"
    hint(f"loom: run {run['id']} {run['status']}: {one_line(reason, 2000)}")
    return 1


def _input(args: Args) -> Any:
    try:
        text = sys.stdin.read() if args.input == "-" else args.input
        text.encode()
    except UnicodeError as error:
        raise Invalid("the input is not text in UTF-8") from error
    if not args.json_input:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise Invalid(f"the input is not JSON: {error}") from error


@online
def list_runs(http: httpx2.Client, args: Args) -> None:
    found = items(http, "/runs", limit=args.limit, status=args.status, agent=args.agent, user_id=args.user)
    show_rows(args, found, _run_row)


def _run_row(run: dict[str, Any]) -> dict[str, str]:
    return {
        "id": run["id"],
        "status": run["status"],
        "agent": f"{run['agent']}@{run['agent_version']}",
        "user": one_line(run["user_id"] or "", 20),
        "created": moment(run["created_at"]),
        "input": one_line(run["input"], 50),
    }


@online
def show_run(http: httpx2.Client, args: Args) -> None:
    run = call(http, "GET", f"/runs/{args.id}")
    usage = run["usage"]
    facts = {
        **_run_row(run),
        "session": run["session_id"],
        "started": moment(run["started_at"]),
        "finished": moment(run["finished_at"]),
        "turns": str(run["turns"]),
        "tokens": f"{usage['input_tokens']} in, {usage['output_tokens']} out, {usage['cost_usd']:.4f} USD",
        "waiting for": ", ".join(run["waiting_for"]),
        "input": one_line(run["input"], 2000),
        "error": one_line(run["error"] or "", 2000),
        "output": plain(run["output"] or ""),
    }
    show(args, run, card(facts))


@online
def list_events(http: httpx2.Client, args: Args) -> None:
    run_id = args.id
    if args.follow:
        call(http, "GET", f"/runs/{run_id}")  # refused now rather than after a minute of patience
        _watch(http, args, run_id, args.after)
        return
    events = journal(http, run_id, after=args.after)
    if args.json:
        say(json.dumps(list(events), indent=2))
        return
    for event in events:
        say(event_line(event, _clock(event)))


def _watch(http: httpx2.Client, args: Args, run_id: str, after: int) -> None:
    """Print the run's events as they happen, to the last: JSON line by line, or lines with the text as it is said."""
    telling = Telling()
    try:
        for event in follow(http, run_id, after=after, tell=hint):
            sys.stdout.write(json.dumps(event) + "\n" if args.json else telling.tell(event, _clock(event)))
            sys.stdout.flush()
    except KeyboardInterrupt:
        hint(f"\nThe run goes on: `loom runs events {run_id} --follow` comes back to it.")
        raise


# --- agents -----------------------------------------------------------------------------------------------------------


@online
def list_agents(http: httpx2.Client, args: Args) -> None:
    show_rows(args, items(http, "/agents"), _agent_row)


def _agent_row(agent: dict[str, Any]) -> dict[str, str]:
    return {
        "slug": agent["slug"],
        "name": one_line(agent["name"], 40),
        "labels": ", ".join(f"{label} @{number}" for label, number in sorted(agent["labels"].items())),
        "created": moment(agent["created_at"]),
    }


@online
def show_agent(http: httpx2.Client, args: Args) -> None:
    path = f"/agents/{_part(args.slug)}"
    agent = call(http, "GET", path)
    versions = list(items(http, f"{path}/versions"))
    rows = [
        {
            "version": str(version["number"]),
            "labels": ", ".join(version["labels"]),
            "created": moment(version["created_at"]),
            "by": version["created_by"],
        }
        for version in versions
    ]
    spec = plain(json.dumps(versions[0]["spec"], indent=2, ensure_ascii=False))
    text = f"{card(_agent_row(agent) | {'about': one_line(agent['description'])})}\n\n{table(rows)}"
    show(args, {**agent, "versions": versions}, f"{text}\n\nversion {versions[0]['number']}:\n{spec}")


@online
def push_agent(http: httpx2.Client, args: Args) -> None:
    spec = _read_spec(args.file)
    slug = _slug(args.slug or spec.get("name") or Path(args.file).stem)
    try:
        agent = call(http, "GET", f"/agents/{slug}")
    except NotFound:
        agent = call(http, "POST", "/agents", json={"slug": slug, "spec": spec})
        number = 1
    else:
        number = call(http, "POST", f"/agents/{slug}/versions", json={"spec": spec})["number"]
    if args.promote:
        body = {"version": number, "label": args.promote}
        agent = call(http, "POST", f"/agents/{slug}/promote", json=body)
    on = ", ".join(label for label, version in sorted(agent["labels"].items()) if version == number)
    advice = f"labeled {on}" if on else f"put it to use with `loom agents promote {slug} {number}`"
    show(args, {**agent, "version": number}, f"{slug}@{number}: {advice}")


def _read_spec(file: str) -> dict[str, Any]:
    """The agent that a TOML file describes. Raises ConfigError for what no agent can be made of."""
    from agents.core.config import read_config, read_toml  # brings Pydantic

    spec = read_toml(file)
    if "program" not in spec:  # else the platform's code says the rest
        read_config({name: value for name, value in spec.items() if name != "tools"})
    return spec


def _slug(text: Any) -> str:
    if not re.fullmatch(r"[-a-zA-Z0-9_]{1,100}", str(text)):
        raise Invalid(f"{text!r} is no slug (letters, digits, `-` and `_`): give one with --slug")
    return str(text)


@online
def promote_agent(http: httpx2.Client, args: Args) -> None:
    body = {"version": args.version, "label": args.label}
    agent = call(http, "POST", f"/agents/{_part(args.slug)}/promote", json=body)
    show(args, agent, f"{agent['slug']}@{args.version} is {args.label} now")


# --- keys -------------------------------------------------------------------------------------------------------------


@online
def list_keys(http: httpx2.Client, args: Args) -> None:
    show_rows(args, items(http, "/keys"), _key_row)


def _key_row(key: dict[str, Any]) -> dict[str, str]:
    return {
        "id": key["id"],
        "name": one_line(key["name"], 40),
        "prefix": key["prefix"],
        "scopes": ", ".join(key["scopes"]),
        "created": moment(key["created_at"]),
        "last used": moment(key["last_used_at"]),
        "revoked": moment(key["revoked_at"]),
        "expires": moment(key["expires_at"]),
    }


@online
def create_key(http: httpx2.Client, args: Args) -> None:
    key = call(http, "POST", "/keys", json={"name": args.name, "scopes": args.scope})
    if not args.json:
        hint(f"Key {key['id']} with the scopes {', '.join(key['scopes'])}. This is shown once:")
    show(args, key, key["token"])


@online
def revoke_key(http: httpx2.Client, args: Args) -> None:
    call(http, "DELETE", f"/keys/{args.id}")
    show(args, {"id": args.id, "revoked": True}, f"key {args.id} is of no use any more")


# --- doctor -----------------------------------------------------------------------------------------------------------


def doctor(args: Args) -> int:
    from loomsite.doctor import examine

    findings = []
    for finding in examine(_url(), _key()):
        findings.append(finding)
        if not args.json:
            state, advice = ("ok", "") if finding.is_ok else ("problem", f": {finding.advice}")
            say(f"{state:<8} {finding.check:<10} {plain(finding.found)}{advice}")
    if args.json:
        document = [{"check": f.check, "ok": f.is_ok, "found": f.found, "advice": f.advice} for f in findings]
        say(json.dumps(document, indent=2))
    return 0 if all(finding.is_ok for finding in findings) else 1


# --- what is printed --------------------------------------------------------------------------------------------------


def show(args: Args, document: Any, text: str) -> None:
    say(json.dumps(document, indent=2) if args.json else text)


def show_rows(args: Args, rows: Iterable[dict[str, Any]], row_of: Callable[[dict[str, Any]], dict[str, str]]) -> None:
    found = list(rows)
    show(args, found, table([row_of(row) for row in found]))


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def hint(sentence: str) -> None:
    sys.stderr.write(f"{plain(sentence)}\n")


def moment(at: str | None) -> str:
    return f"{datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M:%S}" if at else ""


def _clock(event: dict[str, Any]) -> str:
    return f"{datetime.fromisoformat(event['at']).astimezone():%H:%M:%S}"


def _part(name: str) -> str:
    """A name as one part of a path, whatever is in it."""
    return quote(name, safe="")
