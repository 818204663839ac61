"""No table forgets its tenant, and the application's role cannot see past it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from agents.models import Agent, AgentLabel, AgentVersion, Blob, Run, RunEvent
from audit.models import Entry
from governance import tenancy
from governance.models import ApiKey, Membership
from loom.events import Record

# Policies beside the tenant's own: who may see a row before its tenant is known, or of all tenants.
MORE_POLICIES = {
    ("governance_membership", "own", "SELECT"),
    ("governance_apikey", "presented", "SELECT"),
    ("agents_run", "scheduler", "ALL"),
    ("agents_agent", "scheduler", "SELECT"),
    ("agents_schedule", "scheduler", "SELECT"),
    ("agents_agentversion", "scheduler", "SELECT"),
    ("governance_approval", "scheduler", "SELECT"),
}
OWN = "(tenant_id = (NULLIF(current_setting('loom.tenant'::text, true), ''::text))::uuid)"


def _rows(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def _tenant_tables() -> set[str]:
    return {
        name for (name,) in _rows("SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant_id'")
    }


@pytest.mark.django_db
def test_every_table_of_a_tenant_enforces_its_policy_even_on_its_owner() -> None:
    protected = _rows("SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity")

    assert _tenant_tables()
    assert _tenant_tables() - {name for (name,) in protected} == set()


@pytest.mark.django_db
def test_every_table_of_a_tenant_has_the_tenants_policy_for_reading_and_writing() -> None:
    policies = _rows("SELECT tablename, cmd, qual, with_check FROM pg_policies WHERE policyname = 'tenant'")

    assert {(table, "ALL", OWN, OWN) for table in _tenant_tables()} == set(policies)


@pytest.mark.django_db
def test_no_policy_is_wider_than_those_that_we_know() -> None:
    policies = _rows("SELECT tablename, policyname, cmd FROM pg_policies WHERE policyname <> 'tenant'")

    assert set(policies) <= MORE_POLICIES


@pytest.mark.django_db
def test_the_application_owns_nothing_and_bypasses_nothing() -> None:
    role = _rows("SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user")
    owned = _rows("SELECT relname FROM pg_class WHERE pg_get_userbyid(relowner) = current_user AND relname !~ '^pg_'")
    member_of = _rows("SELECT roleid::regrole::text FROM pg_auth_members WHERE member = current_user::regrole")

    assert role == [(False, False, False, False)]
    assert (owned, member_of) == ([], [])


@pytest.mark.django_db
def test_no_function_or_view_lends_its_owners_eyes() -> None:
    functions = _rows(
        "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace::regnamespace::text NOT IN ('pg_catalog')"
    )
    views = _rows(
        "SELECT relname FROM pg_class WHERE relkind IN ('v', 'm') AND relnamespace = 'public'::regnamespace"
        " AND NOT coalesce(reloptions, '{}') && ARRAY['security_invoker=true', 'security_invoker=on']"
    )

    assert functions == []
    assert [name for (name,) in views if not name.startswith("pg_stat_")] == []


@pytest.mark.django_db
def test_a_reference_between_rows_of_tenants_names_the_tenant_too() -> None:
    """Otherwise a tenant could hang its row on another's."""
    foreign_keys = _rows(
        """
        SELECT c.conrelid::regclass::text, c.conname, array_agg(a.attname::text)
        FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
        WHERE c.contype = 'f' AND c.confrelid::regclass::text = ANY (%s) AND c.conrelid::regclass::text = ANY (%s)
        GROUP BY 1, 2
        """,
        list(_tenant_tables()),
        list(_tenant_tables()),
    )

    assert foreign_keys
    assert [key for key in foreign_keys if "tenant_id" not in key[2]] == []


@pytest.mark.django_db
def test_every_reference_in_the_models_has_its_composite_key_in_the_database() -> None:
    from django.apps import apps

    wanted = {
        f"{model._meta.db_table}_{field.column}_tenant_fk"
        for model in apps.get_models()
        for field in model._meta.local_fields
        if isinstance(field, tenancy.TenantForeignKey)
    }

    assert wanted - {name for (name,) in _rows("SELECT conname FROM pg_constraint WHERE contype = 'f'")} == set()


def test_a_row_cannot_hang_on_another_tenants(acme: Any, globex: Any) -> None:
    acme.agent()
    globex.agent()
    with globex.scope():
        theirs = AgentVersion.objects.get()
    with acme.scope():
        ours = Agent.objects.get()

        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(IntegrityError, match="tenant_fk"), transaction.atomic():
            AgentLabel.objects.create(tenant=acme.tenant, agent=ours, name="stolen", version_id=theirs.pk)


def test_a_row_cannot_be_written_for_another_tenant(acme: Any, globex: Any) -> None:
    with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic(), acme.scope():
        Agent.objects.create(tenant=globex.tenant, slug="planted", name="planted")


def test_a_row_cannot_be_given_to_another_tenant(acme: Any, globex: Any) -> None:
    acme.agent()

    with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic(), acme.scope():
        Agent.objects.update(tenant=globex.tenant)


def _fill(place: Any) -> None:
    place.agent()
    place.work(place.run())(Record(kind="architecture.said", data={"text": "large " * 20_000}))


@pytest.mark.parametrize("model", [Agent, AgentVersion, AgentLabel, Run, RunEvent, ApiKey, Membership, Entry, Blob])
def test_without_a_tenant_there_are_no_rows(acme: Any, model: Any) -> None:
    _fill(acme)

    assert not model._base_manager.exists()
    with acme.scope():
        assert model._base_manager.exists()


@pytest.mark.parametrize("model", [Agent, AgentVersion, AgentLabel, Run, RunEvent, ApiKey, Membership, Entry, Blob])
def test_a_query_that_forgets_the_tenant_finds_only_its_rows(acme: Any, globex: Any, model: Any) -> None:
    for place in (acme, globex):
        _fill(place)

    with acme.scope():
        assert {row.tenant_id for row in model._base_manager.all()} == {acme.tenant.pk}
        assert model._base_manager.filter(tenant_id=globex.tenant.pk).count() == 0


def test_the_scheduler_sees_the_runs_and_agents_of_all_and_nothing_else(acme: Any, globex: Any) -> None:
    for place in (acme, globex):
        place.agent()
        place.run()

    with tenancy.scheduler_scope():
        assert Run.objects.filter(tenant__in=[acme.tenant, globex.tenant]).count() == 2
        assert not RunEvent.objects.exists()
        assert Agent.objects.filter(tenant__in=[acme.tenant, globex.tenant]).count() == 2
        assert Agent.objects.update(name="x") == 0
        assert not ApiKey.objects.exists()


def test_an_inner_scope_gives_back_the_outer_one(acme: Any, globex: Any) -> None:
    with acme.scope():
        with globex.scope():
            assert Membership.objects.get().role == "owner"
        assert Membership.objects.count() == 2
    assert not Membership.objects.exists()


def test_a_scope_that_failed_leaves_no_tenant_behind(acme: Any) -> None:
    with pytest.raises(RuntimeError), acme.scope():
        raise RuntimeError

    assert not Membership.objects.exists()


def test_a_single_statement_sees_its_tenant_and_leaves_nothing_behind(
    acme: Any, globex: Any, committed_db: None
) -> None:
    slugs = "SELECT slug FROM agents_agent"
    for place in (acme, globex):
        place.agent(f"clerk-of-{place.tenant.slug}")

    assert tenancy.query(acme.tenant.pk, f"{slugs} WHERE slug LIKE %s", ["clerk-%"]) == [
        (f"clerk-of-{acme.tenant.slug}",)
    ]
    assert _rows(slugs) == []
    with globex.scope():
        assert tenancy.query(acme.tenant.pk, slugs, []) == [(f"clerk-of-{acme.tenant.slug}",)]
        assert _rows(slugs) == [(f"clerk-of-{globex.tenant.slug}",)]


def test_a_single_statement_whose_transaction_fails_at_its_end_has_not_happened(acme: Any, committed_db: None) -> None:
    """The references to tenants are checked when a transaction is committed."""
    nobody = uuid4()
    insert = "INSERT INTO agents_blob (tenant_id, sha256, body) VALUES (%s, 'x', 'y') RETURNING sha256"

    with pytest.raises(IntegrityError, match="agents_blob"):
        tenancy.query(nobody, insert, [nobody])

    assert tenancy.query(nobody, "SELECT sha256 FROM agents_blob", []) == []
    assert tenancy.query(acme.tenant.pk, insert, [acme.tenant.pk]) == [("x",)]


def test_a_key_is_seen_by_its_prefix_alone(acme: Any, globex: Any) -> None:
    prefix = acme.token.split("_")[1]

    with tenancy.credential_scope("api_key", prefix):
        assert [key.prefix for key in ApiKey.objects.all()] == [prefix]
        assert ApiKey.objects.update(name="mine") == 0
        assert not Agent.objects.exists()


def test_a_membership_is_seen_by_its_person_alone(acme: Any, globex: Any) -> None:
    with tenancy.credential_scope("user", str(acme.people["ann"].pk)):
        assert [member.user_id for member in Membership.objects.all()] == [acme.people["ann"].pk]
        assert Membership.objects.update(role="owner") == 0


@pytest.mark.parametrize("statement", ["TRUNCATE agents_run", "ALTER TABLE agents_run DISABLE ROW LEVEL SECURITY",
                                       "DROP POLICY tenant ON agents_run", "SET ROLE loom_owner",
                                       "CREATE TABLE public.mine (id int)", "UPDATE audit_entry SET actor = 'x'",
                                       "DELETE FROM audit_entry", "DELETE FROM governance_tenant"])  # fmt: skip
def test_the_application_cannot_lift_the_wall(acme: Any, statement: str) -> None:
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"), transaction.atomic():
        _rows(statement + "; SELECT 1")


def test_a_connection_that_served_one_tenant_shows_the_next_nothing_of_it(acme: Any, committed_db: None) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def visit(number: int) -> int:
        try:
            with acme.scope():
                assert Membership.objects.count() == 2
                if number % 3 == 0:
                    raise RuntimeError
        except RuntimeError:
            pass
        leaked = Membership.objects.filter(tenant_id__in=[acme.tenant.pk, uuid4()]).count()
        connection.close()
        return leaked

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(visit, range(400))) == 0
