"""`python -m bench [NAME …] [--quick] [--starts]`: run the benchmarks, print tables, write `bench/results/*.json`."""

from __future__ import annotations

import argparse
from importlib import import_module

from bench.measure import machine, show, warning

NAMES = ("sdk", "platform", "durable", "inflight")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to run, of {', '.join(NAMES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--starts", action="store_true", help="also time `make run` and `make demo`, which is slow")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    if busy := warning():
        print(f"WARNING: {busy}")
    for name in options.names or NAMES:
        more = {"starts": options.starts} if name == "platform" else {}
        report = import_module(f"bench.{name}").measure(quick=options.quick, **more)
        show(report)
        print(f"written to {report.write()}")


if __name__ == "__main__":
    main()
