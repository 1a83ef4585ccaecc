#!/usr/bin/env python3
"""Events that are published to the broker: CVM [WORD...]; only rules with one of the words in their name.

Agents as processes take them, on PostgreSQL over RabbitMQ or Kafka. Runs under tests/support/postgres_server.sh and one of
rabbitmq_server.sh and kafka_server.sh. Rules are functions whose names state them.
"""

import json
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cvm_program  # noqa: E402
from agent_processes import BROKER, REST, Agents, Lock, wait_until  # noqa: E402
from cvm_program import expect, same  # noqa: E402

CUSTOMERS = 400
EVENTS = 200
DAY = "2024-03-20"
STORED = """SELECT count(*) FROM event AS e JOIN batch AS b ON b.batch = e.batch
    WHERE b.who = 'agent:event' AND b.state = 'closed'"""


class World:
    def __init__(self, program, folder):
        self.folder = folder
        self.base = cvm_program.Deployment.create(program, os.path.join(folder, "base"), CUSTOMERS)
        self.base.cvm("generate", "--customers", CUSTOMERS, "--until", DAY, "--quiet")
        listed = self.base.json("customer", "list", "--limit", EVENTS)["customers"]
        self.customers = [customer["customer_id"] for customer in listed]

    def agents(self):
        return Agents(self.base.copy(os.path.join(self.folder, "work")))


def publish(deployment, customers):
    path = os.path.join(deployment.folder, "events.ndjson")
    with open(path, "w", encoding="utf-8") as file:
        for customer in customers:
            event = {"customer_id": customer, "date": DAY, "churn_probability": 0.93}
            file.write(json.dumps(event) + "\n")
    said = deployment.json("event", "publish", "--source", "churn_score", "--as-of", DAY, path)
    same(said["published"], len(customers), "published")
    expect(said["queue"].endswith(".event"), said["queue"])


def stored(deployment):
    return deployment.query(STORED)[0][0]


def started(deployment):
    return deployment.query("SELECT count(*) FROM workflow WHERE name = 'trigger_and_process'")[0][0]


def completed(deployment):
    """Not all of them are waited for: a busy machine may need longer than their deadline."""
    sql = "SELECT count(*) FROM workflow WHERE name = 'trigger_and_process' AND state = 'completed'"
    return deployment.query(sql)[0][0]


def messages(deployment):
    return deployment.query("SELECT count(*) FROM inbox WHERE consumer = 'event'")[0][0]


def events_are_stored_and_looked_at_once_though_who_takes_them_is_killed_in_between(world):
    half = EVENTS // 2
    with world.agents() as agents:
        deployment = agents.deployment
        pair = [agents.start("event"), agents.start("event")]
        agents.start(REST)
        agents.start("treatment")
        with Lock(deployment, "workflow"):  # what is stored can not be accepted
            for _ in range(2):
                publish(deployment, world.customers[:half])
            wait_until(lambda: stored(deployment), "events are stored")
            victim = wait_until(lambda: at_acceptance(deployment, pair), "somebody is about to accept workflows")
            victim.kill()
        for _ in range(2):
            publish(deployment, world.customers[half:])
        wait_until(lambda: messages(deployment) >= 2 * EVENTS, "all messages are done with")
        same(messages(deployment), 2 * EVENTS, "messages")
        same((stored(deployment), started(deployment)), (EVENTS, EVENTS), "events stored, workflows")
        wait_until(lambda: completed(deployment), "agents act on them")
        same(deployment.query("SELECT count(*) FROM dead_letter"), [(0,)], "dead letters")
        decided = deployment.query("SELECT count(*), count(DISTINCT customer_key) FROM decision")[0]
        same(decided[0], decided[1], "decisions, one a customer")
        agents.stop()


def at_acceptance(deployment, pair):
    """Who waits for the table's lock: not for that of the store."""
    rows = deployment.query(
        "SELECT application_name FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'relation'"
    )
    for agent in pair:
        if any(str(agent.process.pid) in name for (name,) in rows):
            return agent
    return None


def events_wait_for_a_run_that_is_at_work(world):
    with world.agents() as agents:
        deployment = agents.deployment
        before = deployment.query("SELECT max(batch) FROM batch WHERE state = 'closed'")
        agents.start(REST)
        feeder = agents.start("event")
        agents.start("treatment")
        with Lock(deployment, "run_part"):
            agents.begin_run(DAY)
            wait_until(lambda: deployment.query("SELECT 1 FROM run WHERE state = 'running'"), "the run is at work")
            publish(deployment, world.customers)
            wait_until(lambda: "a run is at work" in feeder.log, "events wait")
            same(deployment.query("SELECT max(batch) FROM batch WHERE state = 'closed'"), before, "the last batch")
        agents.end_run()
        wait_until(lambda: started(deployment) == EVENTS, "workflows begin")
        same(stored(deployment), EVENTS, "events stored")
        wait_until(lambda: completed(deployment), "agents act on them")
        agents.stop()


HELPERS = {"Agents", "Lock", "wait_until", "expect", "same", "main", "publish", "stored", "started", "completed", "at_acceptance", "messages"}


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if shutil.which("psql") is None or not BROKER or not cvm_program.SERVER:
        print("skip: this test wants a PostgreSQL and a broker of its own")
        return 77
    program, words = os.path.abspath(sys.argv[1]), sys.argv[2:]
    with cvm_program.scratch("cvm-events-") as folder:
        world = World(program, folder)
        return cvm_program.run_rules(cvm_program.rules_of(globals(), HELPERS), lambda: world, words)


if __name__ == "__main__":
    sys.exit(main())
