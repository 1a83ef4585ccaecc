-- Events that are older than their source keeps them. Limits: JSON of source -> first day that stays.

-- All rows of customers who have one under its limit: which goes is decided by the version in force.
-- name: purge_rows
WITH kept AS MATERIALIZED (
    SELECT CAST(key AS INTEGER) AS source, CAST(value AS INTEGER) AS before_day
    FROM json_each(?3)
)
SELECT customer_key, day, source, identity, version, batch, second, attributes, private, key_id
FROM event
WHERE customer_key BETWEEN ?1 AND ?2
    AND customer_key IN (
        SELECT c.customer_key
        FROM event c
        CROSS JOIN kept k
        WHERE c.customer_key BETWEEN ?1 AND ?2 AND k.source = c.source AND c.day > -2147483648 AND c.day < k.before_day)
ORDER BY customer_key, day, source, identity, version

-- name: purge_range
WITH kept AS MATERIALIZED (
    SELECT CAST(key AS INTEGER) AS source, CAST(value AS INTEGER) AS before_day
    FROM json_each(?3)
)
DELETE FROM event
WHERE customer_key BETWEEN ?1 AND ?2 AND day > -2147483648
    AND day < (SELECT k.before_day FROM kept k WHERE k.source = event.source)

-- name: purge_row
DELETE FROM event
WHERE customer_key = ?1 AND day = ?2 AND source = ?3 AND identity = ?4 AND version = ?5

-- name: purge_newest
SELECT purge, as_of_day, last_key, CASE WHEN finished_at IS NULL THEN 1 ELSE 0 END, finished_at
FROM purge
ORDER BY purge DESC
LIMIT 1

-- name: purge_add
INSERT INTO purge (purge, as_of_day, started_at, who, why, last_key, changes)
VALUES (?1, ?2, ?3, ?4, ?5, 0, 0)

-- name: purge_finish
UPDATE purge
SET finished_at = ?2
WHERE purge = ?1

-- name: purge_step
UPDATE purge
SET last_key = ?2, changes = changes + ?3
WHERE purge = ?1

-- How often purges have changed journeys: the packed ones note it too.
-- name: purge_changes
SELECT coalesce(sum(changes), 0)
FROM purge

-- name: purge_source_add
INSERT INTO purge_source (purge, source, before_day, records, rows)
VALUES (?1, ?2, ?3, 0, 0)

-- name: purge_source_step
UPDATE purge_source
SET records = records + ?3, rows = rows + ?4
WHERE purge = ?1 AND source = ?2

-- name: purge_sources
SELECT p.source, s.name, p.before_day, p.records, p.rows
FROM purge_source p
JOIN source s ON s.source = p.source
WHERE p.purge = ?1
ORDER BY s.name

-- A purge that found nothing has left no gap.
-- name: purge_gone
SELECT s.name, max(CASE WHEN p.rows > 0 THEN p.before_day END), max(g.as_of_day)
FROM purge_source p
JOIN purge g ON g.purge = p.purge
JOIN source s ON s.source = p.source
GROUP BY s.name
