-- The whole store, in one schema of a PostgreSQL database: the first one of the connection's search_path. Numbers of
-- sources are the store's own (table source), so that a new catalogue version never renumbers rows. Days are days since
-- 1970-01-01, moments milliseconds since then in UTC, money millionths. Texts compare byte by byte, as everywhere in cvm.
--
-- customer, event, consent and packed are cut into eight ranges of the customer key, which is a hash: equally many
-- customers each, scanned and loaded by several connections at once. They are not cut by month too: a customer's journey
-- is read and merged as a whole, and would then be looked for in every month.

CREATE TABLE source (
    source BIGINT PRIMARY KEY,
    name   TEXT COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE catalogue (
    version    BIGINT PRIMARY KEY,
    digest     TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    author     TEXT COLLATE "C" NOT NULL,
    reason     TEXT COLLATE "C" NOT NULL
);

CREATE TABLE catalogue_file (
    version BIGINT NOT NULL REFERENCES catalogue (version),
    name    TEXT COLLATE "C" NOT NULL,
    text    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (version, name)
);

-- One import. Rows of a batch count once it is closed; empty = it brought nothing new,
-- abandoned = its process died, retracted = taken back.
CREATE TABLE batch (
    batch             BIGINT PRIMARY KEY,
    state             TEXT COLLATE "C" NOT NULL CHECK (state IN ('open', 'closed', 'empty', 'abandoned', 'retracted')),
    catalogue_version BIGINT NOT NULL,
    started_at        BIGINT NOT NULL,
    finished_at       BIGINT,
    first_day         BIGINT, -- oldest and newest dated event that it stored; NULL when there is none
    last_day          BIGINT,
    report            TEXT COLLATE "C"     -- JSON: what `cvm import` printed
);

-- customer_key: 63 bits of XXH3 of customer_id, the next free key on collision; so the id needs no index.
CREATE TABLE customer (
    customer_key BIGINT PRIMARY KEY,
    customer_id  TEXT COLLATE "C" NOT NULL,
    batch        BIGINT NOT NULL
) PARTITION BY RANGE (customer_key);
CREATE TABLE customer_0 PARTITION OF customer FOR VALUES FROM (MINVALUE) TO (1152921504606846976);
CREATE TABLE customer_1 PARTITION OF customer FOR VALUES FROM (1152921504606846976) TO (2305843009213693952);
CREATE TABLE customer_2 PARTITION OF customer FOR VALUES FROM (2305843009213693952) TO (3458764513820540928);
CREATE TABLE customer_3 PARTITION OF customer FOR VALUES FROM (3458764513820540928) TO (4611686018427387904);
CREATE TABLE customer_4 PARTITION OF customer FOR VALUES FROM (4611686018427387904) TO (5764607523034234880);
CREATE TABLE customer_5 PARTITION OF customer FOR VALUES FROM (5764607523034234880) TO (6917529027641081856);
CREATE TABLE customer_6 PARTITION OF customer FOR VALUES FROM (6917529027641081856) TO (8070450532247928832);
CREATE TABLE customer_7 PARTITION OF customer FOR VALUES FROM (8070450532247928832) TO (MAXVALUE);

-- The truth. Undated attribute records have day = -2147483648. The highest version of (customer_key, source, identity)
-- whose batch counts is in force. attributes: JSON of canonical attributes; private: JSON of personal attributes, free
-- text and unknown fields, under key_id (0 = clear).
CREATE TABLE event (
    customer_key BIGINT NOT NULL,
    day          BIGINT NOT NULL,
    source       BIGINT NOT NULL,
    identity     BIGINT NOT NULL,
    version      BIGINT NOT NULL,
    second       BIGINT NOT NULL,
    batch        BIGINT NOT NULL,
    content      BIGINT NOT NULL, -- hash of the record: equal content is a duplicate
    attributes   TEXT COLLATE "C" NOT NULL,
    private      BYTEA,
    key_id       BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (customer_key, day, source, identity, version)
) PARTITION BY RANGE (customer_key);
CREATE TABLE event_0 PARTITION OF event FOR VALUES FROM (MINVALUE) TO (1152921504606846976);
CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (1152921504606846976) TO (2305843009213693952);
CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM (2305843009213693952) TO (3458764513820540928);
CREATE TABLE event_3 PARTITION OF event FOR VALUES FROM (3458764513820540928) TO (4611686018427387904);
CREATE TABLE event_4 PARTITION OF event FOR VALUES FROM (4611686018427387904) TO (5764607523034234880);
CREATE TABLE event_5 PARTITION OF event FOR VALUES FROM (5764607523034234880) TO (6917529027641081856);
CREATE TABLE event_6 PARTITION OF event FOR VALUES FROM (6917529027641081856) TO (8070450532247928832);
CREATE TABLE event_7 PARTITION OF event FOR VALUES FROM (8070450532247928832) TO (MAXVALUE);

-- History of permissions; the highest version whose batch counts is in force. Bits: model/consent.h.
CREATE TABLE consent (
    customer_key    BIGINT NOT NULL,
    version         BIGINT NOT NULL,
    source          BIGINT NOT NULL,
    batch           BIGINT NOT NULL,
    content         BIGINT NOT NULL,
    recorded        BIGINT NOT NULL,
    granted         BIGINT NOT NULL,
    updated_day     BIGINT NOT NULL,
    quiet_start_min BIGINT NOT NULL,
    quiet_end_min   BIGINT NOT NULL,
    preferred_time  BIGINT NOT NULL,
    language        TEXT COLLATE "C" NOT NULL,
    private         BYTEA,
    key_id          BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (customer_key, version)
) PARTITION BY RANGE (customer_key);
CREATE TABLE consent_0 PARTITION OF consent FOR VALUES FROM (MINVALUE) TO (1152921504606846976);
CREATE TABLE consent_1 PARTITION OF consent FOR VALUES FROM (1152921504606846976) TO (2305843009213693952);
CREATE TABLE consent_2 PARTITION OF consent FOR VALUES FROM (2305843009213693952) TO (3458764513820540928);
CREATE TABLE consent_3 PARTITION OF consent FOR VALUES FROM (3458764513820540928) TO (4611686018427387904);
CREATE TABLE consent_4 PARTITION OF consent FOR VALUES FROM (4611686018427387904) TO (5764607523034234880);
CREATE TABLE consent_5 PARTITION OF consent FOR VALUES FROM (5764607523034234880) TO (6917529027641081856);
CREATE TABLE consent_6 PARTITION OF consent FOR VALUES FROM (6917529027641081856) TO (8070450532247928832);
CREATE TABLE consent_7 PARTITION OF consent FOR VALUES FROM (8070450532247928832) TO (MAXVALUE);

-- One whole-base job. request: digest of (as-of, selection, options, seed, catalogue version, last batch): the same
-- request is the same run.
CREATE TABLE run (
    run_id            TEXT COLLATE "C" PRIMARY KEY,
    request           TEXT COLLATE "C" NOT NULL UNIQUE,
    state             TEXT COLLATE "C" NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    epoch             BIGINT NOT NULL, -- grows each time a process takes the run up
    as_of_day         BIGINT NOT NULL,
    seed              BIGINT NOT NULL,
    catalogue_version BIGINT NOT NULL,
    last_batch        BIGINT NOT NULL,
    options           TEXT COLLATE "C" NOT NULL, -- JSON
    created_at        BIGINT NOT NULL,
    finished_at       BIGINT,
    summary           TEXT COLLATE "C" -- JSON: the result file's summary
);
CREATE INDEX run_by_day ON run (as_of_day, created_at);

CREATE TABLE plan (
    run_id      TEXT COLLATE "C" PRIMARY KEY REFERENCES run (run_id),
    state       TEXT COLLATE "C" NOT NULL
        CHECK (state IN ('building', 'draft', 'approved', 'released', 'closed', 'held', 'recalled')),
    plan_digest TEXT COLLATE "C",
    decisions   BIGINT NOT NULL,
    value       DOUBLE PRECISION NOT NULL,
    dual_bound  DOUBLE PRECISION NOT NULL,
    spend_micro BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL
);

-- Value and reason of every treatment for every customer, a block per shard; layout: storage/value_blocks.h.
CREATE TABLE value_block (
    run_id    TEXT COLLATE "C" NOT NULL,
    first_key BIGINT NOT NULL,
    last_key  BIGINT NOT NULL,
    customers BIGINT NOT NULL,
    body      BYTEA NOT NULL,
    PRIMARY KEY (run_id, first_key)
);

-- decision_id is run_id '.' customer_key in 16 hex digits. state: model/decision.h.
CREATE TABLE decision (
    run_id                TEXT COLLATE "C" NOT NULL,
    customer_key          BIGINT NOT NULL,
    customer_id           TEXT COLLATE "C" NOT NULL,
    treatment             TEXT COLLATE "C" NOT NULL,
    offer                 TEXT COLLATE "C",
    content               TEXT COLLATE "C",
    language              TEXT COLLATE "C",
    value                 DOUBLE PRECISION NOT NULL,
    sd                    DOUBLE PRECISION NOT NULL,
    price                 DOUBLE PRECISION NOT NULL,
    cost_micro            BIGINT NOT NULL,
    incentive_micro       BIGINT NOT NULL,
    reason                BIGINT NOT NULL,
    arm                   TEXT COLLATE "C" NOT NULL,
    selection_probability DOUBLE PRECISION NOT NULL,
    ghost                 BIGINT NOT NULL,
    earliest_at           BIGINT,
    latest_at             BIGINT,
    state                 BIGINT NOT NULL,
    PRIMARY KEY (run_id, customer_key)
);

-- Scarce means by period. amounts in units, thousandths of a resource unit, or millionths of money.
CREATE TABLE ledger (
    constraint_id TEXT COLLATE "C" NOT NULL,
    period        TEXT COLLATE "C" NOT NULL, -- '2024-03-20', '2024-W12', '2024-03', 'run:<run_id>'
    granted       BIGINT NOT NULL CHECK (granted >= 0),
    held          BIGINT NOT NULL CHECK (held >= 0),
    confirmed     BIGINT NOT NULL CHECK (confirmed >= 0),
    PRIMARY KEY (constraint_id, period),
    CHECK (held + confirmed <= granted)
);

CREATE TABLE ledger_hold (
    holder        TEXT COLLATE "C" NOT NULL, -- run_id or decision_id
    constraint_id TEXT COLLATE "C" NOT NULL,
    period        TEXT COLLATE "C" NOT NULL,
    amount        BIGINT NOT NULL CHECK (amount >= 0),
    epoch         BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    PRIMARY KEY (holder, constraint_id, period)
);

CREATE TABLE audit (
    audit_id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    at       BIGINT NOT NULL,
    who      TEXT COLLATE "C" NOT NULL,
    action   TEXT COLLATE "C" NOT NULL, -- 'plan', 'catalogue', 'consent', 'import', 'capacity', ...
    object   TEXT COLLATE "C" NOT NULL,
    why      TEXT COLLATE "C" NOT NULL,
    before   TEXT COLLATE "C",
    after    TEXT COLLATE "C"
);

-- For people with an SQL prompt.
CREATE VIEW journey AS
SELECT c.customer_id, CASE WHEN e.day > -2147483648 THEN DATE '1970-01-01' + CAST(e.day AS INTEGER) END AS date, s.name AS source, e.attributes, e.version, e.batch
FROM event e
JOIN customer c ON c.customer_key = e.customer_key
JOIN source s ON s.source = e.source
JOIN batch b ON b.batch = e.batch
WHERE b.state = 'closed'
    AND NOT EXISTS (
        SELECT 1
        FROM event n
        JOIN batch nb ON nb.batch = n.batch
        WHERE n.customer_key = e.customer_key AND n.source = e.source AND n.identity = e.identity
            AND n.version > e.version AND nb.state = 'closed'
    );

-- Packed journeys: derived from the rows above, rebuilt at will; written by a connection of its own. Bodies stay in their
-- row (under 1 KB as a rule): a scan reads no second table.
CREATE TABLE packed (
    customer_key BIGINT NOT NULL,
    period       BIGINT NOT NULL, -- 0 = profile, else year * 2 + half-year
    body         BYTEA NOT NULL,  -- model/packed.h
    PRIMARY KEY (customer_key, period)
) PARTITION BY RANGE (customer_key);
ALTER TABLE packed ALTER COLUMN body SET STORAGE MAIN;
CREATE TABLE packed_0 PARTITION OF packed FOR VALUES FROM (MINVALUE) TO (1152921504606846976);
CREATE TABLE packed_1 PARTITION OF packed FOR VALUES FROM (1152921504606846976) TO (2305843009213693952);
CREATE TABLE packed_2 PARTITION OF packed FOR VALUES FROM (2305843009213693952) TO (3458764513820540928);
CREATE TABLE packed_3 PARTITION OF packed FOR VALUES FROM (3458764513820540928) TO (4611686018427387904);
CREATE TABLE packed_4 PARTITION OF packed FOR VALUES FROM (4611686018427387904) TO (5764607523034234880);
CREATE TABLE packed_5 PARTITION OF packed FOR VALUES FROM (5764607523034234880) TO (6917529027641081856);
CREATE TABLE packed_6 PARTITION OF packed FOR VALUES FROM (6917529027641081856) TO (8070450532247928832);
CREATE TABLE packed_7 PARTITION OF packed FOR VALUES FROM (8070450532247928832) TO (MAXVALUE);

-- 'batch': the last batch that is in here; 'building': one that is being put in; 'data_digest': of the catalogue.
CREATE TABLE meta (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);
