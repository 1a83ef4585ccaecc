-- Plans that people approve, control groups, contacts, outcomes.

ALTER TABLE run ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
-- JSON: parameters of the response models that it used, and where from
ALTER TABLE run ADD COLUMN responses TEXT;
-- JSON array of sentences
ALTER TABLE plan ADD COLUMN hold_reasons TEXT;

-- resolved: 'call' ... 'none'
ALTER TABLE decision ADD COLUMN channel TEXT;
-- treatment that a control group kept from the customer
ALTER TABLE decision ADD COLUMN withheld TEXT;
-- in the horizon if untreated, as decided with
ALTER TABLE decision ADD COLUMN churn REAL NOT NULL DEFAULT 0.0;
-- plan_export that handed it over; 0 = none
ALTER TABLE decision ADD COLUMN export INTEGER NOT NULL DEFAULT 0;
-- outcome window: NULL = open, 0 = stayed, 1 = churned
ALTER TABLE decision ADD COLUMN horizon INTEGER;
-- reports read only what was measured
CREATE INDEX decision_measured ON decision (treatment, arm, ghost) WHERE horizon IS NOT NULL;

-- What is stored as decided (0) or released (1) follows its plan: releasing or recalling a plan is one row, not a
-- million. 15 = withdrawn.
CREATE VIEW decision_now AS
SELECT d.run_id, d.customer_key, d.customer_id, d.treatment, d.offer, d.content, d.language, d.value, d.sd, d.price,
    d.cost_micro, d.incentive_micro, d.reason, d.arm, d.selection_probability, d.ghost, d.earliest_at, d.latest_at,
    CASE
        WHEN d.state > 1 THEN d.state
        WHEN p.state = 'recalled' THEN 15
        WHEN p.state IN ('released', 'closed') THEN 1
        ELSE d.state
    END AS state,
    d.channel, d.withheld, d.churn, d.export
FROM decision d
JOIN plan p ON p.run_id = d.run_id;

-- What became of decisions, as reported. state: model/decision.h, or 16 churned, 17 stayed. The first report of a state
-- counts. is_late = after the response window of its treatment: kept, not learned from.
CREATE TABLE outcome (
    run_id         TEXT NOT NULL,
    customer_key   INTEGER NOT NULL,
    state          INTEGER NOT NULL,
    day            INTEGER NOT NULL,
    at             INTEGER, -- moment, where it was given
    minutes        REAL,
    reason         TEXT,
    is_late        INTEGER NOT NULL,
    outcome_import INTEGER NOT NULL,
    PRIMARY KEY (run_id, customer_key, state)
) STRICT, WITHOUT ROWID;
CREATE INDEX outcome_by_import ON outcome (outcome_import);

CREATE TABLE outcome_import (
    outcome_import INTEGER PRIMARY KEY,
    at             INTEGER NOT NULL,
    who            TEXT NOT NULL,
    file           TEXT NOT NULL,
    report         TEXT -- JSON; NULL until its contacts and opt-outs are in the journeys
) STRICT;

-- Counts of outcomes per treatment: model/learning.h.
CREATE TABLE learning (
    treatment         TEXT PRIMARY KEY,
    contacts          INTEGER NOT NULL,
    reached           INTEGER NOT NULL,
    answers           INTEGER NOT NULL,
    accepted          INTEGER NOT NULL,
    treated           INTEGER NOT NULL,
    treated_churned   INTEGER NOT NULL,
    treated_expected  REAL NOT NULL,
    controls          INTEGER NOT NULL,
    controls_churned  INTEGER NOT NULL,
    controls_expected REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- The universal control group: its members, and how many of each stratum were enrolled so far. Customers of batches up
-- to control_enrolment's newest one are enrolled; nobody is moved afterwards.
CREATE TABLE control_member (
    customer_key INTEGER PRIMARY KEY,
    stratum      TEXT NOT NULL,
    run_id       TEXT NOT NULL
) STRICT;

CREATE TABLE control_stratum (
    stratum  TEXT PRIMARY KEY,
    enrolled INTEGER NOT NULL,
    members  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE control_enrolment (
    batch    INTEGER PRIMARY KEY,
    run_id   TEXT NOT NULL,
    at       INTEGER NOT NULL,
    share    REAL NOT NULL,
    enrolled INTEGER NOT NULL,
    members  INTEGER NOT NULL
) STRICT;

-- Kill switches: what stands here is stopped, at once, whatever the catalogue says.
CREATE TABLE stop (
    kind TEXT NOT NULL CHECK (kind IN ('treatment', 'channel')),
    id   TEXT NOT NULL,
    at   INTEGER NOT NULL,
    who  TEXT NOT NULL,
    why  TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE plan_export (
    export  INTEGER PRIMARY KEY,
    run_id  TEXT NOT NULL,
    channel TEXT NOT NULL,
    kind    TEXT NOT NULL CHECK (kind IN ('full', 'pilot', 'test', 'recall')),
    file    TEXT NOT NULL,
    digest  TEXT NOT NULL, -- BLAKE2b-256 of the file
    rows    INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    who     TEXT NOT NULL
) STRICT;
CREATE INDEX plan_export_by_run ON plan_export (run_id);

-- Who lives in which household, as the last whole-base run saw it: pairs of household and customer key, spread over
-- parts by a hash of the household (engine/household.h).
CREATE TABLE household_part (
    part INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;
