-- Batches: what came when, and taking one back. Taking back is a batch of its own, so that the last batch says what
-- the data is.

-- name: batch_list
SELECT b.batch, b.state, b.catalogue_version, b.started_at, b.finished_at, b.who, coalesce(b.retracts, 0),
    coalesce(r.batch, 0), b.first_day, b.last_day, b.report
FROM batch b
LEFT JOIN batch r ON r.retracts = b.batch
WHERE b.batch < $1
ORDER BY b.batch DESC
LIMIT $2

-- name: batch_newest
SELECT coalesce(max(batch), 0)
FROM batch

-- name: batch_last_until
SELECT coalesce(max(batch), 0)
FROM batch
WHERE state = 'closed' AND batch <= $1

-- The newest batch that takes back one of those up to $1.
-- name: batch_retraction_of
SELECT coalesce(max(batch), 0)
FROM batch
WHERE retracts IS NOT NULL AND retracts <= $1

-- Imports after it that found records known which they would have stored without it, perhaps.
-- name: batch_later
SELECT count(*)
FROM batch
WHERE batch > $1 AND state IN ('closed', 'empty') AND retracts IS NULL

-- name: batch_retract
UPDATE batch
SET state = 'retracted'
WHERE batch = $1 AND state = 'closed'

-- name: batch_retraction_add
INSERT INTO batch (batch, state, catalogue_version, started_at, finished_at, who, retracts)
SELECT CAST($1 AS BIGINT), 'closed', catalogue_version, CAST($2 AS BIGINT), CAST($2 AS BIGINT), CAST($3 AS TEXT),
    CAST($4 AS BIGINT)
FROM batch
WHERE batch = CAST($4 AS BIGINT)

-- Customers that came with the batch and are known from another one too are that one's.
-- name: batch_customers_move
UPDATE customer
SET batch = coalesce(
    (SELECT min(e.batch)
     FROM event e
     JOIN batch b ON b.batch = e.batch
     WHERE e.customer_key = customer.customer_key AND b.state = 'closed'),
    (SELECT min(c.batch)
     FROM consent c
     JOIN batch b ON b.batch = c.batch
     WHERE c.customer_key = customer.customer_key AND b.state = 'closed'),
    batch)
WHERE batch = $1

-- name: batch_customers_gone
SELECT count(*)
FROM customer
WHERE batch = $1

-- One audit row per customer whose permissions are again what they were before the batch, or none.
-- name: batch_consent_audit
INSERT INTO audit (at, who, action, object, why, before, after)
SELECT CAST($2 AS BIGINT), CAST($3 AS TEXT), 'consent', c.customer_id,
    'batch ' || CAST(CAST($1 AS BIGINT) AS TEXT) || ' taken back',
    format('{"recorded":%s,"granted":%s,"quiet_start_min":%s,"quiet_end_min":%s,"language":%s}', n.recorded, n.granted,
        n.quiet_start_min, n.quiet_end_min, to_json(n.language)),
    CASE WHEN o.version IS NOT NULL THEN
        format('{"recorded":%s,"granted":%s,"quiet_start_min":%s,"quiet_end_min":%s,"language":%s}', o.recorded, o.granted,
            o.quiet_start_min, o.quiet_end_min, to_json(o.language))
    END
FROM consent n
JOIN customer c ON c.customer_key = n.customer_key
LEFT JOIN consent o ON o.customer_key = n.customer_key
    AND o.version = (
        SELECT max(p.version)
        FROM consent p
        JOIN batch b ON b.batch = p.batch
        WHERE p.customer_key = n.customer_key AND b.state = 'closed')
WHERE n.batch = $1
    AND n.version = (SELECT max(q.version) FROM consent q WHERE q.customer_key = n.customer_key AND q.batch = $1)
    AND n.version > coalesce(o.version, 0)
ORDER BY n.customer_key
