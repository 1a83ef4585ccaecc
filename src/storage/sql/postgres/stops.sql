-- Kill switches.

-- name: stop_list
SELECT kind, id, at, who, why
FROM stop
ORDER BY kind, id

-- name: stop_add
INSERT INTO stop (kind, id, at, who, why)
VALUES ($1, $2, $3, $4, $5)

-- name: stop_lift
DELETE FROM stop
WHERE kind = $1 AND id = $2
