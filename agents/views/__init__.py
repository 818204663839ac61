"""The console's pages of runs, schedules and workers. Pages are whole without a script: see `runs.py`."""
