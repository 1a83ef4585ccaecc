-- Versions: of the catalogue, of the configuration, of what is known of a customer.

-- name: history_catalogue
SELECT version, created_at, author, reason
FROM catalogue
WHERE version < $1
ORDER BY version DESC
LIMIT $2

-- name: history_config
SELECT version, at, who, body
FROM config_version
WHERE version < $1
ORDER BY version DESC
LIMIT $2

-- name: history_config_add
INSERT INTO config_version (version, at, who, body)
VALUES ($1, $2, $3, $4)

-- All versions of all records, those that were taken back too.
-- name: history_records
SELECT s.name, e.day, e.identity, e.version, e.batch, b.finished_at, b.who, b.state, e.attributes, e.private
FROM event e
JOIN batch b ON b.batch = e.batch
JOIN source s ON s.source = e.source
WHERE e.customer_key = $1 AND b.state IN ('closed', 'retracted')
ORDER BY s.name, e.identity, e.version

-- name: history_consents
SELECT s.name, c.version, c.batch, b.finished_at, b.who, b.state, c.recorded, c.granted, c.updated_day,
    c.quiet_start_min, c.quiet_end_min, c.preferred_time, c.language
FROM consent c
JOIN batch b ON b.batch = c.batch
JOIN source s ON s.source = c.source
WHERE c.customer_key = $1 AND b.state IN ('closed', 'retracted')
ORDER BY c.version
