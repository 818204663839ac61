from django.db import migrations

# Writes records of several runs of one tenant, and what follows from them for the runs' summaries. `appends` is a list of
# what `services.journal` says of each run, with its records. A run that is missing from the answer has been taken by
# another worker, or has ended. `alone` says that the caller does nothing else in this transaction: then nothing is
# written at all when an end leaves questions open, because closing them has to be done with it.
#
# A function, because its plan is kept by the server for as long as a connection lives, whoever pools it.
APPEND = """
CREATE OR REPLACE FUNCTION agents_append(appends jsonb, alone boolean)
RETURNS TABLE (run_id uuid, before integer, status text, waiting_for uuid[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH batch AS (
        SELECT * FROM jsonb_to_recordset(appends) AS b(
            run_id uuid, fence bigint, count int, status text, turns int, input_tokens bigint,
            cached_input_tokens bigint, output_tokens bigint, cost_usd numeric, output text, parsed jsonb, error jsonb,
            step_ended boolean, asked jsonb, until timestamptz, records jsonb
        )
    ), run AS (
        UPDATE agents_run r
        SET last_seq = r.last_seq + b.count,
            waiting_for = r.waiting_for || ARRAY(SELECT jsonb_array_elements_text(b.asked)::uuid),
            status = CASE
                WHEN b.status IS DISTINCT FROM 'waiting' THEN coalesce(b.status, r.status)
                WHEN r.status = 'cancelling' THEN r.status
                -- Whatever it asked may have been answered before it stopped.
                WHEN b.until IS NULL AND cardinality(r.waiting_for) = 0 AND b.asked = '[]' THEN 'queued'
                ELSE 'waiting'
            END,
            not_before = CASE b.status WHEN 'waiting' THEN b.until ELSE r.not_before END,
            turns = r.turns + b.turns,
            input_tokens = r.input_tokens + b.input_tokens,
            cached_input_tokens = r.cached_input_tokens + b.cached_input_tokens,
            output_tokens = r.output_tokens + b.output_tokens,
            cost_usd = r.cost_usd + b.cost_usd,
            output = coalesce(b.output, r.output),
            parsed = coalesce(b.parsed, r.parsed),
            error = coalesce(b.error, r.error),
            crashes = CASE WHEN b.step_ended THEN 0 ELSE r.crashes END,
            lease_until = CASE
                WHEN b.status IS NULL THEN r.lease_until
                WHEN r.status = 'cancelling' AND b.status = 'waiting' THEN now() - interval '1 second'
            END,
            finished_at = CASE WHEN b.status IN ('succeeded', 'failed', 'cancelled') THEN now() ELSE r.finished_at END
        FROM batch b
        WHERE r.id = b.run_id AND r.fence = b.fence AND r.status IN ('running', 'cancelling')
          AND NOT (alone AND EXISTS (
              SELECT FROM batch ending JOIN agents_run asking ON asking.id = ending.run_id
              WHERE ending.status IN ('succeeded', 'failed', 'cancelled') AND cardinality(asking.waiting_for) > 0
          ))
        RETURNING r.id, r.tenant_id, r.last_seq - b.count AS before, r.status, r.waiting_for, b.records
    ), event AS (
        INSERT INTO agents_runevent (tenant_id, run_id, seq, kind, step_key, data, version, blobs, at)
        SELECT run.tenant_id, run.id, run.before + e.place, e.kind, e.step_key, e.data, e.version, e.blobs, now()
        FROM run, ROWS FROM (
            jsonb_to_recordset(run.records) AS (kind text, step_key text, data jsonb, version int, blobs text[])
        ) WITH ORDINALITY AS e(kind, step_key, data, version, blobs, place)
    )
    SELECT run.id, run.before, run.status::text, run.waiting_for FROM run;
END
$$
"""


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0010_workers"),
    ]

    operations = [
        migrations.RunSQL(APPEND, "DROP FUNCTION agents_append(jsonb, boolean)"),
    ]
