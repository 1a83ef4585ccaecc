#!/usr/bin/env python3
"""Imports that are taken back, and runs with the data of an earlier one: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

CUSTOMERS = 300
DAY = "2024-03-20"


class World(cvm_program.World):
    def import_part(self, name):
        return self.json("import", self.path("..", name))["batch"]

    def digest(self, *arguments):
        return self.json("run", "--as-of", DAY, "--dry-run", *arguments)["summary"]["plan_digest"]

    def customers(self):
        return [c["customer_id"] for c in self.json("customer", "list", "--limit", 100000)["customers"]]

    def verify(self):
        same(self.json("audit", "verify")["intact"], True, "the audit log")


def changed(record, chance):
    """The same record with other content: a new version, where the source has key fields."""
    record = dict(record)
    for key, value in record.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool) and chance.random() < 0.5:
            record[key] = value + 1
    return record


def divide(folder, target, seed):
    """Three imports out of one base: whole customers, and records and corrections of the others, spread over them."""
    chance = random.Random(seed)
    alone = {}
    for part in "abc":
        os.makedirs(os.path.join(target, part), exist_ok=True)
    for path in cvm_program.data_files(folder):
        parts = {part: [] for part in "abc"}
        with open(path, encoding="utf-8") as stream:
            for line in stream:
                record = json.loads(line)
                customer = next(v for k, v in record.items() if k in ("customer_id", "customer", "msisdn"))
                if customer not in alone:
                    alone[customer] = chance.choice("bc") if chance.random() < 0.2 else None
                first = alone[customer] or chance.choice("aaabbc")
                parts[first].append(record)
                if alone[customer] is None and chance.random() < 0.2:
                    parts[chance.choice("abc")].append(changed(record, chance))
        for part, records in parts.items():
            with open(os.path.join(target, part, os.path.basename(path)), "w", encoding="utf-8") as stream:
                stream.writelines(json.dumps(record) + "\n" for record in records)


def what_was_taken_back_was_never_there(world):
    world.import_part("a")
    alone = world.digest()
    customers = world.customers()
    batch = world.import_part("b")
    both = world.digest()
    expect(both != alone, "the second import changes nothing: the test is too weak")
    retraction = world.json("batch", "retract", batch, "--reason", "the wrong file")
    same(world.digest(), alone, "after the second was taken back")
    same(world.customers(), customers, "customers")
    expect(retraction["customers_gone"] > 0, "nobody came with the second alone")
    gone = world.query("SELECT customer_id FROM customer WHERE batch = ?", (batch,))[0][0]
    world.fails("journey", gone, says="there is no customer")
    expect(world.json("history", "customer", gone)["history"][0]["retracted"], "no history of who is gone")
    run = world.json("run", "--as-of", DAY, "--dry-run", "--customers", gone, allowed=(3,))
    same(run["summary"]["failed"], 1, "a run for who is gone")
    world.verify()


def a_run_may_look_from_an_earlier_import(world):
    first = world.import_part("a")
    alone = world.digest()
    second = world.import_part("b")
    both = world.digest()
    world.import_part("c")
    same(world.digest("--snapshot", first), alone, "of the first")
    same(world.digest("--snapshot", second), both, "of the second")
    same([n for n in os.listdir(world.folder) if "snapshot" in n], [], "files left behind")
    world.json("batch", "retract", first)
    expect(world.digest("--snapshot", second) not in (alone, both), "of the second without the first")
    world.fails("run", "--snapshot", first, "--as-of", DAY, says="was taken back")


def a_run_of_an_earlier_import_is_a_run_of_its_own(world):
    first = world.import_part("a")
    run = world.json("run", "--as-of", DAY)
    second = world.import_part("b")
    again = world.json("run", "--as-of", DAY, "--snapshot", first)
    same((again["run_id"], again["reused"]), (run["run_id"], True), "the same request on the same data")
    world.json("batch", "retract", first)
    last = world.json("run", "--as-of", DAY, "--snapshot", second, "--replace")
    same(last["reused"], False, "what the first brought no longer counts")


def any_of_three_may_be_taken_back_in_any_order(world):
    numbers = {part: world.import_part(part) for part in "abc"}
    for part in "cab":
        world.json("batch", "retract", numbers[part])
    same(world.customers(), [], "customers")
    same(world.json("doctor", allowed=(0, 3))["problems"] > 0, True, "an empty base is a problem")
    world.verify()


def the_middle_one_taken_back_is_as_if_the_others_came_alone_once_the_last_is_told_again(world):
    other = World(cvm_program.Deployment.create(world.program, world.path("other"), 1000))
    other.json("import", world.path("..", "a"))
    other.json("import", world.path("..", "c"))
    world.import_part("a")
    middle = world.import_part("b")
    world.import_part("c")
    same(world.json("batch", "retract", middle)["later_imports"], 1, "imports after it")
    world.import_part("c")
    same(world.digest(), other.digest(), "plan")
    same(sorted(world.customers()), sorted(other.customers()), "customers")


def what_was_taken_back_comes_again_by_its_files(world):
    world.import_part("a")
    batch = world.import_part("b")
    both = world.digest()
    customers = world.customers()
    world.json("batch", "retract", batch)
    report = world.json("import", world.path("..", "b"))
    expect(report["stored"] > 0, "nothing came back")
    same(world.digest(), both, "plan")
    same(world.customers(), customers, "customers")
    same(report["customers"], len(customers), "customers as reported")
    world.verify()


def a_batch_is_taken_back_once_and_only_where_there_is_something(world):
    first = world.import_part("a")
    empty = world.import_part("a")
    world.fails("batch", "retract", empty, says="brought nothing")
    retraction = world.json("batch", "retract", first)["batch"]
    world.fails("batch", "retract", first, says=f"was taken back by batch {retraction}")
    world.fails("batch", "retract", retraction, says="Import the files")
    world.fails("batch", "retract", 99, says="there is no batch 99")
    world.fails("batch", "retract", "x", code=2, says="the number of a batch")
    world.fails("run", "--snapshot", 99, says="there is no batch 99")


def the_list_tells_what_came_and_went(world):
    first = world.import_part("a")
    second = world.import_part("b")
    retraction = world.json("batch", "retract", second)["batch"]
    listed = world.json("batch", "list")["batches"]
    same([b["batch"] for b in listed], [retraction, second, first], "batches")
    same([b["state"] for b in listed], ["closed", "retracted", "closed"], "states")
    same((listed[0]["retracts"], listed[1]["retracted_by"]), (second, retraction), "each other")
    expect(all(b["who"].startswith("cli:") for b in listed), listed)
    same(world.json("batch", "list", "--limit", 2)["next_before"], second, "next_before")
    rows = [r for r in world.json("audit", "list")["audit"] if r["action"] == "retract"]
    same([r["object"] for r in rows], [f"batch {second}"], "audited")
    text = world.cvm("batch", "list").out
    expect(f"taken back by {retraction}" in text, text)


def permissions_and_attributes_are_again_what_they_were(world):
    world.import_part("a")
    before = {c: world.json("customer", "show", c) for c in world.customers()[:40]}
    batch = world.import_part("b")
    after = {c: world.json("customer", "show", c) for c in before}
    expect(any(before[c]["consent"] != after[c]["consent"] for c in before), "no permission changed")
    world.json("batch", "retract", batch)
    for customer, document in before.items():
        same(world.json("customer", "show", customer), document, customer)
    moved = [c for c in before if before[c]["consent"] != after[c]["consent"]]
    entries = world.json("history", "customer", moved[0])["history"]
    expect(any(e["retracted"] and e["what"].startswith("permissions") for e in entries), entries)
    found = world.query("SELECT count(*) FROM audit WHERE action = 'consent' AND object = ? AND why LIKE '%taken back'",
                        (moved[0],))
    same(found[0][0], 1, "a permission that changes is audited")


def what_our_own_decisions_became_is_not_taken_back(world):
    world.import_part("a")
    run = world.json("run", "--as-of", DAY)["run_id"]
    decision = world.query("SELECT run_id || '.' || printf('%016x', customer_key) FROM decision"
                           " WHERE ghost = 0 AND treatment <> 'ignore' AND channel <> 'none' LIMIT 1")
    path = world.path("outcomes.ndjson")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(json.dumps({"decision_id": decision[0][0], "state": "sent", "time": DAY}) + "\n")
    world.json("outcome", "import", path, allowed=(0, 3))
    batch = world.query("SELECT max(batch) FROM batch WHERE report LIKE '%\"follows_outcomes\":true%'")[0][0]
    expect(batch is not None, f"run {run} left no contact")
    world.fails("batch", "retract", batch, says="contacted again")


HELPERS = {"expect", "same", "main", "changed", "divide"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    failed = 0
    with cvm_program.scratch("cvm-batch-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), 1000)
        template.json("generate", "--customers", CUSTOMERS, "--seed", "5", "--until", DAY, "--out",
                      os.path.join(folder, "data"))
        for seed in (1, 2):
            divide(os.path.join(folder, "data"), folder, seed)
            rules = cvm_program.rules_of(globals(), HELPERS)
            failed |= cvm_program.run_rules(
                rules if seed == 1 else rules[:5],
                lambda: World(template.copy(os.path.join(folder, "work"))),
                words,
            )
    return failed


World.fails = lambda self, *arguments, code=1, says="": expect(
    says in self.cvm(*arguments, allowed=(code,)).err, f"{arguments}: '{says}' is not said"
)

if __name__ == "__main__":
    sys.exit(main())
