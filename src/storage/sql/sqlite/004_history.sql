-- The audit log as a chain, and who made what is in the store.

-- One row per audit row, in the order in which they were committed; written by the chainer alone, after the rows
-- themselves. Encoding: docs/concepts/audit.md.
CREATE TABLE audit_chain (
    position INTEGER PRIMARY KEY, -- 1, 2, 3, ... without a gap
    audit_id INTEGER NOT NULL,
    salt     BLOB,                -- NULL once object, before and after were erased
    content  BLOB NOT NULL,       -- BLAKE2b-256 of salt, object, before and after
    hash     BLOB NOT NULL        -- BLAKE2b-256 of the hash before, the other columns of the row, and content
) STRICT;
CREATE UNIQUE INDEX audit_chain_row ON audit_chain (audit_id);

CREATE TABLE audit_checkpoint (
    checkpoint INTEGER PRIMARY KEY, -- 1, 2, 3, ... without a gap
    rows       INTEGER NOT NULL,    -- positions 1 to this one are signed
    hash       BLOB NOT NULL,       -- of that position
    at         INTEGER NOT NULL,
    public_key BLOB NOT NULL,
    signature  BLOB NOT NULL        -- Ed25519
) STRICT;

-- Which audit row says that this one was erased.
CREATE TABLE audit_erasure (
    audit_id INTEGER PRIMARY KEY,
    erasure  INTEGER NOT NULL
) STRICT;

-- The settings of cvm.yaml that decide, each time they were others than before: YAML.
CREATE TABLE config_version (
    version INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    who     TEXT NOT NULL,
    body    TEXT NOT NULL
) STRICT;

ALTER TABLE batch ADD COLUMN who TEXT NOT NULL DEFAULT '';
-- batch that this one takes back; NULL = it brought rows itself
ALTER TABLE batch ADD COLUMN retracts INTEGER;
CREATE INDEX batch_by_retracts ON batch (retracts);
UPDATE batch
SET who = coalesce(
    (SELECT max(a.who) FROM audit a WHERE a.action = 'import' AND a.object = 'batch ' || batch.batch), '');
