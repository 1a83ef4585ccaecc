-- name: ledger_get
SELECT granted, held, confirmed
FROM ledger
WHERE constraint_id = ?1 AND period = ?2

-- name: ledger_add
INSERT INTO ledger (constraint_id, period, granted, held, confirmed)
VALUES (?1, ?2, ?3, 0, 0)
ON CONFLICT (constraint_id, period) DO NOTHING

-- name: ledger_grant
UPDATE ledger
SET granted = max(?3, held + confirmed)
WHERE constraint_id = ?1 AND period = ?2

-- No row changes when there is no room.
-- name: ledger_hold
UPDATE ledger
SET held = held + ?3
WHERE constraint_id = ?1 AND period = ?2 AND ?3 <= granted - held - confirmed

-- name: ledger_use
UPDATE ledger
SET held = held - ?3, confirmed = confirmed + ?3
WHERE constraint_id = ?1 AND period = ?2 AND held >= ?3

-- name: ledger_return
UPDATE ledger
SET confirmed = confirmed - ?3
WHERE constraint_id = ?1 AND period = ?2 AND confirmed >= ?3

-- name: ledger_take_again
UPDATE ledger
SET confirmed = confirmed + min(?3, granted - held - confirmed)
WHERE constraint_id = ?1 AND period = ?2

-- Until the commit; where there is one writer it is not asked for.
-- name: ledger_lock_holder
SELECT length(?1)

-- name: ledger_hold_epoch
SELECT coalesce(max(epoch), 0)
FROM (
    SELECT epoch FROM ledger_hold WHERE holder = ?1
    UNION ALL
    SELECT epoch FROM run WHERE run_id = ?1
)

-- name: ledger_hold_add
INSERT INTO ledger_hold (holder, constraint_id, period, amount, epoch, expires_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (holder, constraint_id, period) DO UPDATE SET amount = amount + excluded.amount

-- name: ledger_hold_use
UPDATE ledger_hold
SET amount = amount - ?4
WHERE holder = ?1 AND constraint_id = ?2 AND period = ?3 AND amount >= ?4

-- name: ledger_release
UPDATE ledger
SET held = held - h.amount
FROM ledger_hold h
WHERE h.holder = ?1 AND h.constraint_id = ledger.constraint_id AND h.period = ledger.period

-- name: ledger_hold_delete
DELETE FROM ledger_hold
WHERE holder = ?1

-- name: ledger_expire
UPDATE ledger
SET held = held - h.amount
FROM (
    SELECT constraint_id, period, sum(amount) AS amount
    FROM ledger_hold
    WHERE expires_at <= ?1
    GROUP BY constraint_id, period
) h
WHERE h.constraint_id = ledger.constraint_id AND h.period = ledger.period

-- name: ledger_expire_delete
DELETE FROM ledger_hold
WHERE expires_at <= ?1

-- Holds of nobody alive: a run that failed, or whose plan is past the confirmation of its use.
-- name: ledger_drop_dead
UPDATE ledger
SET held = held - h.amount
FROM (
    SELECT l.constraint_id, l.period, sum(l.amount) AS amount
    FROM ledger_hold l
    JOIN run r ON r.run_id = l.holder
    JOIN plan p ON p.run_id = l.holder
    WHERE r.state = 'failed' OR p.state IN ('released', 'closed', 'recalled')
    GROUP BY l.constraint_id, l.period
) h
WHERE h.constraint_id = ledger.constraint_id AND h.period = ledger.period

-- name: ledger_drop_dead_delete
DELETE FROM ledger_hold
WHERE holder IN (
    SELECT r.run_id
    FROM run r
    JOIN plan p ON p.run_id = r.run_id
    WHERE r.state = 'failed' OR p.state IN ('released', 'closed', 'recalled')
)

-- name: ledger_savepoint
SAVEPOINT ledger

-- name: ledger_savepoint_undo
ROLLBACK TO ledger

-- name: ledger_savepoint_end
RELEASE ledger
