-- Workflows, their steps, leases, messages that wait, and what was given up.

-- ---- the clock, leases, turns ----

-- name: clock_now
SELECT server_now($1)

-- Changes a row when nobody else holds it: it is new, given back, expired, or this very owner's.
-- name: lease_acquire
INSERT INTO lease (resource, owner, incarnation, epoch, expires_at)
VALUES ($1, $2, $3, 1, server_now($4) + $5)
ON CONFLICT (resource) DO UPDATE SET owner = excluded.owner, incarnation = excluded.incarnation,
    epoch = lease.epoch + 1, expires_at = excluded.expires_at
WHERE lease.expires_at <= server_now($4) OR (lease.owner = $2 AND lease.incarnation = $3)

-- name: lease_steal
INSERT INTO lease (resource, owner, incarnation, epoch, expires_at)
VALUES ($1, $2, $3, 1, server_now($4) + $5)
ON CONFLICT (resource) DO UPDATE SET owner = excluded.owner, incarnation = excluded.incarnation,
    epoch = lease.epoch + 1, expires_at = excluded.expires_at

-- name: lease_renew
UPDATE lease
SET expires_at = server_now($3) + $4
WHERE resource = $1 AND epoch = $2

-- name: lease_release
UPDATE lease
SET owner = '', expires_at = 0
WHERE resource = $1 AND epoch = $2

-- name: lease_get
SELECT resource, owner, incarnation, epoch, expires_at, committed_at
FROM lease
WHERE resource = $1

-- Proves the epoch and locks it until the commit: who takes over waits or has won.
-- name: lease_fence
UPDATE lease
SET committed_at = server_now($3)
WHERE resource = $1 AND epoch = $2

-- name: turn_savepoint
SAVEPOINT turn

-- name: turn_savepoint_undo
ROLLBACK TO turn

-- name: turn_savepoint_end
RELEASE turn

-- name: inbox_add
INSERT INTO inbox (consumer, message_id, at)
VALUES ($1, $2, $3)
ON CONFLICT (consumer, message_id) DO NOTHING

-- name: inbox_has
SELECT count(*)
FROM inbox
WHERE consumer = $1 AND message_id = $2

-- name: inbox_forget
DELETE FROM inbox
WHERE consumer = $1 AND message_id = $2

-- name: inbox_purge
DELETE FROM inbox
WHERE at < $1

-- name: broker_offset_get
SELECT next_offset
FROM broker_offset
WHERE queue = $1 AND partition_no = $2

-- Never backwards: who lost the partition meanwhile comes late with what is done long since.
-- name: broker_offset_move
INSERT INTO broker_offset (queue, partition_no, next_offset)
VALUES ($1, $2, $3)
ON CONFLICT (queue, partition_no) DO UPDATE SET next_offset = excluded.next_offset
WHERE broker_offset.next_offset < excluded.next_offset

-- name: outbox_add
INSERT INTO outbox (shard, message_id, destination, envelope, not_before, created_at)
VALUES ($1, $2, $3, $4, $5, $6)

-- By state and not by a cursor: numbers are not committed in their order.
-- name: outbox_pending
SELECT outbox, shard, message_id, destination, envelope, not_before, created_at
FROM outbox
WHERE shard = $1 AND sent_at IS NULL AND not_before <= $2
ORDER BY outbox
LIMIT $3

-- name: outbox_sent
UPDATE outbox
SET sent_at = $2
WHERE outbox = $1 AND sent_at IS NULL

-- name: outbox_backlog
SELECT count(*), coalesce(min(created_at), 0)
FROM outbox
WHERE sent_at IS NULL

-- name: outbox_purge
DELETE FROM outbox
WHERE sent_at < $1

-- ---- workflows ----

-- name: workflow_definition_add
INSERT INTO workflow_definition (digest, name, body, at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (digest) DO NOTHING

-- name: workflow_definition_get
SELECT body
FROM workflow_definition
WHERE digest = $1

-- No row changes when the key, or the id, is taken.
-- name: workflow_add
INSERT INTO workflow (workflow_id, name, definition, state, idempotency_key, input_digest, input, run_id, shards,
    partition_no, priority, epoch, recovery_attempts, created_at, deadline, wake_at, who, traceparent)
VALUES ($1, $2, $3, 'accepted', $4, $5, $6, $7, $8, $9, $10, 0, 0, $11, $12, $11, $13, $14)
ON CONFLICT DO NOTHING

-- name: workflow_by_key
SELECT workflow_id, name, definition, state, idempotency_key, input_digest, input, run_id, shards, partition_no,
    priority, epoch, recovery_attempts, created_at, started_at, finished_at, deadline, wake_at, result, error, who,
    traceparent
FROM workflow
WHERE idempotency_key = $1

-- The id, one that it begins, or the run: at most two rows, the exact one first.
-- name: workflow_find
SELECT workflow_id, name, definition, state, idempotency_key, input_digest, input, run_id, shards, partition_no,
    priority, epoch, recovery_attempts, created_at, started_at, finished_at, deadline, wake_at, result, error, who,
    traceparent
FROM workflow
WHERE (workflow_id >= $1 AND substr(workflow_id, 1, length($1)) = $1) OR run_id = $1
ORDER BY workflow_id
LIMIT 2

-- Locked until the commit where there is more than one writer.
-- name: workflow_lock
SELECT workflow_id, name, definition, state, idempotency_key, input_digest, input, run_id, shards, partition_no,
    priority, epoch, recovery_attempts, created_at, started_at, finished_at, deadline, wake_at, result, error, who,
    traceparent
FROM workflow
WHERE workflow_id = $1
FOR UPDATE

-- name: workflow_list
SELECT workflow_id, name, definition, state, idempotency_key, input_digest, input, run_id, shards, partition_no,
    priority, epoch, recovery_attempts, created_at, started_at, finished_at, deadline, wake_at, result, error, who,
    traceparent
FROM workflow
WHERE (CAST($1 AS TEXT) IS NULL OR state = $1) AND created_at < $2
ORDER BY created_at DESC, workflow_id DESC
LIMIT $3

-- Those that asked to be looked at, and those of which a step has news.
-- name: workflow_due
SELECT workflow_id
FROM (
    SELECT workflow_id, priority, wake_at AS at
    FROM workflow
    WHERE partition_no = $1 AND wake_at <= $2
    UNION
    SELECT w.workflow_id, w.priority, w.created_at
    FROM step s
    JOIN workflow w ON w.workflow_id = s.workflow_id
    WHERE s.is_news = 1 AND w.partition_no = $1 AND w.finished_at IS NULL
) d
GROUP BY workflow_id
ORDER BY max(priority) DESC, min(at), workflow_id
LIMIT $3

-- name: workflow_next_wake
SELECT coalesce(min(wake_at), 0)
FROM workflow
WHERE partition_no = $1 AND wake_at IS NOT NULL

-- name: workflow_open_list
SELECT workflow_id
FROM workflow
WHERE partition_no = $1 AND finished_at IS NULL
ORDER BY priority DESC, created_at, workflow_id

-- name: workflow_put
UPDATE workflow
SET state = $2, run_id = $3, shards = $4, epoch = $5, recovery_attempts = $6, started_at = $7, finished_at = $8,
    wake_at = $9, result = $10, error = $11, deadline = $12
WHERE workflow_id = $1

-- name: workflow_purge_steps
DELETE FROM step
WHERE workflow_id IN (SELECT workflow_id FROM workflow WHERE finished_at < $1)

-- name: workflow_purge_failures
DELETE FROM step_failure
WHERE workflow_id IN (SELECT workflow_id FROM workflow WHERE finished_at < $1)

-- name: workflow_purge
DELETE FROM workflow
WHERE finished_at < $1

-- ---- steps ----

-- name: step_add
INSERT INTO step (workflow_id, step_no, shard_no, name, state, attempt, attempt_max, epoch, is_news)
VALUES ($1, $2, $3, $4, 'pending', 0, $5, 0, 0)
ON CONFLICT (workflow_id, step_no, shard_no) DO NOTHING

-- name: step_list
SELECT step_no, shard_no, name, state, attempt, attempt_max, epoch, due_at, is_news, worker, output, customers,
    error_class, error, queued_at, started_at, finished_at
FROM step
WHERE workflow_id = $1
ORDER BY step_no, shard_no

-- Before the rows are read: what comes to an end meanwhile is news again.
-- name: step_news_take
UPDATE step
SET is_news = 0
WHERE workflow_id = $1 AND is_news = 1
RETURNING step_no, state, error_class

-- What the orchestrator decided on; no row changes when the step has moved on since.
-- name: step_put
UPDATE step
SET state = $6, attempt = $7, attempt_max = $8, epoch = $9, due_at = $10, queued_at = $11, finished_at = $12,
    error_class = $13, error = $14
WHERE workflow_id = $1 AND step_no = $2 AND shard_no = $3 AND state = $4 AND attempt = $5

-- What a worker made. No row changes when the attempt is not in force any more.
-- name: step_done
UPDATE step
SET state = 'done', worker = $5, output = $6, customers = $7, started_at = $8, finished_at = $9, due_at = NULL,
    error_class = NULL, error = NULL, is_news = 1
WHERE workflow_id = $1 AND step_no = $2 AND shard_no = $3 AND attempt = $4 AND state = 'running'

-- name: step_fail
UPDATE step
SET state = 'retry', worker = $5, error_class = $6, error = $7, started_at = $8, finished_at = $9, due_at = NULL,
    is_news = $10
WHERE workflow_id = $1 AND step_no = $2 AND shard_no = $3 AND attempt = $4 AND state = 'running'

-- name: step_beat
UPDATE step
SET due_at = $5
WHERE workflow_id = $1 AND step_no = $2 AND shard_no = $3 AND attempt = $4 AND state = 'running'

-- name: step_get
SELECT step_no, shard_no, name, state, attempt, attempt_max, epoch, due_at, is_news, worker, output, customers,
    error_class, error, queued_at, started_at, finished_at
FROM step
WHERE workflow_id = $1 AND step_no = $2 AND shard_no = $3

-- name: step_failure_add
INSERT INTO step_failure (workflow_id, step_no, shard_no, attempt, epoch, worker, error_class, error, started_at,
    failed_at)
SELECT workflow_id, step_no, shard_no, attempt, epoch, CAST($5 AS TEXT), CAST($6 AS TEXT), CAST($7 AS TEXT), CAST($8 AS BIGINT),
    CAST($9 AS BIGINT)
FROM step
WHERE workflow_id = $1 AND step_no = $2 AND shard_no = $3 AND attempt = $4
ON CONFLICT (workflow_id, step_no, shard_no, attempt) DO NOTHING

-- name: step_failure_list
SELECT step_no, shard_no, attempt, epoch, worker, error_class, error, started_at, failed_at
FROM step_failure
WHERE workflow_id = $1
ORDER BY step_no, shard_no, attempt

-- ---- what was given up ----

-- The same message given up again is one letter with more attempts.
-- name: dead_letter_add
INSERT INTO dead_letter (state, destination, message_id, workflow_id, step_no, shard_no, shard, envelope, error_class,
    error, attempts, first_at, last_at)
VALUES ('waiting', $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
ON CONFLICT (destination, message_id) WHERE state = 'waiting' DO UPDATE SET error_class = excluded.error_class,
    error = excluded.error, attempts = dead_letter.attempts + excluded.attempts, last_at = excluded.last_at

-- name: dead_letter_list
SELECT dead_letter, state, destination, message_id, workflow_id, step_no, shard_no, shard, envelope, error_class, error,
    attempts, first_at, last_at, settled_at, who, why
FROM dead_letter
WHERE (CAST($1 AS TEXT) IS NULL OR state = $1) AND dead_letter < $2
ORDER BY dead_letter DESC
LIMIT $3

-- name: dead_letter_get
SELECT dead_letter, state, destination, message_id, workflow_id, step_no, shard_no, shard, envelope, error_class, error,
    attempts, first_at, last_at, settled_at, who, why
FROM dead_letter
WHERE dead_letter = $1

-- name: dead_letter_settle
UPDATE dead_letter
SET state = $2, settled_at = $3, who = $4, why = $5
WHERE dead_letter = $1 AND state = 'waiting'

-- name: dead_letter_backlog
SELECT count(*), coalesce(min(first_at), 0)
FROM dead_letter
WHERE state = 'waiting'

-- ---- changes of workers ----

-- name: agent_event_add
INSERT INTO agent_event (at, agent_type, agent, event, inputs)
VALUES ($1, $2, $3, $4, $5)

-- name: agent_event_list
SELECT agent_event, at, agent_type, agent, event, inputs
FROM agent_event
WHERE agent_event < $1
ORDER BY agent_event DESC
LIMIT $2

-- ---- how agents did ----

-- Steps that ended in a window, of workflows that were accepted since $3, or of one of them.
-- name: figure_steps
SELECT w.definition, w.name, s.step_no, s.state, s.attempt, s.customers, s.queued_at, s.started_at, s.finished_at
FROM workflow w
JOIN step s ON s.workflow_id = w.workflow_id
WHERE w.created_at >= $3 AND s.finished_at >= $1 AND s.finished_at < $2 AND s.state IN ('done', 'failed')
    AND ($4 = '' OR w.workflow_id = $4)

-- name: figure_failures
SELECT w.definition, w.name, f.step_no, f.error_class, count(*)
FROM workflow w
JOIN step_failure f ON f.workflow_id = w.workflow_id
WHERE w.created_at >= $3 AND f.failed_at >= $1 AND f.failed_at < $2 AND ($4 = '' OR w.workflow_id = $4)
GROUP BY w.definition, w.name, f.step_no, f.error_class
ORDER BY w.definition, f.step_no, f.error_class

-- Marks of messages: every turn that was kept left one, a single question's too.
-- name: figure_turns
SELECT consumer, count(*)
FROM inbox
WHERE at >= $1 AND at < $2
GROUP BY consumer
ORDER BY consumer

-- name: figure_changes
SELECT agent_type, count(*)
FROM agent_event
WHERE at >= $1 AND at < $2
GROUP BY agent_type
ORDER BY agent_type

-- ---- schedules ----

-- No row changes when the schedule is known.
-- name: schedule_add
INSERT INTO schedule (schedule, looked_at)
VALUES ($1, $2)
ON CONFLICT (schedule) DO NOTHING

-- Locked until the commit where there is more than one writer.
-- name: schedule_lock
SELECT looked_at
FROM schedule
WHERE schedule = $1
FOR UPDATE

-- name: schedule_looked
UPDATE schedule
SET looked_at = $2
WHERE schedule = $1

-- name: schedule_fire_add
INSERT INTO schedule_fire (schedule, fire_at, noted_at, outcome, workflow_id, why)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (schedule, fire_at) DO NOTHING

-- name: schedule_fire_list
SELECT schedule, fire_at, noted_at, outcome, workflow_id, why
FROM schedule_fire
WHERE (CAST($1 AS TEXT) IS NULL OR schedule = $1)
ORDER BY fire_at DESC, schedule
LIMIT $2
