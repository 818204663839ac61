-- What must hold for all runs of a tenant when nothing is under way. Answers with what is broken: invariant, run, detail.
-- Runs in the tenant's scope. `chaos_charge` holds what the payment server booked, `chaos_count` what a step wrote.

WITH event AS (
    SELECT run_id, count(*) AS events, min(seq) AS first_seq, max(seq) AS last_seq,
           count(*) FILTER (WHERE kind IN ('run.succeeded', 'run.failed', 'run.cancelled')) AS ends,
           max(seq) FILTER (WHERE kind IN ('run.succeeded', 'run.failed', 'run.cancelled')) AS end_seq,
           count(*) FILTER (WHERE kind = 'model.completed') AS answers,
           sum((data #>> '{value,usage,cost_usd}')::numeric) FILTER (WHERE kind = 'model.completed') AS cost_usd
    FROM agents_runevent GROUP BY run_id
), resumed AS (
    SELECT run_id, seq, (data ->> 'attempt')::int AS attempt,
           lag((data ->> 'attempt')::int) OVER (PARTITION BY run_id ORDER BY seq) AS attempt_before
    FROM agents_runevent WHERE kind = 'run.resumed'
), step AS (
    SELECT run_id, step_key, count(*) FILTER (WHERE data ? 'value') AS ends,
           min(seq) FILTER (WHERE kind LIKE '%.started') AS started, min(seq) FILTER (WHERE data ? 'value') AS ended
    FROM agents_runevent WHERE step_key <> '' GROUP BY run_id, step_key
)
SELECT 'I1 a run has one end, its last record' AS invariant, r.id::text AS run, r.status || ', ends: ' || e.ends AS detail
FROM agents_run r JOIN event e ON e.run_id = r.id
WHERE e.ends <> (r.status IN ('succeeded', 'failed', 'cancelled'))::int OR e.end_seq <> e.last_seq
UNION ALL
SELECT 'I2 a step ends once, after it began', run_id::text, step_key FROM step WHERE ends > 1 OR started > ended
UNION ALL
SELECT 'I3 no attempt writes after a later one', run_id::text, attempt || ' after ' || attempt_before
FROM resumed WHERE attempt <= attempt_before
UNION ALL
SELECT 'I4 the journal has no gaps', r.id::text, e.events || ' events up to ' || e.last_seq || ', run says ' || r.last_seq
FROM agents_run r LEFT JOIN event e ON e.run_id = r.id
WHERE e.events IS DISTINCT FROM r.last_seq::bigint OR e.last_seq IS DISTINCT FROM r.last_seq OR e.first_seq <> 1
UNION ALL
SELECT 'I5 what was spent is what the answers cost', r.id::text, r.cost_usd || ' and ' || coalesce(e.cost_usd, 0)
FROM agents_run r JOIN event e ON e.run_id = r.id
WHERE r.cost_usd <> round(coalesce(e.cost_usd, 0), 8) OR r.turns <> e.answers
UNION ALL
SELECT 'I6 accepting a run is audited once', r.id::text, count(a.id)::text
FROM agents_run r LEFT JOIN audit_entry a ON a.subject = 'run:' || r.id AND a.action = 'run.started'
GROUP BY r.id HAVING count(a.id) <> 1
UNION ALL
SELECT 'I7 only a run under way is leased', r.id::text, r.status || ' until ' || r.lease_until
FROM agents_run r WHERE r.lease_until IS NOT NULL AND r.status NOT IN ('running', 'cancelling')
UNION ALL
SELECT 'I9 nobody is asked for a run that is over', r.id::text, a.step_key
FROM agents_run r JOIN governance_approval a ON a.run_id = r.id AND a.status = 'pending'
WHERE r.status IN ('succeeded', 'failed', 'cancelled')
UNION ALL
SELECT 'I8 an idempotency key is charged once', key, count(*)::text FROM chaos_charge GROUP BY key HAVING count(*) > 1
UNION ALL
SELECT 'I8 a step in our database is done once', name, count(*)::text FROM chaos_count GROUP BY name HAVING count(*) > 1
