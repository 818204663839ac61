"""The benchmarks: `python -m bench`, or `make bench`.

Every figure stands beside a floor (the same work without a framework) or a peer, measured in the same minutes on the
same machine. Start at `__main__`; `sdk` measures the SDK, `platform` the processes, `drivers/` says how each framework
is asked to do the same thing.
"""
