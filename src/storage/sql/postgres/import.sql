-- Files to rows: batches, rows in key order, and the packed bodies beside (packed and meta are written by a connection of their own).

-- name: import_batches
SELECT batch, state FROM batch ORDER BY batch

-- name: import_batch_abandon
UPDATE batch SET state = 'abandoned', finished_at = $1 WHERE state = 'open'

-- name: import_batch_open
INSERT INTO batch (batch, state, catalogue_version, started_at, who) VALUES ($1, 'open', $2, $3, $4)

-- name: import_batch_close
UPDATE batch SET state = $6, finished_at = $2, report = $3, first_day = $4, last_day = $5
WHERE batch = $1 AND state = 'open'

-- name: import_sources
SELECT source, name FROM source ORDER BY source

-- name: import_source_highest
SELECT coalesce(max(source), 0) FROM source

-- name: import_source_add
INSERT INTO source (source, name) VALUES ($1, $2)

-- name: import_customer_count
SELECT count(*) FROM customer

-- name: import_customer_at
SELECT customer_key, customer_id, batch FROM customer WHERE customer_key = $1

-- name: import_customers_between
SELECT customer_key, customer_id, batch FROM customer WHERE customer_key BETWEEN $1 AND $2 ORDER BY customer_key

-- name: import_customer_add
INSERT INTO customer (customer_key, customer_id, batch) VALUES ($1, $2, $3)
ON CONFLICT (customer_key) DO UPDATE SET customer_id = excluded.customer_id, batch = excluded.batch

-- name: import_events_between
SELECT customer_key, day, source, identity, version, batch, content
FROM event
WHERE customer_key BETWEEN $1 AND $2
ORDER BY customer_key, day, source, identity, version

-- name: import_event_texts
SELECT day, source, identity, version, second, attributes, private, key_id
FROM event
WHERE customer_key = $1 AND day BETWEEN $2 AND $3
ORDER BY day, source, identity, version

-- Rows of an abandoned batch may be in the way: they are replaced.
-- name: import_event_add
INSERT INTO event
    (customer_key, day, source, identity, version, second, batch, content, attributes, private, key_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (customer_key, day, source, identity, version) DO UPDATE SET second = excluded.second,
    batch = excluded.batch, content = excluded.content, attributes = excluded.attributes, private = excluded.private,
    key_id = excluded.key_id

-- name: import_consents_between
SELECT customer_key, version, source, batch, content, recorded, granted, updated_day, quiet_start_min, quiet_end_min,
    preferred_time, language
FROM consent
WHERE customer_key BETWEEN $1 AND $2
ORDER BY customer_key, version

-- name: import_consent_add
INSERT INTO consent
    (customer_key, version, source, batch, content, recorded, granted, updated_day, quiet_start_min, quiet_end_min,
    preferred_time, language, private, key_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (customer_key, version) DO UPDATE SET source = excluded.source, batch = excluded.batch,
    content = excluded.content, recorded = excluded.recorded, granted = excluded.granted,
    updated_day = excluded.updated_day, quiet_start_min = excluded.quiet_start_min,
    quiet_end_min = excluded.quiet_end_min, preferred_time = excluded.preferred_time, language = excluded.language,
    private = excluded.private, key_id = excluded.key_id

-- One audit row per customer whose permissions changed, in the transaction that closes the batch. The numbers are bits of
-- (channel, direction, purpose): model/consent.h.
-- name: import_consent_audit
INSERT INTO audit (at, who, action, object, why, before, after)
SELECT CAST($2 AS BIGINT), CAST($3 AS TEXT), 'consent', c.customer_id, 'import, batch ' || CAST(CAST($1 AS BIGINT) AS TEXT),
    format('{"recorded":%s,"granted":%s,"quiet_start_min":%s,"quiet_end_min":%s,"language":%s}', o.recorded, o.granted,
        o.quiet_start_min, o.quiet_end_min, to_json(o.language)),
    format('{"recorded":%s,"granted":%s,"quiet_start_min":%s,"quiet_end_min":%s,"language":%s}', n.recorded, n.granted,
        n.quiet_start_min, n.quiet_end_min, to_json(n.language))
FROM consent n
JOIN customer c ON c.customer_key = n.customer_key
JOIN consent o ON o.customer_key = n.customer_key
    AND o.version = (
        SELECT max(p.version)
        FROM consent p
        JOIN batch b ON b.batch = p.batch
        WHERE p.customer_key = n.customer_key AND p.version < n.version AND (b.state = 'closed' OR p.batch = $1))
WHERE n.batch = $1 AND n.version > 1
ORDER BY n.customer_key, n.version

-- All rows, for building journeys anew.

-- name: import_customers_all
SELECT customer_key, customer_id, batch FROM customer ORDER BY customer_key

-- name: import_events_all
SELECT customer_key, day, source, identity, version, batch, second, attributes, private, key_id
FROM event
ORDER BY customer_key, day, source, identity, version

-- name: import_consents_all
SELECT customer_key, version, source, batch, content, recorded, granted, updated_day, quiet_start_min, quiet_end_min,
    preferred_time, language
FROM consent
ORDER BY customer_key, version

-- name: import_packed_put
INSERT INTO packed (customer_key, period, body) VALUES ($1, $2, $3)
ON CONFLICT (customer_key, period) DO UPDATE SET body = excluded.body

-- name: import_packed_remove
DELETE FROM packed WHERE customer_key = $1 AND period = $2

-- name: import_packed_clear
DELETE FROM packed

-- name: import_meta_put
INSERT INTO meta (name, value) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: import_meta_remove
DELETE FROM meta WHERE name = $1
