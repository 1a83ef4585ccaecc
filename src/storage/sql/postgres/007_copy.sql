-- What this store was copied from: no row, or one. Nobody may use the store until the copy has ended.
CREATE TABLE store_copy (
    began_at   BIGINT PRIMARY KEY,
    ended_at   BIGINT,          -- NULL = not yet
    who        TEXT COLLATE "C" NOT NULL,
    source     TEXT COLLATE "C" NOT NULL,    -- its URL, without a password
    created    BIGINT NOT NULL, -- when the source was made: tells stores apart
    moment     TEXT COLLATE "C" NOT NULL,    -- digest of what changes in the source whenever anything does
    table_name TEXT COLLATE "C" NOT NULL,    -- that rows went to last; those before it are done
    rows       BIGINT NOT NULL  -- of that table, so far
);
