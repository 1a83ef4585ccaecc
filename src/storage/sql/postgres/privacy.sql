-- Sealed personal data, and customers that are forgotten.

-- name: vault_id
SELECT vault_id
FROM vault

-- name: vault_add
INSERT INTO vault (vault_id)
VALUES ($1)

-- name: erased_keys
SELECT base_key, customer_key, id_mac
FROM erased
ORDER BY base_key

-- name: erased_add
INSERT INTO erased (customer_key, base_key, id_mac, at, who, why)
VALUES ($1, $2, $3, $4, $5, $6)

-- name: erase_events
DELETE FROM event
WHERE customer_key = $1

-- name: erase_consents
DELETE FROM consent
WHERE customer_key = $1

-- By run, as the key of the table is.
-- name: erase_outcome_reasons
UPDATE outcome
SET reason = NULL
WHERE run_id IN (SELECT run_id FROM run) AND customer_key = $1 AND reason IS NOT NULL

-- name: erase_customer
UPDATE customer
SET customer_id = $2, batch = 0
WHERE customer_key = $1

-- What was not yet sent (decided 0, released 1) is never going to be: 15 = withdrawn.
-- name: erase_decisions
UPDATE decision
SET customer_id = $2, state = CASE WHEN state IN (0, 1) THEN 15 ELSE state END
WHERE run_id IN (SELECT run_id FROM run) AND customer_key = $1

-- A run of named customers names them in its options, and may in its summary: $1 and $2 are JSON strings.
-- name: erase_run_texts
UPDATE run
SET options = replace(options, $1, $2), summary = replace(summary, $1, $2)
WHERE replace(options, $1, $2) <> options OR replace(summary, $1, $2) <> summary

-- name: erase_packed
DELETE FROM packed
WHERE customer_key = $1

-- Workflows about a customer name it in their input, and messages in their payload: both are forgotten.
-- name: erase_workflow_steps
DELETE FROM step
WHERE workflow_id IN (SELECT workflow_id FROM workflow WHERE replace(input, $1, '') <> input)

-- name: erase_workflow_failures
DELETE FROM step_failure
WHERE workflow_id IN (SELECT workflow_id FROM workflow WHERE replace(input, $1, '') <> input)

-- name: erase_workflows
DELETE FROM workflow
WHERE replace(input, $1, '') <> input

-- name: erase_messages
DELETE FROM outbox
WHERE position(convert_to($1, 'UTF8') IN envelope) > 0

-- name: erase_dead_letters
DELETE FROM dead_letter
WHERE envelope IS NOT NULL AND position(convert_to($1, 'UTF8') IN envelope) > 0

-- Files of a customer's decisions, handed over to channels.
-- name: erase_exports
SELECT DISTINCT e.file
FROM decision d
JOIN plan_export e ON e.export = d.export
WHERE d.run_id IN (SELECT run_id FROM run) AND d.customer_key = $1
ORDER BY e.file

-- Everything of one customer: all versions, those of batches that do not count too.

-- name: held_events
SELECT s.name, e.day, e.second, e.version, e.batch, b.state, e.attributes, e.private, e.key_id, e.source, e.identity
FROM event e
JOIN source s ON s.source = e.source
JOIN batch b ON b.batch = e.batch
WHERE e.customer_key = $1
ORDER BY e.day, e.second, s.name, e.identity, e.version

-- name: held_consents
SELECT s.name, c.version, c.batch, b.state, c.recorded, c.granted, c.updated_day, c.quiet_start_min, c.quiet_end_min,
    c.preferred_time, c.language, c.private, c.key_id, c.source
FROM consent c
JOIN source s ON s.source = c.source
JOIN batch b ON b.batch = c.batch
WHERE c.customer_key = $1
ORDER BY c.version

-- name: held_decisions
SELECT d.run_id, r.as_of_day, d.treatment, d.channel, d.offer, d.content, d.language, d.arm, d.withheld, d.ghost, d.state,
    d.value, d.sd, d.price, d.churn, d.selection_probability, d.cost_micro, d.incentive_micro, d.earliest_at, d.latest_at,
    d.horizon, e.file
FROM run r
JOIN decision d ON d.run_id = r.run_id AND d.customer_key = $1
LEFT JOIN plan_export e ON e.export = d.export
ORDER BY r.as_of_day, d.run_id

-- name: held_outcomes
SELECT o.run_id, o.state, o.day, o.at, o.minutes, o.reason, o.is_late
FROM run r
JOIN outcome o ON o.run_id = r.run_id AND o.customer_key = $1
ORDER BY o.day, o.run_id, o.state

-- name: held_control
SELECT stratum, run_id
FROM control_member
WHERE customer_key = $1

-- Rows about the customer, and those that name it as a JSON string ($2).
-- name: held_audit
SELECT audit_id, at, who, action, object, why, before, after
FROM audit
WHERE object = $1 OR replace(before, $2, '') <> before OR replace(after, $2, '') <> after
ORDER BY audit_id
