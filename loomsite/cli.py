"""`loom`: the platform from a terminal.

A client of the REST API like any other. It starts in the time Python takes: whatever is slow to import waits for the
command that needs it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any
from uuid import UUID

from loom.errors import LoomError
from loomsite import commands, steering

STATUSES = ("queued", "running", "waiting", "cancelling", "succeeded", "failed", "cancelled")
SCOPES = ("read", "run", "approve", "admin")
QUESTION_STATUSES = ("pending", "approved", "edited", "rejected", "responded", "expired", "superseded")
INTERRUPTED, BROKEN_PIPE = 130, 141  # what a shell says of programs that SIGINT and SIGPIPE ended


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    args = _parser().parse_args(argv)
    try:
        code = args.command(args)
        sys.stdout.flush()
        return int(code or 0)
    except LoomError as error:
        commands.hint(f"loom: {error}")
        return 1
    except KeyboardInterrupt:
        commands.hint("")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return BROKEN_PIPE


EXAMPLES = """\
examples:
  loom run assistant "Say hello in French." --follow
  loom runs list --status failed --limit 5
  loom runs retry ID
  loom approvals list
  loom agents push translator.toml --promote production
  loom doctor

environment:
  LOOM_URL      where the platform is (default http://127.0.0.1:8000)
  LOOM_API_KEY  your key; without it, the demo's key of the platform on this machine
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loom", description="Loom from a terminal.", epilog=EXAMPLES, formatter_class=_AsWritten
    )
    parser.add_argument("--json", action="store_true", help="JSON for programs instead of tables for people")
    words = parser.add_subparsers(required=True, metavar="COMMAND")
    _run_words(words)
    runs = _group(words, "runs", "list, show and watch runs")
    _runs_words(runs)
    _steering_words(runs)
    _approvals_words(_group(words, "approvals", "list, show and decide what runs ask people"))
    _agents_words(_group(words, "agents", "list, show, push and promote agents"))
    _keys_words(_group(words, "keys", "list, create and revoke API keys"))
    _add(words, "doctor", "say what works, what does not, and what to do", commands.doctor, "loom doctor")
    return parser


def _run_words(words: Any) -> None:
    run = _add(
        words, "run", "start a run of an agent", commands.start_run,
        'loom run assistant "Say hello." --follow', "loom run summary - < report.txt",
        """loom run intake@2 '{"mail": "Hello"}' --json-input""",
    )  # fmt: skip
    run.add_argument("agent", help="slug, slug@3 or slug@label")
    run.add_argument("input", help="what the agent is asked; - reads it from stdin")
    run.add_argument("--user", help="whom the run is for, in your words")
    run.add_argument("--session", help="the conversation to go on with")
    run.add_argument("--follow", action="store_true", help="print what happens and then the answer; fail if it fails")
    run.add_argument("--json-input", action="store_true", help="the input is a JSON object")


def _steering_words(words: Any) -> None:
    cancelled = _add(
        words, "cancel", "end a run", steering.cancel_run, 'loom runs cancel ID --reason "wrong customer" --compensate'
    )
    cancelled.add_argument("id", type=_id)
    cancelled.add_argument("--reason", default="", help="why, for whoever looks at the run")
    cancelled.add_argument("--compensate", action="store_true", help="undo what its tools have done and can undo")
    retried = _add(
        words, "retry", "go on with an ended run in a new one", steering.retry_run,
        "loom runs retry ID", "loom runs retry ID --from 12 --yes",
    )  # fmt: skip
    retried.add_argument("id", type=_id)
    retried.add_argument(
        "--from", dest="from_seq", metavar="SEQ", type=_count,
        help="do this event and what follows again (else what was unfinished); `loom runs events` has the numbers",
    )  # fmt: skip
    forked = _add(
        words, "fork", "go on otherwise in a new run", steering.fork_run,
        "loom runs fork ID --at 1 --input 'Ask this instead.'",
        """loom runs fork ID --at 7 --tool-result '{"temperature": 3}'""",
        "loom runs fork ID --at 5 --message 'I do not know.' --agent-version 4",
    )  # fmt: skip
    forked.add_argument("id", type=_id)
    forked.add_argument(
        "--at", dest="at_seq", metavar="SEQ", type=_count, required=True,
        help="the event to change, or without a change the first one to do again",
    )  # fmt: skip
    edit = forked.add_mutually_exclusive_group()
    edit.add_argument("--input", help="what to ask instead (run.started): text or a JSON object")
    edit.add_argument(
        "--tool-result", metavar="VALUE", help="what the tool shall have said (tool.completed): JSON or text"
    )
    edit.add_argument(
        "--message", help="what the model shall have said (model.completed): text, or JSON with `text` and `tool_calls`"
    )
    forked.add_argument("--agent-version", metavar="N", type=_count, help="go on with this version of the agent")
    for parser in (retried, forked):
        _yes(parser)


def _approvals_words(words: Any) -> None:
    listed = _add(
        words, "list", "what is waiting for an answer", steering.list_approvals,
        "loom approvals list", "loom approvals list --run ID --status approved",
    )  # fmt: skip
    listed.add_argument(
        "--status", action="append", choices=QUESTION_STATUSES, help="(pending) may be given repeatedly"
    )
    listed.add_argument("--run", metavar="ID", type=_id, help="of one run")
    listed.add_argument("--limit", type=_count, default=20, help="at most so many (20)")
    shown = _add(words, "show", "one question, in full", steering.show_approval, "loom approvals show ID")
    shown.add_argument("id", type=_id)
    decisions = {
        "approve": ("let the call be made as it is shown", "loom approvals approve ID"),
        "edit": ("let the call be made with other arguments", """loom approvals edit ID --args '{"amount": 5}'"""),
        "reject": ("keep the call from being made", 'loom approvals reject ID --reason "over the limit"'),
        "respond": ("answer the model in the tool's place", 'loom approvals respond ID "It was paid last week."'),
    }
    for decision, (about, example) in decisions.items():
        parser = _add(words, decision, about, steering.decide, example)
        parser.set_defaults(decision=decision)
        parser.add_argument("id", type=_id)
        if decision == "edit":
            parser.add_argument("--args", required=True, metavar="JSON", help="all the arguments, as one JSON object")
        if decision == "respond":
            parser.add_argument("response", help="what the model reads")
        parser.add_argument("--reason", default="", help="why; after `reject` the model reads it")
        parser.add_argument("--args-hash", metavar="HASH", help="decide about what `show` said, without being asked")
        _yes(parser)


def _yes(parser: Any) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _runs_words(words: Any) -> None:
    listed = _add(
        words, "list", "the newest runs", commands.list_runs, "loom runs list --agent assistant --status failed"
    )
    listed.add_argument("--status", action="append", choices=STATUSES, help="may be given more than once")
    listed.add_argument("--agent", help="slug, slug@3 or slug@label")
    listed.add_argument("--user", help="whom the runs were for")
    listed.add_argument("--limit", type=_count, default=20, help="at most so many (20)")
    shown = _add(words, "show", "one run and its answer", commands.show_run, "loom runs show ID --json")
    shown.add_argument("id", type=_id)
    events = _add(words, "events", "what happened in a run", commands.list_events, "loom runs events ID --follow")
    events.add_argument("id", type=_id)
    events.add_argument("--follow", action="store_true", help="stay until the run is over, with the text as it is said")
    events.add_argument("--after", type=_number, default=0, help="leave out the events up to this number")


def _agents_words(words: Any) -> None:
    _add(words, "list", "the agents of your tenant", commands.list_agents, "loom agents list")
    shown = _add(words, "show", "one agent and its versions", commands.show_agent, "loom agents show assistant")
    shown.add_argument("slug")
    pushed = _add(
        words, "push", "make an agent from a TOML file, or a new version of it", commands.push_agent,
        "loom agents push clerk.toml", "loom agents push clerk.toml --slug clerk-2 --promote staging",
    )  # fmt: skip
    pushed.add_argument(
        "file", metavar="FILE.toml", help="what `Agent.from_config` reads; `tools` names registered ones"
    )
    pushed.add_argument("--slug", help="the agent's slug (else its name in the file, else the file's name)")
    pushed.add_argument("--promote", metavar="LABEL", help="move this label to the version")
    promoted = _add(
        words,
        "promote",
        "move a label to a version",
        commands.promote_agent,
        "loom agents promote clerk 3 --label staging",
    )
    promoted.add_argument("slug")
    promoted.add_argument("version", type=_count)
    promoted.add_argument("--label", default="production", help="the label (production)")


def _keys_words(words: Any) -> None:
    _add(words, "list", "the API keys of your tenant", commands.list_keys, "loom keys list")
    created = _add(
        words, "create", "make a key and print it, once", commands.create_key,
        "loom keys create website --scope run --scope read",
    )  # fmt: skip
    created.add_argument("name", help="what the key is for")
    created.add_argument("--scope", action="append", required=True, choices=SCOPES, help="may be given more than once")
    revoked = _add(words, "revoke", "make a key useless", commands.revoke_key, "loom keys revoke ID")
    revoked.add_argument("id", type=_id, help="the key's id, as `loom keys list` shows it")


class _AsWritten(argparse.RawDescriptionHelpFormatter):
    """Examples keep their lines."""


def _group(words: Any, name: str, about: str) -> Any:
    return words.add_parser(name, help=about, description=about).add_subparsers(required=True, metavar="COMMAND")


def _add(words: Any, name: str, about: str, command: Callable[[argparse.Namespace], int | None], *examples: str) -> Any:
    epilog = "\n  ".join(("examples:", *examples))
    parser = words.add_parser(name, help=about, description=about, epilog=epilog, formatter_class=_AsWritten)
    parser.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="JSON for programs instead of tables for people"
    )
    parser.set_defaults(command=command)
    return parser


def _id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no id; `list` shows them") from None


def _count(text: str) -> int:
    if (number := _number(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
