-- What became of decisions, and what was learned from it. Numbers of states: model/outcome.h.

-- name: outcome_get
SELECT state, day, is_late
FROM outcome
WHERE run_id = $1 AND customer_key = $2

-- Of an erased customer the reason, a text, is not kept.
-- name: outcome_add
INSERT INTO outcome (run_id, customer_key, state, day, at, minutes, reason, is_late, outcome_import)
VALUES ($1, $2, $3, $4, $5, $6,
    CASE WHEN EXISTS (SELECT 1 FROM erased WHERE customer_key = $2) THEN NULL ELSE CAST($7 AS TEXT) END, $8, $9)

-- name: outcome_set_late
UPDATE outcome
SET is_late = $4
WHERE run_id = $1 AND customer_key = $2 AND state = $3

-- name: decision_set_state
UPDATE decision
SET state = $3, horizon = coalesce($4, horizon)
WHERE run_id = $1 AND customer_key = $2

-- Decisions of one kind for one customer in a span of days.
-- name: outcome_alike
SELECT count(*)
FROM run r
JOIN plan p ON p.run_id = r.run_id
JOIN decision d ON d.run_id = r.run_id AND d.customer_key = $1
WHERE r.as_of_day >= $2 AND r.as_of_day < $3 AND p.state IN ('released', 'closed') AND d.treatment = $4 AND d.ghost = $5 AND d.state <> 15

-- Imports.

-- name: outcome_import_add
INSERT INTO outcome_import (at, who, file)
VALUES ($1, $2, $3)

-- name: outcome_import_finish
UPDATE outcome_import
SET report = $1
WHERE report IS NULL

-- An import that changed nothing leaves no row.
-- name: outcome_last_import
SELECT coalesce(max(outcome_import), 0)
FROM outcome_import

-- name: outcome_unfinished
SELECT count(*)
FROM outcome_import
WHERE report IS NULL

-- Decisions whose contact (or its date) or opt-out became known by imports that are not finished: not_sent 11, opted_out
-- 13, expired 14, churned 16, stayed 17 make no contact; a date other than that of sent 2 may move. An erased customer
-- has no journey.
-- name: outcome_to_follow
SELECT o.run_id, o.customer_key, max(CASE WHEN o.state = 13 THEN 1 ELSE 0 END)
FROM outcome_import i
JOIN outcome o USING (outcome_import)
WHERE i.report IS NULL AND o.state NOT IN (11, 14, 16, 17)
    AND o.customer_key NOT IN (SELECT customer_key FROM erased) AND (
    o.state IN (2, 13) OR NOT EXISTS (
        SELECT 1
        FROM outcome s
        WHERE s.run_id = o.run_id AND s.customer_key = o.customer_key AND s.state = 2
    )
)
GROUP BY o.customer_key, o.run_id
ORDER BY o.customer_key, o.run_id

-- What became of whole runs, for who evaluates them.

-- Runs of days whose plans went out: a contact of a recalled one may have been made all the same.
-- name: outcome_runs
SELECT r.run_id, r.as_of_day, p.state
FROM run r
JOIN plan p ON p.run_id = r.run_id
WHERE r.as_of_day >= $1 AND r.as_of_day <= $2 AND p.state IN ('released', 'closed', 'recalled')
    AND ($3 = '' OR r.run_id = $3)
ORDER BY r.as_of_day, r.run_id

-- Decisions of a run that are alike in what they wait for. The day of a contact is that of sent 2 where it was reported,
-- else of the first state that implies it: not_sent 11, expired 14, churned 16, stayed 17 do not.
-- name: outcome_groups
SELECT d.treatment, d.ghost, d.state, d.horizon, o.contact_day, count(*), coalesce(sum(d.value), 0.0),
    CAST(sum(d.cost_micro) AS BIGINT), coalesce(sum(d.churn), 0.0)
FROM decision d
LEFT JOIN (
    SELECT customer_key, coalesce(max(CASE WHEN state = 2 THEN day END),
        min(CASE WHEN state NOT IN (11, 14, 16, 17) THEN day END)) AS contact_day
    FROM outcome
    WHERE run_id = $1
    GROUP BY customer_key
) o ON o.customer_key = d.customer_key
WHERE d.run_id = $1
GROUP BY d.treatment, d.ghost, d.state, d.horizon, o.contact_day
ORDER BY d.treatment, d.ghost, d.state, d.horizon, o.contact_day

-- name: outcome_counts
SELECT d.treatment, o.state, count(*), CAST(sum(o.is_late) AS BIGINT), coalesce(sum(o.minutes), 0.0)
FROM outcome o
JOIN decision d ON d.run_id = o.run_id AND d.customer_key = o.customer_key
WHERE o.run_id = $1
GROUP BY d.treatment, o.state
ORDER BY d.treatment, o.state

-- Learning.

-- name: learning_get
SELECT contacts, reached, answers, accepted, treated, treated_churned, treated_expected, controls,
    controls_churned, controls_expected
FROM learning
WHERE treatment = $1

-- name: learning_add
INSERT INTO learning (treatment, contacts, reached, answers, accepted, treated, treated_churned, treated_expected,
    controls, controls_churned, controls_expected)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (treatment) DO UPDATE SET contacts = learning.contacts + excluded.contacts, reached = learning.reached + excluded.reached,
    answers = learning.answers + excluded.answers, accepted = learning.accepted + excluded.accepted,
    treated = learning.treated + excluded.treated, treated_churned = learning.treated_churned + excluded.treated_churned,
    treated_expected = learning.treated_expected + excluded.treated_expected, controls = learning.controls + excluded.controls,
    controls_churned = learning.controls_churned + excluded.controls_churned,
    controls_expected = learning.controls_expected + excluded.controls_expected
