-- What of a plan was handed over, and what happened to the plan.

-- name: decision_scan_range
SELECT d.*
FROM decision_now d
WHERE d.run_id = $1 AND d.customer_key BETWEEN $2 AND $3
ORDER BY d.customer_key

-- Only what is not yet sent: decided 0, released 1; 15 = withdrawn.
-- name: decision_withdraw_one
UPDATE decision
SET state = 15
WHERE run_id = $1 AND customer_key = $2 AND state IN (0, 1)

-- As it stands in its own row, whatever became of the plan: what a recalled plan had handed over.
-- name: decision_handed_over
SELECT d.run_id, d.customer_key, d.customer_id, d.treatment, d.offer, d.content, d.language, d.value, d.sd, d.price,
    d.cost_micro, d.incentive_micro, d.reason, d.arm, d.selection_probability, d.ghost, d.earliest_at, d.latest_at,
    d.state, d.channel, d.withheld, d.churn, d.export
FROM decision d
WHERE d.run_id = $1 AND d.export <> 0 AND d.state IN (0, 1, 15)
ORDER BY d.customer_key

-- name: decision_mark_exported
UPDATE decision
SET export = $1
WHERE run_id = $2 AND customer_key = $3

-- name: export_last
SELECT coalesce(max(export), 0)
FROM plan_export

-- name: export_add
INSERT INTO plan_export (export, run_id, channel, kind, file, digest, rows, at, who)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: export_list
SELECT export, run_id, channel, kind, file, digest, rows, at, who
FROM plan_export
WHERE run_id = $1
ORDER BY export

-- Who did what with the plan, oldest first.
-- name: plan_history
SELECT audit_id, at, who, action, object, why, before, after
FROM audit
WHERE action = 'plan' AND object = $1
ORDER BY audit_id

-- name: plan_states
SELECT state, count(*)
FROM decision_now
WHERE run_id = $1 AND ghost = 0
GROUP BY state

-- Imports that count up to $2, after $1, newest first.
-- name: batch_reports
SELECT batch, report
FROM batch
WHERE batch > $1 AND batch <= $2 AND state = 'closed' AND report IS NOT NULL
ORDER BY batch DESC

-- Contacts of days $1 to $2 that reached a customer's side of the line (sent 2 to reversed 10, opted_out 13), and those
-- that ended the permission. Runs older than the days before $3 have no contacts there.
-- name: outcome_opt_outs
SELECT count(*), CAST(coalesce(sum(c.is_opt_out), 0) AS BIGINT)
FROM (
    SELECT max(CASE WHEN o.state = 13 THEN 1 ELSE 0 END) AS is_opt_out
    FROM outcome o
    WHERE o.run_id IN (SELECT r.run_id FROM run r WHERE r.as_of_day BETWEEN $3 AND $2)
        AND o.day BETWEEN $1 AND $2 AND (o.state BETWEEN 2 AND 10 OR o.state = 13)
    GROUP BY o.run_id, o.customer_key
) c

-- What two plans give, by customer. What is withdrawn is given by neither; of a plan that is recalled, and so replaced as
-- a whole, all that was decided.
-- name: plan_diff_rows
SELECT b.customer_key AS customer_key, 0 AS is_after, b.treatment, b.value, b.cost_micro + b.incentive_micro
FROM decision b
WHERE b.run_id = $1 AND b.ghost = 0
    AND (b.state <> 15 OR (SELECT p.state FROM plan p WHERE p.run_id = b.run_id) = 'recalled')
UNION ALL
SELECT a.customer_key, 1, a.treatment, a.value, a.cost_micro + a.incentive_micro
FROM decision a
WHERE a.run_id = $2 AND a.ghost = 0
    AND (a.state <> 15 OR (SELECT p.state FROM plan p WHERE p.run_id = a.run_id) = 'recalled')
ORDER BY customer_key, is_after
