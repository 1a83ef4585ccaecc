-- name: packed_scan
SELECT customer_key, period, body
FROM packed
WHERE customer_key BETWEEN ?1 AND ?2 AND (period = 0 OR period BETWEEN ?3 AND ?4)
ORDER BY customer_key, period

-- name: packed_of
SELECT period, body
FROM packed
WHERE customer_key = ?1 AND (period = 0 OR period BETWEEN ?2 AND ?3)
ORDER BY period

-- name: meta_list
SELECT name, value
FROM meta
