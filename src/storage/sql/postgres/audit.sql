-- name: audit_add
INSERT INTO audit (at, who, action, object, why, before, after)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: audit_list
SELECT audit_id, at, who, action, object, why, before, after
FROM audit
WHERE audit_id < $1
ORDER BY audit_id DESC
LIMIT $2
