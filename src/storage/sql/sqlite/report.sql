-- What a report reads besides runs and decisions.

-- Batches keep what their import printed: the newest date per source is in it, so that no event has to be looked at.
-- name: report_sources
SELECT j.key, max(json_extract(j.value, '$.last_date')), max(b.finished_at), total(json_extract(j.value, '$.stored'))
FROM batch b, json_each(b.report, '$.by_source') j
WHERE b.state = 'closed' AND b.batch <= ?1
GROUP BY j.key
ORDER BY j.key

-- Who moved the plan, and why.
-- name: report_plan_steps
SELECT at, who, why, json_extract(after, '$.state')
FROM audit
WHERE action = 'plan' AND object = 'plan ' || ?1
ORDER BY audit_id

-- Decisions whose outcome window has ended, of runs up to a day: sums for means weighted by 1 / probability.
-- 15 = withdrawn.
-- name: report_measured
SELECT d.treatment, d.arm, d.ghost, count(*), total(d.horizon), total(d.churn),
    total(1.0 / d.selection_probability),
    total(1.0 / (d.selection_probability * d.selection_probability)),
    total(d.horizon / d.selection_probability),
    total(d.horizon / (d.selection_probability * d.selection_probability))
FROM decision d
JOIN run r ON r.run_id = d.run_id
WHERE d.horizon IS NOT NULL AND d.state <> 15 AND d.selection_probability > 0.0 AND r.as_of_day <= ?1
GROUP BY d.treatment, d.arm, d.ghost
ORDER BY d.treatment, d.arm, d.ghost
