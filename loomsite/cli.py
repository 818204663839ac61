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
from loomsite import commands

STATUSES = ("queued", "running", "waiting", "cancelling", "succeeded", "failed", "cancelled")
SCOPES = ("read", "run", "admin")
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
