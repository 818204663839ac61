-- What Loom needs of a PostgreSQL >= 16 with pgvector >= 0.8. The embedded server runs this file at every start; for a
-- server of your own an administrator runs it once, in Loom's database, as the role that will own the tables
-- (DATABASE_OWNER_URL). That role must be allowed to create roles and the four extensions. Running it again is harmless.
--
--   createdb loom
--   PGOPTIONS="-c loom.app_password=…" psql -v ON_ERROR_STOP=1 -1 -d loom -f loomsite/database.sql
--
-- DATABASE_URL then names the role `loom_app`. It owns nothing, so that row-level security holds for it; never let the
-- platform connect as the owner.

CREATE EXTENSION IF NOT EXISTS vector;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE EXTENSION IF NOT EXISTS unaccent;

DO $$
DECLARE
    password text := current_setting('loom.app_password', true);
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'loom_app') THEN
        CREATE ROLE loom_app LOGIN NOCREATEDB NOCREATEROLE;
    END IF;
    IF password <> '' THEN
        EXECUTE format('ALTER ROLE loom_app PASSWORD %L', password);
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO loom_app', current_database());
END
$$;

-- Without an iterative scan a filtered vector search stops before it has found enough rows of the tenant. The cast
-- loads pgvector, without which only a superuser may set its parameters.
SELECT '[1]'::vector;
ALTER ROLE loom_app SET hnsw.iterative_scan = 'relaxed_order';
ALTER ROLE loom_app SET hnsw.max_scan_tuples = 200000;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO loom_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO loom_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO loom_app;
