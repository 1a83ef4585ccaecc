-- The whole store. Numbers of sources are the store's own (table source), so that a new catalogue version never
-- renumbers rows. Days are days since 1970-01-01, moments milliseconds since then in UTC, money millionths.

CREATE TABLE source (
    source INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE catalogue (
    version    INTEGER PRIMARY KEY,
    digest     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    author     TEXT NOT NULL,
    reason     TEXT NOT NULL
) STRICT;

CREATE TABLE catalogue_file (
    version INTEGER NOT NULL REFERENCES catalogue (version),
    name    TEXT NOT NULL,
    text    TEXT NOT NULL,
    PRIMARY KEY (version, name)
) STRICT, WITHOUT ROWID;

-- One import. Rows of a batch count once it is closed; empty = it brought nothing new,
-- abandoned = its process died, retracted = taken back.
CREATE TABLE batch (
    batch             INTEGER PRIMARY KEY,
    state             TEXT NOT NULL CHECK (state IN ('open', 'closed', 'empty', 'abandoned', 'retracted')),
    catalogue_version INTEGER NOT NULL,
    started_at        INTEGER NOT NULL,
    finished_at       INTEGER,
    first_day         INTEGER, -- oldest and newest dated event that it stored; NULL when there is none
    last_day          INTEGER,
    report            TEXT     -- JSON: what `cvm import` printed
) STRICT;

-- customer_key: 63 bits of XXH3 of customer_id, the next free key on collision; so the id needs no index.
CREATE TABLE customer (
    customer_key INTEGER PRIMARY KEY,
    customer_id  TEXT NOT NULL,
    batch        INTEGER NOT NULL
) STRICT;

-- The truth. Undated attribute records have day = -2147483648. The highest version of (customer_key, source, identity)
-- whose batch counts is in force. attributes: JSON of canonical attributes; private: JSON of personal attributes, free
-- text and unknown fields, under key_id (0 = clear).
CREATE TABLE event (
    customer_key INTEGER NOT NULL,
    day          INTEGER NOT NULL,
    source       INTEGER NOT NULL,
    identity     INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    second       INTEGER NOT NULL,
    batch        INTEGER NOT NULL,
    content      INTEGER NOT NULL, -- hash of the record: equal content is a duplicate
    attributes   TEXT NOT NULL,
    private      BLOB,
    key_id       INTEGER NOT NULL,
    PRIMARY KEY (customer_key, day, source, identity, version)
) STRICT, WITHOUT ROWID;

-- History of permissions; the highest version whose batch counts is in force. Bits: model/consent.h.
CREATE TABLE consent (
    customer_key    INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    source          INTEGER NOT NULL,
    batch           INTEGER NOT NULL,
    content         INTEGER NOT NULL,
    recorded        INTEGER NOT NULL,
    granted         INTEGER NOT NULL,
    updated_day     INTEGER NOT NULL,
    quiet_start_min INTEGER NOT NULL,
    quiet_end_min   INTEGER NOT NULL,
    preferred_time  INTEGER NOT NULL,
    language        TEXT NOT NULL,
    private         BLOB,
    key_id          INTEGER NOT NULL,
    PRIMARY KEY (customer_key, version)
) STRICT, WITHOUT ROWID;

-- One whole-base job. request: digest of (as-of, selection, options, seed, catalogue version, last batch): the same
-- request is the same run.
CREATE TABLE run (
    run_id            TEXT PRIMARY KEY,
    request           TEXT NOT NULL UNIQUE,
    state             TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    epoch             INTEGER NOT NULL, -- grows each time a process takes the run up
    as_of_day         INTEGER NOT NULL,
    seed              INTEGER NOT NULL,
    catalogue_version INTEGER NOT NULL,
    last_batch        INTEGER NOT NULL,
    options           TEXT NOT NULL, -- JSON
    created_at        INTEGER NOT NULL,
    finished_at       INTEGER,
    summary           TEXT -- JSON: the result file's summary
) STRICT;
CREATE INDEX run_by_day ON run (as_of_day, created_at);

CREATE TABLE plan (
    run_id      TEXT PRIMARY KEY REFERENCES run (run_id),
    state       TEXT NOT NULL
        CHECK (state IN ('building', 'draft', 'approved', 'released', 'closed', 'held', 'recalled')),
    plan_digest TEXT,
    decisions   INTEGER NOT NULL,
    value       REAL NOT NULL,
    dual_bound  REAL NOT NULL,
    spend_micro INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL
) STRICT;

-- Value and reason of every treatment for every customer, a block per shard; layout: storage/value_blocks.h.
CREATE TABLE value_block (
    run_id    TEXT NOT NULL,
    first_key INTEGER NOT NULL,
    last_key  INTEGER NOT NULL,
    customers INTEGER NOT NULL,
    body      BLOB NOT NULL,
    PRIMARY KEY (run_id, first_key)
) STRICT;

-- decision_id is run_id '.' customer_key in 16 hex digits. state: model/decision.h.
CREATE TABLE decision (
    run_id                TEXT NOT NULL,
    customer_key          INTEGER NOT NULL,
    customer_id           TEXT NOT NULL,
    treatment             TEXT NOT NULL,
    offer                 TEXT,
    content               TEXT,
    language              TEXT,
    value                 REAL NOT NULL,
    sd                    REAL NOT NULL,
    price                 REAL NOT NULL,
    cost_micro            INTEGER NOT NULL,
    incentive_micro       INTEGER NOT NULL,
    reason                INTEGER NOT NULL,
    arm                   TEXT NOT NULL,
    selection_probability REAL NOT NULL,
    ghost                 INTEGER NOT NULL,
    earliest_at           INTEGER,
    latest_at             INTEGER,
    state                 INTEGER NOT NULL,
    PRIMARY KEY (run_id, customer_key)
) STRICT, WITHOUT ROWID;

-- Scarce means by period. amounts in units, thousandths of a resource unit, or millionths of money.
CREATE TABLE ledger (
    constraint_id TEXT NOT NULL,
    period        TEXT NOT NULL, -- '2024-03-20', '2024-W12', '2024-03', 'run:<run_id>'
    granted       INTEGER NOT NULL CHECK (granted >= 0),
    held          INTEGER NOT NULL CHECK (held >= 0),
    confirmed     INTEGER NOT NULL CHECK (confirmed >= 0),
    PRIMARY KEY (constraint_id, period),
    CHECK (held + confirmed <= granted)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger_hold (
    holder        TEXT NOT NULL, -- run_id or decision_id
    constraint_id TEXT NOT NULL,
    period        TEXT NOT NULL,
    amount        INTEGER NOT NULL CHECK (amount >= 0),
    epoch         INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    PRIMARY KEY (holder, constraint_id, period)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    audit_id INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    who      TEXT NOT NULL,
    action   TEXT NOT NULL, -- 'plan', 'catalogue', 'consent', 'import', 'capacity', ...
    object   TEXT NOT NULL,
    why      TEXT NOT NULL,
    before   TEXT,
    after    TEXT
) STRICT;

-- For people with an SQL prompt.
CREATE VIEW journey AS
SELECT c.customer_id, date(e.day * 86400, 'unixepoch') AS date, s.name AS source, e.attributes, e.version, e.batch
FROM event e
JOIN customer c USING (customer_key)
JOIN source s USING (source)
JOIN batch b USING (batch)
WHERE b.state = 'closed'
    AND NOT EXISTS (
        SELECT 1
        FROM event n
        JOIN batch nb USING (batch)
        WHERE n.customer_key = e.customer_key AND n.source = e.source AND n.identity = e.identity
            AND n.version > e.version AND nb.state = 'closed'
    );
