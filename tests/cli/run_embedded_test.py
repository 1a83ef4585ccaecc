#!/usr/bin/env python3
"""`cvm run` on a broker of its own process: the workflow `batch`, carried out by threads of the command: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

DAY = "2024-03-20"
LATER = "2027-03-20"
CUSTOMERS = 3000


class World(cvm_program.World):
    def run(self, *arguments, day=DAY):
        return self.json("run", "--as-of", day, *arguments)

    def workflows(self):
        return self.json("workflow", "list")["workflows"]


def leave_half_done(world, *arguments):
    """The store as a run left it that was killed while its parts were valued; the run as it would have ended."""
    cvm_program.only_on_sqlite("rows are taken from a copy")
    done = World(world.deployment.copy(world.folder + "-done"))
    report = done.run(*arguments)
    connection = sqlite3.connect(world.deployment.databases[0])
    connection.execute("ATTACH ? AS done", (done.deployment.databases[0],))
    with connection:
        for table in ("workflow_definition", "workflow", "step", "lease", "run", "plan"):
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM done.{table}")
        connection.execute("UPDATE workflow SET state = 'running', finished_at = NULL, result = NULL")
        connection.execute("UPDATE lease SET owner = 'dead.1', expires_at = 9000000000000")
        connection.execute(
            "UPDATE step SET state = 'running', worker = NULL, output = NULL, finished_at = NULL"
            " WHERE name = 'values' AND shard_no > 0"
        )
        connection.execute(
            "UPDATE step SET state = 'pending', attempt = 0, worker = NULL, output = NULL, finished_at = NULL"
            " WHERE name = 'plan'"
        )
        connection.execute("UPDATE run SET state = 'running', summary = NULL, finished_at = NULL")
        connection.execute("UPDATE plan SET state = 'building', plan_digest = NULL, decisions = 0")
    connection.close()
    done.deployment.remove()
    return report


# ---- the same as directly ----


def a_run_leaves_a_completed_workflow_with_its_steps(world):
    report = world.run()
    (workflow,) = world.workflows()
    same(workflow["workflow"], "batch", "workflow")
    same(workflow["state"], "completed", "state")
    same(workflow["run_id"], report["run_id"], "run")
    steps = world.json("workflow", "show", report["run_id"])
    same(steps["workflow_id"], workflow["workflow_id"], "found by its run")
    same(world.query("SELECT count(*) FROM step WHERE state <> 'done'")[0][0], 0, "steps that are not done")
    same(
        world.query("SELECT sum(customers) FROM step WHERE name = 'values'")[0][0],
        report["summary"]["total_processed"],
        "customers of the parts",
    )


def the_plan_is_that_of_the_direct_pipeline(world):
    """With --snapshot a run is no workflow; of the last batch it is the same run."""
    batch = world.query("SELECT max(batch) FROM batch")[0][0]
    for arguments in ((), ("--seed", "7"), ("--threads", "3", "--chunk-size", "64"), ("--trigger", "churn_risk")):
        other = World(world.deployment.copy(world.folder + "-other"))
        directly = other.run("--snapshot", batch, *arguments)
        same(other.workflows(), [], "workflows of the direct pipeline")
        other.deployment.remove()
        other = World(world.deployment.copy(world.folder + "-other"))
        by_agents = other.run(*arguments)
        same([w["state"] for w in other.workflows()], ["completed"], "workflows")
        other.deployment.remove()
        same(by_agents["run_id"], directly["run_id"], "run")
        for name in set(directly["summary"]) - {"seconds", "generated_at"}:
            same(by_agents["summary"][name], directly["summary"][name], f"{name} {arguments}")


def times_are_told_of_all_stages(world):
    seconds = world.run()["summary"]["seconds"]
    expect(all(value > 0 for value in seconds.values()), f"{seconds}")
    expect(seconds["allocation"] + seconds["plan"] < seconds["total"], f"{seconds}")


def named_customers_are_a_workflow_of_one_part(world):
    ids = [row[0] for row in world.query("SELECT customer_id FROM customer ORDER BY customer_id LIMIT 3")]
    result = world.cvm("run", "--as-of", DAY, "--customers", ",".join([*ids, "nobody"]), "--json", allowed=(3, 4, 5))
    same(result.document["summary"]["total_processed"], 4, "customers, the unknown one too")
    same(world.query("SELECT count(*) FROM step WHERE name = 'values'")[0][0], 1, "parts")
    same(world.workflows()[0]["state"], "completed", "state")


def a_dry_run_leaves_no_workflow(world):
    world.run("--dry-run")
    same(world.workflows(), [], "workflows")


# ---- errors ----


def an_error_of_a_step_is_that_of_the_pipeline_and_leaves_nothing_open(world):
    directly = world.cvm("run", "--as-of", LATER, "--dry-run", allowed=(1,))
    own = world.cvm("run", "--as-of", LATER, allowed=(1,))
    same(own.err, directly.err, "what is said")
    (workflow,) = world.workflows()
    same(workflow["state"], "failed", "state")
    same(world.query("SELECT max(attempt) FROM step")[0][0], 1, "attempts")
    same(world.query("SELECT state FROM run"), [("failed",)], "run")
    world.run()
    again = world.cvm("run", "--as-of", LATER, allowed=(1,))
    same(again.err, directly.err, "what is said again")


# ---- killed ----


def the_same_request_takes_up_what_was_killed(world):
    report = leave_half_done(world)
    found = world.run()
    same(found["run_id"], report["run_id"], "run")
    same(found["summary"]["plan_digest"], report["summary"]["plan_digest"], "plan")
    (workflow,) = world.workflows()
    same(workflow["state"], "completed", "state")
    same(world.query("SELECT max(attempt) FROM step WHERE name = 'values'")[0][0], 2, "parts that were sent again")
    expect(world.run()["reused"], "it is done now")


def what_was_killed_too_often_begins_anew(world):
    report = leave_half_done(world)
    world.change("UPDATE workflow SET recovery_attempts = 5")
    same(world.run()["summary"]["plan_digest"], report["summary"]["plan_digest"], "plan")
    same([w["state"] for w in world.workflows()], ["completed", "cancelled"], "states, newest first")


def another_request_ends_what_was_killed_and_does_not_wait_for_it(world):
    report = leave_half_done(world)
    other = world.run("--seed", "9")
    expect(other["run_id"] != report["run_id"], "another run")
    same(sorted(w["state"] for w in world.workflows()), ["cancelled", "completed"], "states")
    same(world.query("SELECT state FROM run WHERE run_id = ?", (report["run_id"],)), [("failed",)], "the dead run")
    same(world.query("SELECT sum(held) FROM ledger")[0][0], 0, "held")
    again = world.run("--replace")
    same(again["summary"]["plan_digest"], report["summary"]["plan_digest"], "the first plan, made after all")


def a_lease_of_the_dead_is_not_waited_for(world):
    cvm_program.only_on_sqlite("one process has the store")
    with_lease = [(f"orchestrator/{p:02}",) for p in range(16)]
    connection = sqlite3.connect(world.deployment.databases[0])
    with connection:
        connection.executemany("INSERT INTO lease VALUES (?, 'dead.1', 1, 7, 9000000000000, NULL)", with_lease)
    connection.close()
    world.run()
    same(world.workflows()[0]["state"], "completed", "state")


HELPERS = {"expect", "same", "main", "leave_half_done", "World"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-embedded-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), CUSTOMERS)
        template.json("generate", "--customers", CUSTOMERS, "--seed", "3", "--until", DAY)
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
