#!/usr/bin/env python3
"""Agents at the command line: who is there, how they did, what an evaluation tells: CVM [WORD...]

A store on SQLite: agents are threads of one process. Rules are functions whose names state them; WORDs choose those whose
names contain one.
"""

import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
import redis_server  # noqa: E402
from agent_processes import wait_until  # noqa: E402
from cvm_program import Skip, expect, same  # noqa: E402

DAY = "2024-03-20"
KINDS = ["data", "trigger", "journey", "treatment", "allocation", "evaluation"]


class World(cvm_program.World):
    def configure(self, text):
        with open(self.path("cvm.yaml"), "a", encoding="utf-8") as config:
            config.write(text)

    def kinds(self, *more):
        listed = self.json("agent", "list", *more)
        return {kind["kind"]: kind for kind in listed["kinds"]}

    def decide_and_hear(self):
        """A run of that day, and what became of its decisions."""
        self.cvm("run", "--as-of", DAY, "--quiet")
        self.cvm("generate", "--respond", "latest", "--truth", self.path("truth.csv"), "--out", self.path("r.ndjson"))
        return self.json("outcome", "import", self.path("r.ndjson"), "--today", "2024-07-01")


class AgentProcess:
    """`cvm agent`, until the block ends."""

    def __init__(self, world, types):
        self.command = [world.program, "agent", types, "--config", world.path("cvm.yaml")]

    def __enter__(self):
        self.child = subprocess.Popen(self.command, stderr=subprocess.PIPE)
        return self

    def __exit__(self, *_):
        self.child.send_signal(signal.SIGTERM)
        said = self.child.communicate(timeout=60)[1].decode()
        expect(self.child.returncode == 0, f"exit status {self.child.returncode}: {said}")


def completed(world, workflow):
    story = world.json("workflow", "show", workflow)
    expect(story["state"] not in ("failed", "dead", "cancelled"), f"{story['state']}: {story['error']}")
    return story if story["state"] == "completed" else None


# ---- how they did ----


def every_kind_is_told_how_it_did(world):
    same(sorted(world.kinds()), sorted(KINDS), "before anything happened")
    same(world.json("agent", "list")["processes"], None, "without a shared state nobody is seen")
    customers = [c["customer_id"] for c in world.json("customer", "list", "--limit", 3)["customers"]]
    events = [{"customer_id": c, "date": DAY, "churn_probability": 0.95} for c in customers]
    lines = "\n".join(json.dumps(event) for event in events)
    world.cvm("event", "push", "--source", "churn_score", "--as-of", DAY, lines)
    kinds = world.kinds("--hours", 1)
    for kind in ("data", "trigger", "treatment", "allocation"):
        same((kinds[kind]["turns"], kinds[kind]["steps"], kinds[kind]["failures"]), (3, 3, {}), kind)
        expect(0 <= kinds[kind]["turn_seconds"]["p50"] <= kinds[kind]["step_seconds"]["p99"] < 3600, f"{kind}: {kinds[kind]}")
    same((kinds["journey"]["turns"], kinds["journey"]["step_seconds"]["p50"]), (0, None), "who had nothing to do")
    expect(abs(kinds["data"]["turns_per_second"] - 3 / 3600) < 1e-5, "a second")
    text = world.cvm("agent", "list").out
    expect("shared state" in text and "treatment" in text and "step p99" in text, text)


def a_window_is_at_most_as_long_as_marks_are_kept(world):
    for hours in (0, 169, "x"):
        expect("--hours" in world.cvm("agent", "list", "--hours", hours, allowed=(2,)).err, hours)


# ---- who is there ----


def processes_are_seen_in_the_shared_state_until_they_leave(world):
    if not redis_server.is_there():
        raise Skip("there is no redis-server here")
    with redis_server.RedisServer() as server:
        world.configure(f'state: "{server.url}"\n')
        same(world.json("agent", "list")["processes"], [], "nobody is there")
        expect("No process" in world.cvm("agent", "list").out, "in words")
        with AgentProcess(world, "treatment.call_center,evaluation,orchestration") as process:
            there = wait_until(lambda: world.json("agent", "list")["processes"], "a process is there")[0]
            expect(there["process"].endswith(f".{process.child.pid}"), there)
            same(there["workers"]["evaluation"], 1, "workers")
            same(there["serves"], ["EVALUATION_REQUEST", "TREATMENT_REQUEST", "ORCHESTRATION_REQUEST"], "what it can do")
            same((there["state"], there["workers"]["orchestration"]), ("ready", 1), "state")
            expect(there["incarnation"] > 0 and there["heartbeat_at"] and there["version"], there)
            text = world.cvm("agent", "list").out
            expect("treatment.call_center" in text and "orchestration" in text and there["process"] in text, text)
        same(world.json("agent", "list")["processes"], [], "it said that it goes")
        server.stop()
        away = world.cvm("agent", "list", "--json")
        same((away.document["processes"], "not known" in away.err), (None, True), "a state that is away hides nothing else")


# ---- evaluation ----


def an_evaluation_tells_what_became_of_what_was_decided(world):
    heard = world.decide_and_hear()
    workflow = world.json("workflow", "start", "evaluation", "--input", '{"as_of":"2024-07-01"}')["workflow_id"]
    with AgentProcess(world, "evaluation,orchestration"):
        story = wait_until(lambda: completed(world, workflow), "the evaluation")
    report = story["result"]
    same((report["runs"], report["as_of"], report["days"]), (1, "2024-07-01", 120), "of which runs")
    same(report["outcomes"], {state: count for state, count in heard["by_state"].items() if count}, "outcomes by kind")
    same(report["contacts"], heard["contacts"], "contacts")
    same(report["decisions"] + report["controls"], world.query("SELECT count(*) FROM decision")[0][0], "decisions")
    same(sum(report["states"].values()), report["decisions"], "each is in one state")
    for member in ("decisions", "controls", "contacts"):
        same(sum(t[member] for t in report["treatments"]), report[member], f"{member} by treatment")
    ended = report["ended"]
    same(ended["treated"]["churned"] + ended["controls"]["churned"], report["outcomes"]["churned"], "churned")
    same(report["waiting"]["for_end"] + report["waiting"]["overdue"] + sum(g["decisions"] for g in ended.values()),
         report["decisions"] + report["controls"], "each has ended, or waits")  # fmt: skip
    expect(report["value_lost"] < report["value"] and report["spent"] > 0, "money")
    same([kind["kind"] for kind in report["agents"]], KINDS, "agents")
    text = world.cvm("workflow", "show", workflow).out
    for words in ("what became of the decisions", "churned (expected)", report["treatments"][0]["treatment"]):
        expect(words in text, f"'{words}' is not in {text}")


def outcomes_that_are_not_there_yet_are_waited_for(world):
    world.cvm("run", "--as-of", DAY, "--quiet")
    workflow = world.json("workflow", "start", "evaluation", "--input", '{"as_of":"2024-03-21","days":2,"hours":1}')["workflow_id"]
    with AgentProcess(world, "evaluation,orchestration"):
        report = wait_until(lambda: completed(world, workflow), "the evaluation")["result"]
    same(report["waiting"]["for_contact"], report["decisions"], "nothing was heard")
    same(report["waiting"]["ends_until"], "2024-06-18", "the last day of a window")
    same((report["outcomes"], report["value_lost"]), ({}, 0), "nothing is lost yet")


def a_schedule_starts_the_evaluation(world):
    world.configure("schedule:\n  outcomes:\n    workflow: evaluation\n    at: '* * * * *'\n    input: {as_of: $day, days: 7}\n")
    same(world.json("schedule", "list")["schedules"][0]["workflow"], "evaluation", "listed")
    # As if somebody had looked two minutes ago: the first look notes nothing of the past.
    world.change("INSERT INTO schedule (schedule, looked_at) VALUES ('outcomes', strftime('%s', 'now') * 1000 - 120000)")
    with AgentProcess(world, "evaluation,orchestration"):
        started = wait_until(lambda: world.json("workflow", "list")["workflows"], "a workflow")[-1]
        same(started["workflow"], "evaluation", "what was started")
        report = wait_until(lambda: completed(world, started["workflow_id"]), "the evaluation")["result"]
    same((report["days"], report["runs"]), (7, 0), "its input")


def what_can_not_be_evaluated_fails_and_says_why(world):
    workflow = world.json("workflow", "start", "evaluation", "--input", '{"run_id":"nothing"}')["workflow_id"]
    with AgentProcess(world, "evaluation,orchestration"):
        story = wait_until(
            lambda: [s for s in [world.json("workflow", "show", workflow)] if s["state"] == "failed"], "the failure"
        )[0]
    expect("nothing" in story["error"], story["error"])
    same(world.kinds()["evaluation"]["failures"], {story["failures"][0]["error_class"]: 1}, "by class")
    same(world.kinds()["evaluation"]["given_up"], 1, "steps given up")


HELPERS = {"expect", "same", "main", "wait_until", "completed", "Skip"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-agent-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), 400)
        template.cvm("generate", "--customers", 400, "--seed", 5, "--until", DAY, "--quiet",
                     "--truth", os.path.join(template.folder, "truth.csv"))  # fmt: skip
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
