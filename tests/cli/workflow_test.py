#!/usr/bin/env python3
"""Workflows, dead letters and schedules from the command line: CVM [WORD...]

Agents are no part of this: what they would have kept is put into the store. Rules are functions whose names state them;
WORDs choose those whose names contain one.
"""

import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

T0 = 1710930000000  # 2024-03-20T10:20:00Z


class World(cvm_program.World):
    def fails(self, *arguments, code=1, says=""):
        result = self.cvm(*arguments, allowed=(code,))
        expect(says in result.err, f"{arguments}: '{says}' is not said: {result.err}")

    def change(self, *statements):
        for sql in statements:
            if cvm_program.SERVER:
                cvm_program.psql(self.deployment.url, sql)
                continue
            connection = sqlite3.connect(self.deployment.databases[0])
            with connection:
                connection.execute(sql)
            connection.close()

    def start(self, name="batch", data='{"request":{}}', *more):
        return self.json("workflow", "start", name, "--input", data, *more)["workflow_id"]

    def actions(self):
        return [row["action"] for row in self.json("audit", "list", "--limit", 100)["audit"]]


def begun(world):
    """A batch whose first step is done, second half done with one failed attempt, third pending."""
    workflow = world.start()
    rows = [
        (0, 0, "begin", "done", 1, "'data-1'", 10, 1000),
        (1, 0, "values", "done", 2, "'treat-1'", 2000, 4000),
        (1, 1, "values", "running", 1, "NULL", 0, 0),
        (2, 0, "plan", "pending", 0, "NULL", 0, 0),
    ]
    for number, shard, name, state, attempt, worker, start, end in rows:
        world.change(
            "INSERT INTO step (workflow_id, step_no, shard_no, name, state, attempt, attempt_max, epoch, is_news,"
            " worker, queued_at, started_at, finished_at, customers) VALUES"
            f" ('{workflow}', {number}, {shard}, '{name}', '{state}', {attempt}, 8, 3, 0, {worker}, {T0},"
            f" {T0 + start if start else 'NULL'}, {T0 + end if end else 'NULL'}, {50 if end else 'NULL'})"
        )
    world.change(
        "INSERT INTO step_failure (workflow_id, step_no, shard_no, attempt, epoch, worker, error_class, error,"
        f" started_at, failed_at) VALUES ('{workflow}', 1, 0, 1, 3, 'treat-2', 'transient', 'the disk is full',"
        f" {T0}, {T0 + 1500})",
        f"UPDATE workflow SET state = 'running', epoch = 3, shards = 2, run_id = 'run-7' WHERE workflow_id = '{workflow}'",
    )
    return workflow


def letter(world, workflow="NULL", envelope=True):
    blob = ("'\\x68656c6c6f00'" if cvm_program.SERVER else "x'68656c6c6f00'") if envelope else "NULL"
    identity = "'\\x" + "ab" * 16 + "'" if cvm_program.SERVER else "x'" + "ab" * 16 + "'"
    destination = "treatment" if envelope else "workflow"
    world.change(
        "INSERT INTO dead_letter (state, destination, message_id, workflow_id, shard, envelope, error_class, error,"
        f" attempts, first_at, last_at) VALUES ('waiting', '{destination}', {identity}, {workflow}, 3, {blob}, 'poison',"
        f" 'it can not be read', 8, {T0}, {T0})"
    )
    return world.json("dead-letter", "list")["dead_letters"][0]["dead_letter"]


# ---- starting ----


def the_same_key_is_the_same_work(world):
    first = world.json("workflow", "start", "batch", "--input", '{"request":{"seed":1}}', "--key", "n1")
    again = world.json("workflow", "start", "batch", "--input", '{ "request": {"seed":1} }', "--key", "n1")
    same((first["new"], again["new"]), (True, False), "new")
    same(again["workflow_id"], first["workflow_id"], "the workflow")
    same(first["state"], "accepted", "its state")
    world.fails("workflow", "start", "batch", "--input", '{"request":{"seed":2}}', "--key", "n1", says="another input")
    expect(world.start() != world.start(), "without a key each call is other work")


def what_can_not_be_started_says_why(world):
    world.fails("workflow", "start", "bach", "--input", "{}", says="Did you mean 'batch'?")
    world.fails("workflow", "start", "batch", says="needs the input 'request'")
    world.fails("workflow", "start", "batch", "--input", '{"request":7}', says="is no object")
    world.fails("workflow", "start", "treatment_selection", "--input", '{"customer_id":"U1","x":1}', says="no input 'x'")
    world.fails("workflow", "start", "batch", "--input", "{", says="")
    same(world.json("workflow", "list")["workflows"], [], "nothing was accepted")


# ---- definitions ----


def a_file_beside_the_configuration_stands_for_the_shipped_one(world):
    shipped = world.json("workflow", "definition", "batch")
    expect(shipped["text"].count("- id:") == 3, "the shipped one has three steps")
    os.mkdir(world.path("workflows"))
    with open(world.path("workflows", "batch.yaml"), "w", encoding="utf-8") as file:
        file.write(shipped["text"].replace("12h", "13h"))
    mine = world.json("workflow", "definition", "batch")
    expect(mine["digest"] != shipped["digest"], "the file counts")
    same(world.json("workflow", "definition", "batch", "--shipped")["digest"], shipped["digest"], "--shipped")
    listed = {d["workflow"]: d for d in world.json("workflow", "definition")["definitions"]}
    same(sorted(listed), ["batch", "evaluation", "treatment_selection", "trigger_and_process"], "names")
    expect(listed["batch"]["file"].endswith("workflows/batch.yaml"), "where it stands")
    workflow = world.json("workflow", "show", world.start())
    same(workflow["definition"], mine["digest"], "what the workflow keeps")
    with open(world.path("workflows", "batch.yaml"), "w", encoding="utf-8") as file:
        file.write(shipped["text"].replace("agent: treatment", "agent: tretment"))
    world.fails("workflow", "definition", "batch", says="did you mean 'treatment'?")
    line = shipped["text"].split("agent: treatment")[0].count("\n") + 1
    world.fails("workflow", "definition", "batch", says=f"workflows/batch.yaml:{line}")
    same(world.json("workflow", "show", workflow["workflow_id"])["definition"], mine["digest"], "it keeps it")


# ---- showing ----


def show_tells_the_story_from_the_store_alone(world):
    workflow = begun(world)
    story = world.json("workflow", "show", "run-7")
    same(story["workflow_id"], workflow, "found by its run")
    same([(s["step"], s["shard"], s["state"], s["attempt"]) for s in story["steps"]],
         [("begin", 0, "done", 1), ("values", 0, "done", 2), ("values", 1, "running", 1), ("plan", 0, "pending", 0)],
         "steps")
    same([s["seconds"] for s in story["steps"]], [0.99, 2.0, None, None], "durations")
    same([s["epoch"] for s in story["steps"]], [3] * 4, "epochs")
    same(story["failures"][0]["error"], "the disk is full", "failures")
    same(story["failures"][0]["step"], "values", "of which step")
    text = world.cvm("workflow", "show", workflow[:12]).out
    for words in ("running", "1 running, 1 done", "epoch 3", "run run-7", "failed attempts",
                  "values/0, attempt 1, transient: the disk is full"):
        expect(words in text, f"'{words}' is not in {text}")
    expect("values/1" in world.cvm("workflow", "show", "latest", "--shards").out, "each shard of its own")
    world.fails("workflow", "show", "nothing", says="there is no workflow 'nothing'")


def lists_go_by_state_and_by_age(world):
    ids = [world.start() for _ in range(3)]
    world.json("workflow", "cancel", ids[1])
    same({w["workflow_id"] for w in world.json("workflow", "list", "--state", "accepted")["workflows"]},
         {ids[0], ids[2]}, "accepted ones")
    page = world.json("workflow", "list", "--limit", 2)
    same(len(page["workflows"]), 2, "a page")
    expect(page["next_before"] is not None, "there is more")
    world.fails("workflow", "list", "--state", "nonsense", code=2, says="no state of a workflow")


# ---- a person's choice ----


def pause_resume_and_cancel_are_kept_and_audited(world):
    workflow = begun(world)
    same(world.json("workflow", "pause", workflow)["state"], "paused", "paused")
    same(world.json("workflow", "resume", workflow, "--why", "again")["before"], "paused", "resumed")
    same(world.json("workflow", "cancel", workflow)["state"], "cancelled", "cancelled")
    steps = world.json("workflow", "show", workflow)["steps"]
    same([s["state"] for s in steps], ["done", "done", "skipped", "skipped"], "steps")
    world.fails("workflow", "resume", workflow, says="is cancelled and can not be resumed")
    same(world.actions().count("workflow"), 3, "audit rows")
    same(world.json("audit", "verify")["intact"], True, "the audit log")


def a_failed_workflow_is_resumed_from_what_is_done(world):
    workflow = begun(world)
    world.change(
        f"UPDATE step SET state = 'failed' WHERE workflow_id = '{workflow}' AND state = 'running'",
        f"UPDATE workflow SET state = 'failed', finished_at = {T0} WHERE workflow_id = '{workflow}'",
    )
    same(world.json("workflow", "resume", workflow)["state"], "running", "it goes on")
    steps = world.json("workflow", "show", workflow)["steps"]
    same([s["state"] for s in steps], ["done", "done", "pending", "pending"], "steps")
    same(steps[2]["attempts_allowed"], 9, "as many attempts again")


# ---- dead letters ----


def a_letter_is_replayed_as_it_was(world):
    number = letter(world)
    text = world.cvm("dead-letter", "show", number).out
    expect("hello" in text and "it can not be read" in text, text)
    world.json("dead-letter", "replay", number, "--why", "mended")
    same(world.query("SELECT count(*) FROM outbox WHERE shard = 3 AND destination = 'treatment'")[0][0], 1, "messages")
    world.fails("dead-letter", "replay", number, says="does not wait")
    same(world.json("dead-letter", "show", number)["state"], "replayed", "its state")
    same(world.json("dead-letter", "list")["dead_letters"], [], "none waits")
    same(len(world.json("dead-letter", "list", "--state", "all")["dead_letters"]), 1, "all")
    expect("dead_letter" in world.actions(), "the audit log")


def a_letter_is_discarded_with_a_reason(world):
    number = letter(world)
    world.fails("dead-letter", "discard", number, code=2, says="with a reason")
    world.json("dead-letter", "discard", number, "--why", "of a test")
    shown = world.json("dead-letter", "show", number)
    same((shown["state"], shown["why"]), ("discarded", "of a test"), "what became of it")
    world.fails("dead-letter", "show", 77, says="there is no dead letter 77")
    world.fails("dead-letter", "show", "x", code=2, says="number of a dead letter")
    world.fails("dead-letter", "list", "--state", "x", code=2, says="one of waiting")


def the_letter_of_a_dead_workflow_lets_it_go_on(world):
    workflow = begun(world)
    world.change(f"UPDATE workflow SET state = 'dead', finished_at = {T0} WHERE workflow_id = '{workflow}'")
    number = letter(world, f"'{workflow}'", envelope=False)
    world.json("dead-letter", "replay", number)
    same(world.json("workflow", "show", workflow)["state"], "running", "it goes on")
    same(world.query("SELECT count(*) FROM outbox")[0][0], 0, "no message")


# ---- schedules ----


def schedules_say_when_next(world):
    same(world.json("schedule", "list")["schedules"], [], "none")
    with open(world.path("cvm.yaml"), encoding="utf-8") as file:
        text = file.read()

    def write(schedule):
        with open(world.path("cvm.yaml"), "w", encoding="utf-8") as file:
            file.write(text + schedule)

    write('schedule:\n  nightly:\n    workflow: batch\n    at: "0 2 * * *"\n    zone: UTC\n')
    world.change(
        "INSERT INTO schedule_fire (schedule, fire_at, noted_at, outcome, why) VALUES"
        f" ('nightly', {T0}, {T0}, 'skipped', 'nothing was imported lately')"
    )
    row = world.json("schedule", "list")["schedules"][0]
    expect(row["next"].endswith("T02:00:00Z"), row["next"])
    same((row["outcome"], row["why"], row["last"]), ("skipped", "nothing was imported lately", "2024-03-20T10:20:00Z"),
         "the last time")
    expect("skipped: nothing" in world.cvm("schedule", "list").out, "for people")
    write('schedule:\n  nightly: {workflow: bach, at: "0 2 * * *"}\n')
    world.fails("schedule", "list", says="schedule 'nightly': no workflow is called 'bach'")
    write('schedule:\n  nightly: {workflow: batch, at: "0 2 * *"}\n')
    world.fails("schedule", "list", says="has 4 fields")


HELPERS = {"expect", "same", "main", "begun", "letter"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-workflow-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), 100)
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
