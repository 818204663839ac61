"""The invariants see what they are for: each is broken once, in a transaction that is taken back."""

from __future__ import annotations

import psycopg
import pytest

from tests.chaos import drive

EVENT = (
    "INSERT INTO agents_runevent (tenant_id, run_id, seq, kind, step_key, data, version, at) "
    "SELECT tenant_id, run_id, {seq}, {kind}, step_key, {data}, version, now() FROM agents_runevent "
    "WHERE run_id = %(run)s AND {where};"
)
RESUMED = EVENT.format(seq="{seq}", kind="'run.resumed'", data="'{{\"attempt\": {attempt}}}'", where="seq = 1")
BREAKS = {
    "I1": "UPDATE agents_run SET status = 'queued' WHERE id = %(run)s",
    "I2": EVENT.format(seq="seq + 1000", kind="kind", data="data", where="data ? 'value'"),
    "I3": RESUMED.format(seq=1001, attempt=3) + RESUMED.format(seq=1002, attempt=2),
    "I4": "DELETE FROM agents_runevent WHERE run_id = %(run)s AND seq = 2",
    "I5": "UPDATE agents_run SET cost_usd = 1 WHERE id = %(run)s",
    "I6": "DELETE FROM audit_entry WHERE subject = 'run:' || %(run)s",
    "I7": (
        "ALTER TABLE agents_run DROP CONSTRAINT run_lease_only_while_it_runs;"
        "UPDATE agents_run SET lease_until = now() WHERE id = %(run)s"
    ),
    "I8 an idempotency key": "INSERT INTO chaos_charge VALUES (%(run)s), (%(run)s)",
    "I8 a step in our database": "INSERT INTO chaos_count SELECT * FROM chaos_count LIMIT 1",
}


@pytest.fixture(scope="module")
def run(acme: drive.Tenant) -> str:
    acme.arena.worker()
    [run] = acme.start("three-steps", [{"name": "sound", "seconds": 0.05}])
    assert acme.finish([run]) == {run: "succeeded"}
    acme.arena.keep(0)
    assert acme.broken() == []
    return run


@pytest.mark.parametrize("name", BREAKS)
def test_an_invariant_that_is_broken_is_told(tenant: drive.Tenant, run: str, name: str) -> None:
    with psycopg.connect(tenant.arena.env["DATABASE_OWNER_URL"], cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(BREAKS[name], {"run": run})
        told = connection.execute(drive.INVARIANTS).fetchall()
        connection.rollback()

    assert any(invariant.startswith(name) for invariant, _, _ in told), told
