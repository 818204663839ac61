"""The console's pages about approvals. `members.py` says whose pages they are."""
