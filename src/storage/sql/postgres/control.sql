-- The universal control group.

-- name: control_enrolled_batch
SELECT coalesce(max(batch), 0)
FROM control_enrolment

-- Enough of them, no more: a base is large or not.
-- name: control_customers
SELECT count(*)
FROM (SELECT 1 FROM customer LIMIT $1) c

-- name: control_members
SELECT customer_key
FROM control_member
ORDER BY customer_key

-- name: control_is_member
SELECT count(*)
FROM control_member
WHERE customer_key = $1

-- name: control_newcomers
SELECT customer_key
FROM customer
WHERE batch > $1 AND batch <= $2
ORDER BY customer_key

-- name: control_strata
SELECT stratum, enrolled, members
FROM control_stratum
ORDER BY stratum

-- name: control_stratum_put
INSERT INTO control_stratum (stratum, enrolled, members)
VALUES ($1, $2, $3)
ON CONFLICT (stratum) DO UPDATE SET enrolled = excluded.enrolled, members = excluded.members

-- name: control_member_add
INSERT INTO control_member (customer_key, stratum, run_id)
VALUES ($1, $2, $3)

-- name: control_enrolment_add
INSERT INTO control_enrolment (batch, run_id, at, share, enrolled, members)
VALUES ($1, $2, $3, $4, $5, $6)
