-- name: customer_id
SELECT customer_id
FROM customer
WHERE customer_key = $1

-- name: customer_count
SELECT count(*)
FROM customer

-- name: customer_list
SELECT customer_key, customer_id
FROM customer
WHERE customer_key > $1
ORDER BY customer_key
LIMIT $2

-- name: batch_last
SELECT coalesce(max(batch), 0)
FROM batch
WHERE state = 'closed'

-- name: batch_days
SELECT min(first_day), max(last_day)
FROM batch
WHERE state = 'closed'

-- All versions that count; event_rows.c takes the highest of each.
-- name: event_rows
SELECT e.day, e.second, s.name, e.identity, e.version, e.batch, e.attributes, e.private, e.key_id
FROM event e
JOIN batch b ON b.batch = e.batch
JOIN source s ON s.source = e.source
WHERE e.customer_key = $1 AND e.batch <= $2 AND b.state = 'closed'

-- name: consent_of
SELECT c.recorded, c.granted, c.updated_day, c.quiet_start_min, c.quiet_end_min, c.preferred_time,
    c.language
FROM consent c
JOIN batch b ON b.batch = c.batch
WHERE c.customer_key = $1 AND c.batch <= $2 AND b.state = 'closed'
ORDER BY c.version DESC
LIMIT 1
