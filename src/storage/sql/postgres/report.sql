-- What a report reads besides runs and decisions.

-- Batches keep what their import printed: the newest date per source is in it, so that no event has to be looked at.
-- name: report_sources
SELECT j.key, max(j.value ->> 'last_date'), max(b.finished_at),
    coalesce(sum(CAST(j.value ->> 'stored' AS DOUBLE PRECISION)), 0.0)
FROM batch b, json_each(CAST(b.report AS JSON) -> 'by_source') j
WHERE b.state = 'closed' AND b.batch <= $1
GROUP BY j.key
ORDER BY j.key COLLATE "C"

-- Who moved the plan, and why.
-- name: report_plan_steps
SELECT at, who, why, CAST(after AS JSON) ->> 'state'
FROM audit
WHERE action = 'plan' AND object = 'plan ' || $1
ORDER BY audit_id

-- Decisions whose outcome window has ended, of runs up to a day: sums for means weighted by 1 / probability.
-- 15 = withdrawn.
-- name: report_measured
SELECT d.treatment, d.arm, d.ghost, count(*), CAST(coalesce(sum(d.horizon), 0) AS DOUBLE PRECISION),
    coalesce(sum(d.churn), 0.0),
    coalesce(sum(1.0 / d.selection_probability), 0.0),
    coalesce(sum(1.0 / (d.selection_probability * d.selection_probability)), 0.0),
    coalesce(sum(d.horizon / d.selection_probability), 0.0),
    coalesce(sum(d.horizon / (d.selection_probability * d.selection_probability)), 0.0)
FROM decision d
JOIN run r ON r.run_id = d.run_id
WHERE d.horizon IS NOT NULL AND d.state <> 15 AND d.selection_probability > 0.0 AND r.as_of_day <= $1
GROUP BY d.treatment, d.arm, d.ghost
ORDER BY d.treatment, d.arm, d.ghost
