"""PostgreSQL and Valkey from Python wheels, for a machine that has neither.

`start(data_dir)` finds the running servers of a data folder or starts them, and writes down under `data_dir` what they
need: free ports, passwords, keys. Needs no Django and no settings; `python -m loomsite.embedded` is the same by hand.
"""

from loomsite.embedded.services import Services, remove, start, status, stop

__all__ = ["Services", "remove", "start", "status", "stop"]
