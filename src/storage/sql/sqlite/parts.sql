-- Parts of a run at work.

-- name: run_part_put
INSERT INTO run_part (run_id, part, customers, body)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (run_id, part) DO UPDATE SET customers = excluded.customers, body = excluded.body

-- name: run_part_scan
SELECT part, customers, body
FROM run_part
WHERE run_id = ?1
ORDER BY part

-- Of a run, and of those that nobody works on any more.
-- name: run_part_drop
DELETE FROM run_part
WHERE run_id = ?1 OR run_id NOT IN (SELECT run_id FROM run WHERE state = 'running')

-- Whoever decides for everybody comes after whoever tried before.
-- name: run_take_over
UPDATE run
SET epoch = epoch + 1
WHERE run_id = ?1 AND epoch = ?2 AND state = 'running'

-- Proves the epoch and locks it until the commit.
-- name: run_fence
UPDATE run
SET epoch = epoch
WHERE run_id = ?1 AND epoch = ?2 AND state = 'running'
