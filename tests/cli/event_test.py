#!/usr/bin/env python3
"""`cvm event push`: CVM [WORD...]

The agents are threads of the command: a store on SQLite. Rules are functions whose names state them; WORDs choose those whose
names contain one.
"""

import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

DAY = "2024-03-20"


class World(cvm_program.World):
    def push(self, *events, source="churn_score", what=None, **options):
        text = "\n".join(json.dumps(event) for event in events) if what is None else what
        return self.json("event", "push", "--source", source, "--as-of", DAY, text, **options)

    def fails(self, *arguments, code=1, says=""):
        result = self.cvm("event", "push", *arguments, allowed=(code,))
        expect(says in result.err, f"{arguments}: '{says}' is not said: {result.err}")

    def customers(self, count):
        return [c["customer_id"] for c in self.json("customer", "list", "--limit", count)["customers"]]


def score(customer, probability=0.95, day=DAY):
    return {"customer_id": customer, "date": day, "churn_probability": probability}


def an_event_that_a_trigger_finds_leads_to_a_decision(world):
    pushed = world.push(*[score(customer) for customer in world.customers(12)])
    same((pushed["stored"], pushed["duplicate"], len(pushed["events"])), (12, 0, 12), "counts")
    for event in pushed["events"]:
        same((event["state"], event["new"]), ("completed", True), event["customer_id"])
        expect("churn_risk" in event["match"]["triggers"], "the trigger")
        same(event["decision"]["customer_id"], event["customer_id"], "whom it is about")
    decided = [e["decision"]["decision_id"] for e in pushed["events"] if e["decision"]["decision_id"]]
    same(len(decided), world.query("SELECT count(*) FROM decision")[0][0], "decisions")
    expect(decided, "somebody gets something")


def the_same_event_again_starts_nothing(world):
    customer = world.customers(1)[0]
    first = world.push(score(customer))
    again = world.push(what='{"churn_probability": 0.95,\n "date": "2024-03-20",\n "customer_id": "%s"}\n' % customer)
    same((again["stored"], again["duplicate"]), (0, 1), "stored once")
    same(again["events"][0]["new"], False, "new")
    same(again["events"][0]["workflow_id"], first["events"][0]["workflow_id"], "the workflow")
    same(again["events"][0]["decision"], first["events"][0]["decision"], "what it decided")
    corrected = world.push(score(customer, 0.97))
    same((corrected["stored"], corrected["events"][0]["new"]), (1, True), "a corrected one is other work")


def a_customer_whom_no_trigger_finds_is_not_decided_for(world):
    pushed = world.push({"customer_id": "new-one", "date": DAY}, source="web_clicks")
    event = pushed["events"][0]
    same((event["state"], event["match"]), ("completed", {"triggers": []}), "nobody finds it")
    same(event["decision"], {"customer_id": "new-one", "decision": None, "reason": "no_trigger"}, "no decision")
    same(world.query("SELECT count(*) FROM decision")[0][0], 0, "decisions")


def what_is_no_event_of_the_source_is_refused_whole(world):
    before = world.query("SELECT count(*) FROM batch")
    good = json.dumps(score("C1"))
    world.fails("--source", "churn_score", good + '\n{"customer_id":"C2"}', says="event:2")
    world.fails("--source", "churn_scor", good, says="Did you mean 'churn_score'?")
    world.fails("--source", "churn_score", "{", says="event:1")
    world.fails("--source", "churn_score", "/no/such/file", says="/no/such/file")
    world.fails(good, code=2, says="--source NAME")
    same(world.query("SELECT count(*) FROM batch"), before, "nothing was imported")
    same(world.json("workflow", "list")["workflows"], [], "nothing was accepted")


def events_come_from_files_and_standard_input_too(world):
    customers = world.customers(2)
    with open(world.path("events.ndjson"), "w", encoding="utf-8") as file:
        file.write("\n".join(json.dumps(score(c)) for c in customers) + "\n\n")
    from_file = world.push(what=world.path("events.ndjson"))
    with open(world.path("events.ndjson"), encoding="utf-8") as file:
        again = world.push(what="-", stdin=file)
    same([e["workflow_id"] for e in again["events"]], [e["workflow_id"] for e in from_file["events"]], "the same")
    text = world.cvm("event", "push", "--source", "churn_score", "--as-of", DAY, world.path("events.ndjson")).out
    expect("0 stored, 2 there already" in text and customers[0] in text, text)


def an_agent_process_writes_its_figures_whole_until_it_is_told_to_stop(world):
    path = world.path("cvm.prom")
    command = [world.program, "agent", "all", "--workers", "1", "--workers-max", "2", "--metrics", path,
               "--config", world.path("cvm.yaml")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
        while not os.path.exists(path) and child.poll() is None:
            os.sched_yield()
        child.send_signal(signal.SIGTERM)
        same(child.wait(60), 0, "exit status")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    expect("# TYPE cvm_broker_received_total counter" in text and text.endswith("\n"), text[:200])
    result = world.cvm("agent", "all", "--workers", 3, "--workers-max", 2, allowed=(2,))
    expect("--workers-max" in result.err, result.err)


HELPERS = {"expect", "same", "main", "score"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-event-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), 200)
        template.cvm("generate", "--customers", 200, "--until", DAY, "--quiet")
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
