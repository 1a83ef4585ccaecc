-- What purges have removed, and how far one has come that was cut off.

CREATE TABLE purge (
    purge       INTEGER PRIMARY KEY,
    as_of_day   INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER,          -- NULL: on its way, or cut off
    who         TEXT NOT NULL,
    why         TEXT NOT NULL,
    last_key    INTEGER NOT NULL, -- customers up to this key are done
    changes     INTEGER NOT NULL  -- transactions that took something out of journeys
) STRICT;

CREATE TABLE purge_source (
    purge      INTEGER NOT NULL,
    source     INTEGER NOT NULL,
    before_day INTEGER NOT NULL, -- its events of earlier days go
    records    INTEGER NOT NULL, -- that are gone
    rows       INTEGER NOT NULL, -- the same with their older versions
    PRIMARY KEY (purge, source)
) STRICT, WITHOUT ROWID;
