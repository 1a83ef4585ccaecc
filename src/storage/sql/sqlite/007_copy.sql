-- What this store was copied from: no row, or one. Nobody may use the store until the copy has ended.
CREATE TABLE store_copy (
    began_at   INTEGER PRIMARY KEY,
    ended_at   INTEGER,          -- NULL = not yet
    who        TEXT NOT NULL,
    source     TEXT NOT NULL,    -- its URL, without a password
    created    INTEGER NOT NULL, -- when the source was made: tells stores apart
    moment     TEXT NOT NULL,    -- digest of what changes in the source whenever anything does
    table_name TEXT NOT NULL,    -- that rows went to last; those before it are done
    rows       INTEGER NOT NULL  -- of that table, so far
) STRICT;
