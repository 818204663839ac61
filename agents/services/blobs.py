"""Large values of journals: kept once for a tenant, for as long as an event names them."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import connection, transaction

# Who names a blob that is there holds its row until the event is on disk, so that it cannot be dropped meanwhile. In
# one order, so that two who name the same ones do not wait for each other.
_KEEP = """
INSERT INTO agents_blob AS blob (tenant_id, sha256, body)
SELECT current_setting('loom.tenant')::uuid, b.sha256, b.body
FROM unnest(%(sha256)s::text[], %(body)s::text[]) AS b(sha256, body) ORDER BY b.sha256
ON CONFLICT (tenant_id, sha256) DO UPDATE SET sha256 = excluded.sha256
"""
_NAMED = "SELECT unnest(e.blobs) FROM agents_runevent e WHERE e.blobs IS NOT NULL"
_LOCK = f"SELECT id FROM agents_blob WHERE sha256 NOT IN ({_NAMED}) LIMIT %(limit)s FOR UPDATE SKIP LOCKED"  # noqa: S608
_DROP = f"DELETE FROM agents_blob WHERE id = ANY(%(ids)s) AND sha256 NOT IN ({_NAMED})"  # noqa: S608


def keep_blobs(bodies: Mapping[str, str]) -> None:
    """Store JSON texts by their SHA-256, in the tenant's scope and the transaction that stores the events."""
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, {"sha256": list(bodies), "body": list(bodies.values())})


@transaction.atomic
def drop_orphan_blobs(*, limit: int = 1_000) -> int:
    """Delete blobs of this tenant that no event names any more, so many at most; how many went.

    For whoever deletes runs: deleting the events is enough, this may follow whenever it likes. The rows are locked
    before they are looked at again, because an event that names one of them may have been on its way.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, {"limit": limit})
        ids = [row[0] for row in cursor.fetchall()]
        if not ids:
            return 0
        cursor.execute(_DROP, {"ids": ids})
        return int(cursor.rowcount)
