"""Everything that changes agents and runs."""

from agents.services.agents import add_version, archive_agent, change_agent, create_agent, promote
from agents.services.blobs import drop_orphan_blobs
from agents.services.claiming import (
    Claim,
    claim_runs,
    find_cancelled,
    release_runs,
    renew_leases,
)
from agents.services.due import tick
from agents.services.journal import STATUS, append_events, read_events, read_records, write_events
from agents.services.replaying import Preview, fork_run, preview_replay, retry_run
from agents.services.retention import delete_old_runs
from agents.services.schedules import (
    change_schedule,
    create_schedule,
    delete_schedule,
    fire_due_schedules,
    run_schedule_now,
)
from agents.services.starting import start_run
from agents.services.steering import cancel_run, take_decision
from agents.services.workers import forget_worker, report_worker

__all__ = [
    "STATUS",
    "Claim",
    "Preview",
    "add_version",
    "append_events",
    "archive_agent",
    "cancel_run",
    "change_agent",
    "change_schedule",
    "claim_runs",
    "create_agent",
    "create_schedule",
    "delete_old_runs",
    "delete_schedule",
    "drop_orphan_blobs",
    "find_cancelled",
    "fire_due_schedules",
    "forget_worker",
    "fork_run",
    "preview_replay",
    "promote",
    "read_events",
    "read_records",
    "release_runs",
    "renew_leases",
    "report_worker",
    "retry_run",
    "run_schedule_now",
    "start_run",
    "take_decision",
    "tick",
    "write_events",
]
