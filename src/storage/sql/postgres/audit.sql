-- Until the commit; where there is one writer it is not asked for.
-- name: audit_lock
SELECT CAST(length(CAST(pg_advisory_xact_lock(
    hashtextextended('cvm audit of ' || current_schema(), 0)) AS TEXT)) AS BIGINT)

-- name: audit_add
INSERT INTO audit (at, who, action, object, why, before, after)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: audit_list
SELECT audit_id, at, who, action, object, why, before, after
FROM audit
WHERE audit_id < $1
ORDER BY audit_id DESC
LIMIT $2

-- name: audit_newest
SELECT coalesce(max(audit_id), 0)
FROM audit

-- What the chainer has not seen, in commit order: audit_lock makes that the order of the numbers.
-- name: audit_unsealed
SELECT audit_id, at, who, action, object, why, before, after
FROM audit
WHERE audit_id > (SELECT coalesce(max(audit_id), 0) FROM audit_chain)
ORDER BY audit_id
LIMIT $1

-- name: audit_unsealed_count
SELECT count(*)
FROM audit
WHERE audit_id > (SELECT coalesce(max(audit_id), 0) FROM audit_chain)

-- name: audit_row_count
SELECT count(*)
FROM audit

-- The first row that stands before sealed ones and has no link: it was put in later.
-- name: audit_inserted
SELECT a.audit_id
FROM audit a
LEFT JOIN audit_chain c ON c.audit_id = a.audit_id
WHERE c.audit_id IS NULL AND a.audit_id <= (SELECT coalesce(max(audit_id), 0) FROM audit_chain)
ORDER BY a.audit_id
LIMIT 1

-- name: audit_chain_last
SELECT position, hash
FROM audit_chain
ORDER BY position DESC
LIMIT 1

-- name: audit_chain_add
INSERT INTO audit_chain (position, audit_id, salt, content, hash)
VALUES ($1, $2, $3, $4, $5)

-- name: audit_chain_scan
SELECT c.position, c.audit_id, c.salt, c.content, c.hash, a.audit_id, a.at, a.who, a.action, a.object, a.why, a.before,
    a.after
FROM audit_chain c
LEFT JOIN audit a ON a.audit_id = c.audit_id
WHERE c.position > $1
ORDER BY c.position

-- name: audit_chain_at
SELECT audit_id, hash
FROM audit_chain
WHERE position = $1

-- name: audit_checkpoint_last
SELECT checkpoint, rows
FROM audit_checkpoint
ORDER BY checkpoint DESC
LIMIT 1

-- name: audit_checkpoint_add
INSERT INTO audit_checkpoint (checkpoint, rows, hash, at, public_key, signature)
VALUES ($1, $2, $3, $4, $5, $6)

-- name: audit_checkpoint_scan
SELECT checkpoint, rows, hash, at, public_key, signature
FROM audit_checkpoint
ORDER BY checkpoint

-- name: audit_of_object
SELECT a.audit_id
FROM audit a
LEFT JOIN audit_erasure e ON e.audit_id = a.audit_id
WHERE (a.object = $1 OR replace(a.before, $3, '') <> a.before OR replace(a.after, $3, '') <> a.after)
    AND e.audit_id IS NULL
ORDER BY a.audit_id
LIMIT $2

-- name: audit_clear
UPDATE audit
SET object = '', before = NULL, after = NULL
WHERE audit_id = $1

-- name: audit_chain_clear
UPDATE audit_chain
SET salt = NULL
WHERE audit_id = $1

-- name: audit_erasure_add
INSERT INTO audit_erasure (audit_id, erasure)
VALUES ($1, $2)

-- name: audit_erasure_of
SELECT a.after
FROM audit_erasure e
JOIN audit a ON a.audit_id = e.erasure
WHERE e.audit_id = $1 AND e.erasure > e.audit_id AND a.action = 'erasure'

-- name: audit_count
SELECT count(*)
FROM audit
WHERE action = $1 AND object = $2
