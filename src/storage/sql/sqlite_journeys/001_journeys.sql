-- Packed journeys: derived from the rows of the store, kept in a file of their own, rebuilt at will.
CREATE TABLE packed (
    customer_key INTEGER NOT NULL,
    period       INTEGER NOT NULL, -- 0 = profile, else year * 2 + half-year
    body         BLOB NOT NULL,    -- model/packed.h
    PRIMARY KEY (customer_key, period)
) STRICT, WITHOUT ROWID;

-- 'batch': the last batch that is in here; 'building': one that is being put in; 'data_digest': of the catalogue.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
