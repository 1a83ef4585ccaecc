-- Runs.

-- name: run_find
SELECT r.run_id, r.request, r.state, p.state, r.epoch, r.as_of_day, r.seed, r.catalogue_version,
    r.last_batch, r.options, r.created_at, r.finished_at, r.summary, p.plan_digest, p.decisions,
    p.value, p.dual_bound, p.spend_micro, r.created_by, r.responses, p.hold_reasons
FROM run r
JOIN plan p ON p.run_id = r.run_id
WHERE r.request = ?1

-- Two rows: the prefix is not unique, unless the first is the id itself.
-- name: run_get
SELECT r.run_id, r.request, r.state, p.state, r.epoch, r.as_of_day, r.seed, r.catalogue_version,
    r.last_batch, r.options, r.created_at, r.finished_at, r.summary, p.plan_digest, p.decisions,
    p.value, p.dual_bound, p.spend_micro, r.created_by, r.responses, p.hold_reasons
FROM run r
JOIN plan p ON p.run_id = r.run_id
WHERE r.run_id >= ?1 AND substr(r.run_id, 1, length(?1)) = ?1
ORDER BY r.run_id
LIMIT 2

-- The decisions of single customers make a run of their own each day, without a summary: never the latest.
-- name: run_latest
SELECT r.run_id, r.request, r.state, p.state, r.epoch, r.as_of_day, r.seed, r.catalogue_version,
    r.last_batch, r.options, r.created_at, r.finished_at, r.summary, p.plan_digest, p.decisions,
    p.value, p.dual_bound, p.spend_micro, r.created_by, r.responses, p.hold_reasons
FROM run r
JOIN plan p ON p.run_id = r.run_id
WHERE r.state = 'done' AND r.summary IS NOT NULL
ORDER BY r.created_at DESC, r.run_id DESC
LIMIT 1

-- Chose for everybody among everything: its options name nothing that narrows it. A day is told by its largest plan.
-- name: run_for_everybody
SELECT r.run_id, r.request, r.state, p.state, r.epoch, r.as_of_day, r.seed, r.catalogue_version,
    r.last_batch, r.options, r.created_at, r.finished_at, r.summary, p.plan_digest, p.decisions,
    p.value, p.dual_bound, p.spend_micro, r.created_by, r.responses, p.hold_reasons
FROM run r
JOIN plan p ON p.run_id = r.run_id
WHERE r.run_id = (
    SELECT o.run_id
    FROM run o
    JOIN plan q ON q.run_id = o.run_id
    WHERE o.state = 'done' AND o.summary IS NOT NULL AND o.options NOT LIKE '%"customers":%'
        AND o.options NOT LIKE '%"trigger":%' AND o.options NOT LIKE '%"treatment":%'
        AND o.options NOT LIKE '%"allowed":%' AND (?1 IS NULL OR o.as_of_day = ?1)
    ORDER BY o.as_of_day DESC, q.state = 'recalled', q.decisions DESC, o.run_id DESC
    LIMIT 1
)

-- A run of single decisions grows during its day, so what its plan holds is counted. ?2 = '': from the newest.
-- name: run_list
SELECT r.run_id, r.request, r.state, p.state, r.epoch, r.as_of_day, r.seed, r.catalogue_version,
    r.last_batch, r.options, r.created_at, r.finished_at, r.summary, p.plan_digest,
    CASE WHEN r.summary IS NULL THEN (SELECT count(*) FROM decision d WHERE d.run_id = r.run_id) ELSE p.decisions END,
    CASE WHEN r.summary IS NULL THEN (SELECT coalesce(sum(d.value), 0.0) FROM decision d WHERE d.run_id = r.run_id)
        ELSE p.value END,
    p.dual_bound, p.spend_micro, r.created_by, r.responses, p.hold_reasons
FROM run r
JOIN plan p ON p.run_id = r.run_id
WHERE ?2 = '' OR (r.created_at, r.run_id) < (SELECT o.created_at, o.run_id FROM run o WHERE o.run_id = ?2)
ORDER BY r.created_at DESC, r.run_id DESC
LIMIT ?1

-- name: run_add
INSERT INTO run (run_id, request, state, epoch, as_of_day, seed, catalogue_version, last_batch,
    options, created_at, created_by, responses)
VALUES (?1, ?2, 'running', 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)

-- name: run_take_up
UPDATE run
SET state = 'running', epoch = epoch + 1, options = ?2, created_at = ?3, finished_at = NULL,
    summary = NULL, created_by = ?4, responses = ?5
WHERE run_id = ?1 AND state <> 'done' AND epoch = ?6

-- name: run_fail
UPDATE run
SET state = 'failed', finished_at = ?3
WHERE run_id = ?1 AND epoch = ?2 AND state = 'running'

-- name: run_finish
UPDATE run
SET state = ?3, finished_at = ?4, summary = ?5
WHERE run_id = ?1 AND epoch = ?2 AND state = 'running'

-- name: run_epoch
SELECT epoch, state
FROM run
WHERE run_id = ?1

-- Plans.

-- name: plan_building
INSERT INTO plan (run_id, state, plan_digest, decisions, value, dual_bound, spend_micro, changed_at)
VALUES (?1, 'building', NULL, 0, 0.0, 0.0, 0, ?2)
ON CONFLICT (run_id) DO UPDATE SET state = 'building', plan_digest = NULL, decisions = 0,
    value = 0.0, dual_bound = 0.0, spend_micro = 0, changed_at = excluded.changed_at

-- name: plan_finish
UPDATE plan
SET state = ?2, plan_digest = ?3, decisions = ?4, value = ?5, dual_bound = ?6, spend_micro = ?7,
    changed_at = ?8
WHERE run_id = ?1 AND state = 'building'

-- name: plan_state
SELECT state
FROM plan
WHERE run_id = ?1

-- name: plan_set_state
UPDATE plan
SET state = ?3, changed_at = ?4
WHERE run_id = ?1 AND state = ?2

-- name: plan_set_hold_reasons
UPDATE plan
SET hold_reasons = ?2
WHERE run_id = ?1

-- Value blocks.

-- name: value_block_add
INSERT INTO value_block (run_id, first_key, last_key, customers, body)
VALUES (?1, ?2, ?3, ?4, ?5)

-- name: value_block_get
SELECT first_key, last_key, customers, body
FROM value_block
WHERE run_id = ?1 AND first_key <= ?2
ORDER BY first_key DESC
LIMIT 1

-- name: value_block_scan
SELECT first_key, last_key, customers, body
FROM value_block
WHERE run_id = ?1
ORDER BY first_key

-- name: value_block_delete
DELETE FROM value_block
WHERE run_id = ?1

-- Blocks of a run at work stay.
-- name: value_block_prune
DELETE FROM value_block
WHERE run_id IN (
    SELECT run_id
    FROM run
    WHERE state <> 'running' AND run_id NOT IN (
        SELECT run_id
        FROM run
        WHERE state = 'done'
        ORDER BY created_at DESC, run_id DESC
        LIMIT ?1
    )
)

-- Decisions, as the view decision_now has them. Numbers of states: model/decision.h.

-- name: decision_add
INSERT INTO decision (run_id, customer_key, customer_id, treatment, offer, content, language, value,
    sd, price, cost_micro, incentive_micro, reason, arm, selection_probability, ghost, earliest_at,
    latest_at, state, channel, withheld, churn, export)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
    ?21, ?22, ?23)

-- name: decision_get
SELECT d.*
FROM decision_now d
WHERE d.run_id = ?1 AND d.customer_key = ?2

-- name: decision_scan
SELECT d.*
FROM decision_now d
WHERE d.run_id = ?1
ORDER BY d.customer_key

-- name: decision_delete
DELETE FROM decision
WHERE run_id = ?1

-- Ended before contact: not_sent 11, bounced 12, expired 14, withdrawn 15.
-- name: decision_live
SELECT DISTINCT d.customer_key
FROM run r
JOIN plan p ON p.run_id = r.run_id
JOIN decision d ON d.run_id = r.run_id
WHERE r.as_of_day = ?1 AND r.run_id <> ?2 AND p.state <> 'building'
    AND (p.state <> 'recalled' OR d.state > 1) AND d.state NOT IN (11, 12, 14, 15)
ORDER BY d.customer_key

-- Released (which is a state of the plan), with a contact that nobody has reported and that may still be made.
-- name: decision_pending
SELECT d.customer_key, d.treatment, d.channel, r.as_of_day
FROM run r
JOIN plan p ON p.run_id = r.run_id
JOIN decision d ON d.run_id = r.run_id
WHERE r.as_of_day BETWEEN ?1 AND ?2 AND r.run_id <> ?3 AND p.state IN ('released', 'closed')
    AND d.customer_key BETWEEN ?4 AND ?5 AND d.state <= 1 AND d.ghost = 0

-- The newest live one of a customer, whichever run made it; a ghost was given nothing.
-- name: decision_of_day
SELECT d.*
FROM run r
JOIN plan p ON p.run_id = r.run_id
JOIN decision_now d ON d.run_id = r.run_id AND d.customer_key = ?2
WHERE r.as_of_day = ?1 AND p.state <> 'building' AND d.state NOT IN (11, 12, 14, 15) AND d.ghost = 0
ORDER BY r.created_at DESC, r.run_id DESC
LIMIT 1

-- name: decision_withdrawable
SELECT d.*
FROM decision_now d
WHERE d.run_id IN (
    SELECT r.run_id
    FROM run r
    JOIN plan p ON p.run_id = r.run_id
    WHERE r.as_of_day = ?1 AND p.state NOT IN ('building', 'recalled', 'closed')
) AND d.customer_key BETWEEN ?2 AND ?3 AND d.state IN (0, 1) AND d.export = 0
ORDER BY d.run_id, d.customer_key

-- name: decision_withdraw
UPDATE decision
SET state = 15
WHERE run_id IN (
    SELECT r.run_id
    FROM run r
    JOIN plan p ON p.run_id = r.run_id
    WHERE r.as_of_day = ?1 AND p.state NOT IN ('building', 'recalled', 'closed')
) AND customer_key BETWEEN ?2 AND ?3 AND state IN (0, 1) AND export = 0

-- Plans of a day of which nothing is left; a plan of single decisions (no summary) takes more.
-- name: plan_emptied
SELECT p.run_id
FROM run r
JOIN plan p ON p.run_id = r.run_id
WHERE r.as_of_day = ?1 AND r.summary IS NOT NULL AND p.decisions > 0
    AND p.state IN ('draft', 'approved', 'held', 'released')
    AND NOT EXISTS (
        SELECT 1 FROM decision d WHERE d.run_id = p.run_id AND d.ghost = 0 AND d.state <> 15
    )
ORDER BY p.run_id
