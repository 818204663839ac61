"""Whose rows the database shows.

Every tenant table carries `tenant_id` and one policy: the row's tenant equals the setting `loom.tenant` of the
transaction. `scope(tenant_id)` opens such a transaction; outside of any, tenant tables look empty. `protect()` runs
after every migration and puts policy, grants and composite foreign keys on every table with that column, so none can
be forgotten.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import anyio
import anyio.to_thread
from django.apps import apps
from django.db import connection, connections, models, transaction
from django.db.backends.utils import CursorWrapper

P = ParamSpec("P")
T = TypeVar("T")

_UNIT_THREADS = 8
_limiter: anyio.CapacityLimiter | None = None


class TenantForeignKey(models.ForeignKey):  # type: ignore[type-arg]
    """A reference within one tenant.

    The constraint is on `(tenant_id, x_id)`, made by `protect()`: a plain one would let a tenant attach its row to
    another's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["db_constraint"] = False
        super().__init__(*args, **kwargs)


@contextmanager
def scope(tenant_id: UUID) -> Iterator[None]:
    """A transaction that sees the rows of one tenant."""
    with _setting("loom.tenant", str(tenant_id)):
        yield


@contextmanager
def scheduler_scope() -> Iterator[None]:
    """A transaction that sees the runs of all tenants and the limits of agents: for claims, leases and what is due."""
    with _setting("loom.scope", "scheduler"):
        yield


@contextmanager
def credential_scope(name: str, value: str) -> Iterator[None]:
    """A transaction that sees the one row a credential names (`api_key` or `user`), before its tenant is known."""
    with _setting(f"loom.{name}", value):
        yield


def query(tenant_id: UUID, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of one statement in the scope of one tenant.

    Outside of any transaction it takes one round trip: what is sent together is one transaction to the server.
    """
    rows: list[tuple[Any, ...]]
    if connection.in_atomic_block:
        with scope(tenant_id), connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows = cursor.fetchall()
    else:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT set_config('loom.tenant', %s, true); {statement}", [str(tenant_id), *values])
            cursor.nextset()
            rows = cursor.fetchall()
    return rows


def unit(tenant_id: UUID, work: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """The same work for async callers.

    One transaction in the tenant's scope, in a thread, its connection given back.
    """
    return _threaded(work, lambda: scope(tenant_id))


def scheduler_unit(work: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Like `unit`, in the scheduler's scope."""
    return _threaded(work, scheduler_scope)


def in_thread(work: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Like `unit`, for work that opens its scopes itself."""
    return _threaded(work, nullcontext)


def _threaded(work: Callable[P, T], open_scope: Callable[[], Any]) -> Callable[P, Awaitable[T]]:
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        def run() -> T:
            try:
                with open_scope():
                    return work(*args, **kwargs)
            finally:
                if not connection.in_atomic_block:  # a test's transaction keeps its connection
                    connection.close()

        global _limiter
        if _limiter is None:
            _limiter = anyio.CapacityLimiter(_UNIT_THREADS)
        return await anyio.to_thread.run_sync(run, limiter=_limiter)

    return call


@contextmanager
def _setting(name: str, value: str) -> Iterator[None]:
    nested = connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s, true), set_config(%s, %s, true)", [name, name, value])
        found = cursor.fetchone()[0]
        yield
        # The setting ends with the outermost transaction; an inner scope puts back what it found.
        if nested and not connection.needs_rollback:
            cursor.execute("SELECT set_config(%s, %s, true)", [name, found or ""])


def protect(using: str) -> None:
    """Put policy, grants and composite foreign keys on every tenant table. Running it again changes nothing."""
    role = connections["default"].settings_dict["USER"]
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('loom.protect'))")
        existing = set(connections[using].introspection.table_names(cursor))
        tables = [model for model in apps.get_models() if model._meta.managed and model._meta.db_table in existing]
        for model in tables:
            _grant(cursor, model, role)
            if is_tenant_table(model):
                _policies(cursor, model)
        for model in tables:
            for field in model._meta.local_fields:
                if isinstance(field, TenantForeignKey):
                    _composite_key(cursor, model, field)
        cursor.execute(f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "{role}"')


def is_tenant_table(model: type[models.Model]) -> bool:
    return any(field.column == "tenant_id" for field in model._meta.local_concrete_fields)


def _grant(cursor: CursorWrapper, model: type[models.Model], role: str) -> None:
    rights = getattr(model, "grants", "SELECT, INSERT, UPDATE, DELETE")
    table = model._meta.db_table
    cursor.execute(f'REVOKE ALL ON "{table}" FROM "{role}"; GRANT {rights} ON "{table}" TO "{role}"')


def _policies(cursor: CursorWrapper, model: type[models.Model]) -> None:
    table = model._meta.db_table
    own = "tenant_id = nullif(current_setting('loom.tenant', true), '')::uuid"
    policies = {"tenant": f"USING ({own}) WITH CHECK ({own})", **getattr(model, "policies", {})}
    cursor.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
    for name, rule in policies.items():
        cursor.execute(f'DROP POLICY IF EXISTS "{name}" ON "{table}"; CREATE POLICY "{name}" ON "{table}" {rule}')


def _composite_key(cursor: CursorWrapper, model: type[models.Model], field: TenantForeignKey) -> None:
    table, column = model._meta.db_table, field.column
    target = field.related_model._meta.db_table
    unique, foreign = f"{target}_tenant_key", f"{table}_{column}_tenant_fk"
    if not _has_constraint(cursor, target, unique):
        cursor.execute(f'ALTER TABLE "{target}" ADD CONSTRAINT "{unique}" UNIQUE (tenant_id, id)')
    if not _has_constraint(cursor, table, foreign):
        cursor.execute(
            f'ALTER TABLE "{table}" ADD CONSTRAINT "{foreign}" FOREIGN KEY (tenant_id, "{column}")'
            f' REFERENCES "{target}" (tenant_id, id) DEFERRABLE INITIALLY DEFERRED'
        )


def _has_constraint(cursor: CursorWrapper, table: str, name: str) -> bool:
    cursor.execute("SELECT 1 FROM pg_constraint WHERE conrelid = %s::regclass AND conname = %s", [table, name])
    return cursor.fetchone() is not None
