-- The audit log as a chain, and who made what is in the store.

-- One row per audit row, in the order in which they were committed; written by the chainer alone, after the rows
-- themselves. Encoding: docs/concepts/audit.md.
CREATE TABLE audit_chain (
    position BIGINT PRIMARY KEY, -- 1, 2, 3, ... without a gap
    audit_id BIGINT NOT NULL,
    salt     BYTEA,                -- NULL once object, before and after were erased
    content  BYTEA NOT NULL,       -- BLAKE2b-256 of salt, object, before and after
    hash     BYTEA NOT NULL        -- BLAKE2b-256 of the hash before, the other columns of the row, and content
);
CREATE UNIQUE INDEX audit_chain_row ON audit_chain (audit_id);

CREATE TABLE audit_checkpoint (
    checkpoint BIGINT PRIMARY KEY, -- 1, 2, 3, ... without a gap
    rows       BIGINT NOT NULL,    -- positions 1 to this one are signed
    hash       BYTEA NOT NULL,       -- of that position
    at         BIGINT NOT NULL,
    public_key BYTEA NOT NULL,
    signature  BYTEA NOT NULL        -- Ed25519
);

-- Which audit row says that this one was erased.
CREATE TABLE audit_erasure (
    audit_id BIGINT PRIMARY KEY,
    erasure  BIGINT NOT NULL
);

-- The settings of cvm.yaml that decide, each time they were others than before: YAML.
CREATE TABLE config_version (
    version BIGINT PRIMARY KEY,
    at      BIGINT NOT NULL,
    who     TEXT COLLATE "C" NOT NULL,
    body    TEXT COLLATE "C" NOT NULL
);

ALTER TABLE batch ADD COLUMN who TEXT COLLATE "C" NOT NULL DEFAULT '';
-- batch that this one takes back; NULL = it brought rows itself
ALTER TABLE batch ADD COLUMN retracts BIGINT;
CREATE INDEX batch_by_retracts ON batch (retracts);
UPDATE batch
SET who = coalesce(
    (SELECT max(a.who) FROM audit a WHERE a.action = 'import' AND a.object = 'batch ' || batch.batch), '');
