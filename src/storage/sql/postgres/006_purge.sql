-- What purges have removed, and how far one has come that was cut off.

CREATE TABLE purge (
    purge       BIGINT PRIMARY KEY,
    as_of_day   BIGINT NOT NULL,
    started_at  BIGINT NOT NULL,
    finished_at BIGINT,          -- NULL: on its way, or cut off
    who         TEXT COLLATE "C" NOT NULL,
    why         TEXT COLLATE "C" NOT NULL,
    last_key    BIGINT NOT NULL, -- customers up to this key are done
    changes     BIGINT NOT NULL  -- transactions that took something out of journeys
);

CREATE TABLE purge_source (
    purge      BIGINT NOT NULL,
    source     BIGINT NOT NULL,
    before_day BIGINT NOT NULL, -- its events of earlier days go
    records    BIGINT NOT NULL, -- that are gone
    rows       BIGINT NOT NULL, -- the same with their older versions
    PRIMARY KEY (purge, source)
);
