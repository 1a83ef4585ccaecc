-- name: customer_id
SELECT c.customer_id,
    CASE WHEN EXISTS (SELECT 1 FROM batch b WHERE b.batch = c.batch AND b.state = 'retracted') THEN 1 ELSE 0 END
FROM customer c
WHERE c.customer_key = $1

-- Who came only with batches that were taken back is not there.
-- name: customer_count
SELECT count(*) - (SELECT count(*) FROM erased) - CASE
        WHEN EXISTS (SELECT 1 FROM batch WHERE state = 'retracted') THEN (
            SELECT count(*)
            FROM customer g
            WHERE g.batch IN (SELECT batch FROM batch WHERE state = 'retracted'))
        ELSE 0
    END
FROM customer

-- Batch 0 = erased.
-- name: customer_list
SELECT customer_key, customer_id
FROM customer
WHERE customer_key > $1 AND batch <> 0 AND batch NOT IN (SELECT batch FROM batch WHERE state = 'retracted')
ORDER BY customer_key
LIMIT $2

-- name: batch_last
SELECT coalesce(max(batch), 0)
FROM batch
WHERE state = 'closed'

-- name: batch_days
SELECT min(first_day), max(last_day)
FROM batch
WHERE state = 'closed' AND batch <= $1

-- All versions that count; event_rows.c takes the highest of each.
-- name: event_rows
SELECT e.day, e.second, s.name, e.identity, e.version, e.batch, e.attributes, e.private, e.key_id,
    e.source
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
