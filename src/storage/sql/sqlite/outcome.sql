-- What became of decisions, and what was learned from it.

-- name: learning_get
SELECT contacts, reached, answers, accepted, treated, treated_churned, treated_expected, controls,
    controls_churned, controls_expected
FROM learning
WHERE treatment = ?1

-- An import that changed nothing leaves no row.
-- name: outcome_last_import
SELECT coalesce(max(outcome_import), 0)
FROM outcome_import
