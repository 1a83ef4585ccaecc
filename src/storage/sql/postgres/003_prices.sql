-- Prices of scarce means, made anew on what the day left of them. The newest of a day and run counts.

CREATE TABLE day_price (
    as_of_day BIGINT NOT NULL,
    number    BIGINT NOT NULL, -- from 1
    run_id    TEXT COLLATE "C" NOT NULL,    -- whose values they rest on
    made_at   BIGINT NOT NULL,
    made_by   TEXT COLLATE "C" NOT NULL,
    body      TEXT COLLATE "C" NOT NULL,    -- JSON: constraints_final_state as in the summary of a run
    PRIMARY KEY (as_of_day, number)
);
