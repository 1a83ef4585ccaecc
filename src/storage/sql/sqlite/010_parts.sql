-- What agents made of the parts of a run, until one of them decides for everybody.

CREATE TABLE run_part (
    run_id    TEXT NOT NULL,
    part      INTEGER NOT NULL,
    customers INTEGER NOT NULL,
    body      BLOB NOT NULL, -- engine/run_part.c
    PRIMARY KEY (run_id, part)
) STRICT, WITHOUT ROWID;
