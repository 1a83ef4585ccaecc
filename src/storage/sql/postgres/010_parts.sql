-- What agents made of the parts of a run, until one of them decides for everybody.

CREATE TABLE run_part (
    run_id    TEXT COLLATE "C" NOT NULL,
    part      BIGINT NOT NULL,
    customers BIGINT NOT NULL,
    body      BYTEA NOT NULL, -- engine/run_part.c
    PRIMARY KEY (run_id, part)
);
