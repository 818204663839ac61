"""Start, stop or look at the embedded servers by hand: `python -m loomsite.embedded start`."""

import argparse
import sys
from pathlib import Path

from loom.errors import LoomError
from loomsite import embedded
from loomsite.env import load_env


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loomsite.embedded", description=__doc__)
    parser.add_argument("action", choices=("start", "stop", "status", "remove"))
    parser.add_argument("--data-dir", type=Path, help="default: LOOM_DATA_DIR, or var/ in the project")
    options = parser.parse_args()
    try:
        data_dir = options.data_dir or load_env().data_dir
        answer = getattr(embedded, options.action)(data_dir)
    except LoomError as error:
        sys.exit(f"loom: {error}")
    pids = (answer or embedded.status(data_dir)).pids if options.action != "remove" else {}
    for name in ("postgres", "valkey"):
        print(f"{name:<9}", f"runs, process {pids[name]}" if name in pids else "does not run")  # noqa: T201


if __name__ == "__main__":
    main()
