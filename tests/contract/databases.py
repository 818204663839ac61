"""New databases in the session's PostgreSQL server, for tests of what makes its own tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from loom.ids import new_id


@contextmanager
def fresh_database() -> Iterator[str]:
    """A database in which there is nothing, not even pgvector: its URL."""
    owner, name = os.environ["DATABASE_OWNER_URL"], new_id("fresh").lower()
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        try:
            yield url(make_conninfo(owner, dbname=name))
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def guest(dsn: str) -> Iterator[str]:
    """The database for a role that may make tables in its public schema and nothing else: its URL."""
    name = new_id("guest").lower()
    role = sql.Identifier(name)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(role))
        connection.execute(sql.SQL("GRANT USAGE, CREATE ON SCHEMA public TO {}").format(role))
        try:
            yield url(make_conninfo(dsn, user=name, password="secret"))
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


def url(conninfo: str) -> str:
    """A connection string as people write it into a configuration."""
    parts = conninfo_to_dict(conninfo)
    return f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{parts['dbname']}"
