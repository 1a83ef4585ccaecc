#!/usr/bin/env python3
"""Workers that come and go with real work on real servers: CVM [WORD...]; only rules with one of the words in their name.

Runs under tests/support/postgres_server.sh and one of rabbitmq_server.sh and kafka_server.sh; with CVM_AGENT_SCALE_DOWN it
also waits until they go again, which takes minutes. Rules are functions whose names state them.
"""

import json
import os
import re
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cvm_program  # noqa: E402
from agent_processes import BROKER, REST, Agents, wait_until  # noqa: E402
from cvm_program import Skip, expect, same  # noqa: E402

CUSTOMERS = 150
MOST = 4
DAY = "2024-03-20"
WAITS_FOR_DOWN = os.environ.get("CVM_AGENT_SCALE_DOWN", "") != ""
PATIENCE = 300  # seconds; a look every five, a change every ten, quiet for two minutes

# The server takes its time over each turn of the treatment agents: over its rows, or over its commit, which says that the
# store is slow.
DELAY = """
    CREATE OR REPLACE FUNCTION {what}_takes_time() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END $$"""
ON_ROW = """
    CREATE TRIGGER row_takes_time BEFORE INSERT ON inbox
        FOR EACH ROW WHEN (NEW.consumer = 'treatment') EXECUTE FUNCTION row_takes_time()"""
ON_COMMIT = """
    CREATE CONSTRAINT TRIGGER commit_takes_time AFTER INSERT ON inbox DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.consumer = 'treatment') EXECUTE FUNCTION commit_takes_time()"""
WORK_S = 0.4
SLOW_S = 1


class World:
    def __init__(self, program, folder):
        self.folder = folder
        self.base = cvm_program.Deployment.create(program, os.path.join(folder, "base"), CUSTOMERS)
        self.base.cvm("generate", "--customers", CUSTOMERS, "--events", 10, "--seed", 7, "--until", DAY)

    def agents(self):
        return Agents(self.base.copy(os.path.join(self.folder, "work")))


def push_events(agents):
    """One of each customer; each is a workflow that asks the treatment agents once."""
    ids = agents.deployment.query("SELECT customer_id FROM customer")
    path = os.path.join(agents.deployment.folder, "events.ndjson")
    with open(path, "w", encoding="utf-8") as events:
        for (customer,) in ids:
            events.write(json.dumps({"customer_id": customer, "date": DAY, "churn_probability": 0.9}) + "\n")
    agents.deployment.cvm("event", "push", "--source", "churn_score", "--as-of", DAY, path)
    same(agents.deployment.query("SELECT count(*) FROM workflow"), [(CUSTOMERS,)], "workflows")


def changes(agents):
    """(why, figures) of each change of the treatment agents' workers, in order."""
    rows = agents.deployment.query("SELECT event, inputs FROM agent_event WHERE agent_type = 'treatment' ORDER BY agent_event")
    return [(event, json.loads(inputs)) for event, inputs in rows]


def seconds_to_the_first(agents):
    """From the first request for a treatment agent to the first change."""
    asked = "SELECT min(queued_at) FROM step WHERE name = 'values'"
    return agents.deployment.query(f"SELECT (min(at) - ({asked})) / 1000.0 FROM agent_event WHERE agent_type = 'treatment'")[0][0]


def states(agents):
    return dict(agents.deployment.query("SELECT state, count(*) FROM workflow GROUP BY state"))


def check_changes(agents, treatment):
    """Each has its figures, follows from the one before, and is in the log, too."""
    rows = changes(agents)
    workers = 1
    for why, figures in rows:
        same(figures["before"], workers, f"workers before {figures}")
        workers = figures["workers"]
        expect(1 <= workers <= MOST, f"workers within their bounds: {figures}")
        expect((why == "up") == (workers > figures["before"]), f"{why}: {figures}")
        expect({"need", "arrivals_per_s", "service_s", "backlog", "store_breaker"} <= figures.keys(), f"{figures}")
    told = re.findall(r"event=workers_changed queue=treatment why=(\w+) before=(\d+) workers=(\d+)", treatment.log)
    same(told, [(why, str(figures["before"]), str(figures["workers"])) for why, figures in rows], "log")
    steps = [f"{why} {f['before']} to {f['workers']} needing {f['need']}" for why, f in rows]
    print(f"     {', '.join(steps)}; {seconds_to_the_first(agents):.0f} s to the first", flush=True)


def set_delays(agents, row=0, commit=0):
    agents.deployment.change(DELAY.format(what="row", seconds=row), DELAY.format(what="commit", seconds=commit))


def start_busy(agents):
    """Agents with more to do than one worker can; the process of those that there shall be more of."""
    set_delays(agents, row=WORK_S)
    agents.deployment.change(ON_ROW, ON_COMMIT)
    agents.start(REST)
    treatment = agents.start("treatment", options=("--workers-max", MOST))
    push_events(agents)
    why, figures = wait_until(lambda: changes(agents), "workers come", PATIENCE)[0]
    same(why, "up", "why")
    expect(figures["need"] > 1 and figures["service_s"] >= WORK_S, f"{figures}")
    wait_until(lambda: len({turn[0] for turn in treatment.turns()}) > 1, "more than one works", PATIENCE)
    return treatment


def finish(agents):
    set_delays(agents)
    wait_until(lambda: states(agents) == {"completed": CUSTOMERS}, f"all is done: {states(agents)}", PATIENCE, 0.5)


def workers_come_with_the_work_and_go_where_the_store_is_slow(world):
    with world.agents() as agents:
        treatment = start_busy(agents)
        set_delays(agents, row=WORK_S, commit=SLOW_S)
        why, figures = wait_until(lambda: [row for row in changes(agents) if row[0] != "up"], "workers go", PATIENCE)[0]
        same(why, "spared", "why")
        expect(figures["commit_p99_s"] >= SLOW_S or figures["store_breaker"] != "closed", f"{figures}")
        finish(agents)
        agents.stop()
        check_changes(agents, treatment)


def workers_go_a_quarter_at_a_time_after_two_quiet_minutes(world):
    if not WAITS_FOR_DOWN:
        raise Skip("it takes minutes: CVM_AGENT_SCALE_DOWN")
    with world.agents() as agents:
        treatment = start_busy(agents)
        finish(agents)
        wait_until(lambda: changes(agents)[-1][1]["workers"] == 1, "they go", PATIENCE, 1)
        same({why for why, _ in changes(agents)}, {"up", "down"}, "why")
        agents.stop()
        check_changes(agents, treatment)


HELPERS = {
    "same", "expect", "push_events", "set_delays", "start_busy", "finish", "changes", "seconds_to_the_first", "states", "check_changes",
    "wait_until", "main", "World", "Agents", "Skip",
}  # fmt: skip


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if shutil.which("psql") is None or not BROKER or not cvm_program.SERVER:
        print("skip: this test wants a PostgreSQL and a broker of its own")
        return 77
    program = os.path.abspath(sys.argv[1])
    with cvm_program.scratch("cvm-scaling-test-") as folder:
        world = World(program, folder)
        return cvm_program.run_rules(cvm_program.rules_of(globals(), HELPERS), lambda: world, sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
