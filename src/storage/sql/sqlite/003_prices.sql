-- Prices of scarce means, made anew on what the day left of them. The newest of a day and run counts.

CREATE TABLE day_price (
    as_of_day INTEGER NOT NULL,
    number    INTEGER NOT NULL, -- from 1
    run_id    TEXT NOT NULL,    -- whose values they rest on
    made_at   INTEGER NOT NULL,
    made_by   TEXT NOT NULL,
    body      TEXT NOT NULL,    -- JSON: constraints_final_state as in the summary of a run
    PRIMARY KEY (as_of_day, number)
) STRICT, WITHOUT ROWID;
