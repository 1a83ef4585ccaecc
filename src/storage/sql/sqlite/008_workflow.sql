-- Workflows: what was accepted, what every step did, who may work on what, and the messages that go with it. One
-- transaction holds the check of the epoch, the mark of the message, the step and whatever the turn wrote.

-- Texts of definitions: a workflow keeps the one that it was accepted with.
CREATE TABLE workflow_definition (
    digest TEXT PRIMARY KEY,
    name   TEXT NOT NULL,
    body   TEXT NOT NULL, -- YAML
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE workflow (
    workflow_id       TEXT PRIMARY KEY,
    name              TEXT NOT NULL,
    definition        TEXT NOT NULL REFERENCES workflow_definition (digest),
    state             TEXT NOT NULL CHECK (state IN
        ('accepted', 'running', 'waiting', 'paused', 'completed', 'failed', 'cancelled', 'dead')),
    idempotency_key   TEXT NOT NULL UNIQUE,
    input_digest      TEXT NOT NULL,
    input             TEXT NOT NULL,    -- JSON of references
    run_id            TEXT,             -- that it makes; NULL = none yet
    shards            INTEGER NOT NULL, -- -1 = not known yet
    partition_no      INTEGER NOT NULL, -- of the orchestrators
    priority          INTEGER NOT NULL,
    epoch             INTEGER NOT NULL, -- of the lease under which it was changed last
    recovery_attempts INTEGER NOT NULL, -- since a step was done
    created_at        INTEGER NOT NULL,
    started_at        INTEGER,
    finished_at       INTEGER,          -- NULL = open
    deadline          INTEGER,          -- NULL = none
    wake_at           INTEGER,          -- to be looked at by then; NULL = when a step has news
    result            TEXT,
    error             TEXT,
    who               TEXT NOT NULL,
    traceparent       TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX workflow_by_wake ON workflow (partition_no, wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX workflow_open ON workflow (partition_no) WHERE finished_at IS NULL;
CREATE INDEX workflow_by_time ON workflow (created_at);
CREATE INDEX workflow_by_run ON workflow (run_id) WHERE run_id IS NOT NULL;

-- One row per step and shard: the checkpoint. An attempt's result counts while the row is running under that attempt.
CREATE TABLE step (
    workflow_id TEXT NOT NULL,
    step_no     INTEGER NOT NULL,
    shard_no    INTEGER NOT NULL,
    name        TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('pending', 'running', 'retry', 'done', 'failed', 'skipped')),
    attempt     INTEGER NOT NULL, -- 0 = never sent
    attempt_max INTEGER NOT NULL,
    epoch       INTEGER NOT NULL, -- of the lease under which the attempt was sent
    due_at      INTEGER,          -- running: when it is given up; retry: when it is sent again, NULL = not decided
    is_news     INTEGER NOT NULL, -- 1 = the orchestrator has not seen it
    worker      TEXT,
    output      TEXT,             -- JSON of references
    customers   INTEGER,          -- that it was about
    error_class TEXT,
    error       TEXT,
    queued_at   INTEGER,
    started_at  INTEGER,
    finished_at INTEGER,
    PRIMARY KEY (workflow_id, step_no, shard_no)
) STRICT, WITHOUT ROWID;
CREATE INDEX step_news ON step (workflow_id) WHERE is_news = 1;

-- Attempts that failed; those that went well leave no row but the step's own.
CREATE TABLE step_failure (
    workflow_id TEXT NOT NULL,
    step_no     INTEGER NOT NULL,
    shard_no    INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    worker      TEXT,
    error_class TEXT NOT NULL,
    error       TEXT NOT NULL,
    started_at  INTEGER,
    failed_at   INTEGER NOT NULL,
    PRIMARY KEY (workflow_id, step_no, shard_no, attempt)
) STRICT, WITHOUT ROWID;

-- Messages to be sent: committed with what they follow from. One relay per shard marks them.
CREATE TABLE outbox (
    outbox      INTEGER PRIMARY KEY,
    shard       INTEGER NOT NULL,
    message_id  BLOB NOT NULL,
    destination TEXT NOT NULL,
    envelope    BLOB NOT NULL,
    not_before  INTEGER NOT NULL, -- 0 = at once
    created_at  INTEGER NOT NULL,
    sent_at     INTEGER           -- NULL = pending
) STRICT;
CREATE INDEX outbox_pending ON outbox (shard, outbox) WHERE sent_at IS NULL;
CREATE INDEX outbox_by_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;

-- Messages that a consumer has applied.
CREATE TABLE inbox (
    consumer   TEXT NOT NULL,
    message_id BLOB NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (consumer, message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX inbox_by_time ON inbox (at);

-- Who may work on what. An epoch only grows.
CREATE TABLE lease (
    resource     TEXT PRIMARY KEY,
    owner        TEXT NOT NULL, -- '' = given back
    incarnation  INTEGER NOT NULL,
    epoch        INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    committed_at INTEGER        -- last commit under it
) STRICT, WITHOUT ROWID;

-- Messages and workflows that were given up.
CREATE TABLE dead_letter (
    dead_letter INTEGER PRIMARY KEY,
    state       TEXT NOT NULL CHECK (state IN ('waiting', 'replayed', 'discarded')),
    destination TEXT NOT NULL,
    message_id  BLOB NOT NULL,
    workflow_id TEXT,
    step_no     INTEGER,
    shard_no    INTEGER,
    shard       INTEGER NOT NULL, -- of the outbox
    envelope    BLOB,             -- NULL = the workflow itself was given up
    error_class TEXT NOT NULL,
    error       TEXT NOT NULL,
    attempts    INTEGER NOT NULL,
    first_at    INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    settled_at  INTEGER,
    who         TEXT,             -- settled it
    why         TEXT
) STRICT;
CREATE UNIQUE INDEX dead_letter_waiting ON dead_letter (destination, message_id) WHERE state = 'waiting';

-- Changes of workers, with what they were decided from.
CREATE TABLE agent_event (
    agent_event INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    agent_type  TEXT NOT NULL,
    agent       TEXT NOT NULL, -- '' = all of the type
    event       TEXT NOT NULL,
    inputs      TEXT NOT NULL  -- JSON
) STRICT;
CREATE INDEX agent_event_by_time ON agent_event (at);

-- Workflows that start by the clock. Each moment of a schedule is noted once, whoever looks.
CREATE TABLE schedule (
    schedule  TEXT PRIMARY KEY,
    looked_at INTEGER NOT NULL -- moments up to here are noted
) STRICT, WITHOUT ROWID;

CREATE TABLE schedule_fire (
    schedule    TEXT NOT NULL,
    fire_at     INTEGER NOT NULL,
    noted_at    INTEGER NOT NULL,
    outcome     TEXT NOT NULL CHECK (outcome IN ('started', 'skipped', 'missed')),
    workflow_id TEXT,
    why         TEXT,
    PRIMARY KEY (schedule, fire_at)
) STRICT, WITHOUT ROWID;
