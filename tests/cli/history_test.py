#!/usr/bin/env python3
"""Versions: who changed what, what differs, and going back without deleting: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

CUSTOMERS = 400
DAY = "2024-03-20"


class World(cvm_program.World):
    def edit(self, name, before, after):
        with open(self.path(name), encoding="utf-8") as stream:
            text = stream.read()
        expect(before in text, f"no '{before}' in {name}")
        with open(self.path(name), "w", encoding="utf-8") as stream:
            stream.write(text.replace(before, after))

    def write(self, name, *records):
        with open(self.path(name), "w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(record) + "\n" for record in records)
        return self.path(name)

    def history(self, *words):
        return self.json("history", *words)["history"]

    def fails(self, *arguments, code=1, says=""):
        result = self.cvm(*arguments, allowed=(code,))
        expect(says in result.err, f"'{says}' is not said: {result.err}")
        return result


def each_version_tells_who_when_why_and_what(world):
    world.cvm("treatment", "disable", "data_boost")
    newest, first = world.history("catalogue")
    same((newest["version"], first["version"]), (2, 1), "versions")
    same(newest["who"][:4], "cli:", "who")
    same(newest["why"], "cvm treatment disable", "why")
    same(newest["changes"], [{"path": "treatments/data_boost.yaml: enabled", "before": "true", "after": "false"}], "what")
    expect(newest["at"] >= first["at"], "when")


def history_of_one_thing_leaves_out_the_others(world):
    world.cvm("treatment", "disable", "data_boost")
    world.cvm("treatment", "disable", "family_plan")
    world.cvm("trigger", "disable", "churn_risk")
    world.edit("catalogue/suppressions.yaml", "suppressions:", "# a remark\nsuppressions:")
    world.cvm("apply")
    same([e["version"] for e in world.history("treatment", "data_boost")], [2, 1], "treatment")
    same([e["version"] for e in world.history("trigger", "churn_risk")], [4, 1], "trigger")
    same([e["version"] for e in world.history("constraint", "call_centre_minutes")], [1], "constraint")
    same([len(e["changes"]) for e in world.history("treatment", "data_boost")], [1, 1], "only its changes")
    same(len(world.history("catalogue")), 5, "a remark is a version too")


def a_constraint_may_be_a_treatments_own_capacity(world):
    world.edit("catalogue/treatments/loyalty_points.yaml", "max_per_day: ", "max_per_day: 9")
    world.cvm("apply")
    entry = world.history("constraint", "loyalty_points")[0]
    same([c["path"] for c in entry["changes"]], ["treatments/loyalty_points.yaml: max_per_day"], "changes")


def a_name_that_never_was_is_an_error(world):
    world.fails("history", "treatment", "nothing_like_it", says="nothing_like_it")
    world.fails("history", "customer", "nobody", says="there is no customer 'nobody'")
    world.fails("history", "treatment", code=2, says="its id is missing")
    world.fails("history", "catalogue", "x", code=2, says="takes no id")
    world.fails("history", "weather", code=2, says="found 'weather'")


def long_histories_go_on_from_a_version(world):
    for i in range(3):
        world.cvm("treatment", "enable" if i % 2 else "disable", "data_boost")
    document = world.json("history", "catalogue", "--limit", 2)
    same(([e["version"] for e in document["history"]], document["next_before"]), ([4, 3], 3), document)
    document = world.json("history", "catalogue", "--limit", 2, "--before", 3)
    same([e["version"] for e in document["history"]], [2, 1], document)


def the_configuration_has_versions_and_threads_are_none(world):
    same(len(world.history("config")), 1, "of the first command that wrote")
    world.edit("cvm.yaml", "threads: 0", "threads: 2")
    world.cvm("stop", "add", "channel", "sms", "--why", "a test")
    same(len(world.history("config")), 1, "threads decide nothing")
    world.edit("cvm.yaml", "release: auto", "release: manual")
    world.cvm("stop", "lift", "channel", "sms", "--why", "a test")
    newest = world.history("config")[0]
    same(newest["changes"][0], {"path": "cvm.yaml: release", "before": "auto", "after": "manual"}, "what")
    same(world.query("SELECT count(*) FROM audit WHERE action = 'config'")[0][0], 2, "audited")
    same(world.json("audit", "verify")["unsealed"], 0, "and sealed")


def two_versions_are_compared(world):
    world.cvm("treatment", "disable", "data_boost")
    world.cvm("treatment", "disable", "family_plan")
    document = world.json("diff", 1, 3)
    same((document["from"], document["to"], len(document["changes"])), ("version 1", "version 3", 2), document)
    same(world.json("catalogue", "diff", 1, 3), document, "one command, two names")
    same(len(world.json("diff", 2)["changes"]), 1, "with the one in force")
    same(world.json("diff", 3, 3)["changes"], [], "with itself")
    same(len(world.json("diff", 1, world.path("catalogue"))["changes"]), 2, "with a folder")
    same(world.json("diff")["changes"], [], "the folder with the one in force")
    world.fails("diff", 1, 99, says="version 99")
    world.fails("diff", 0, 1, code=2, says="versions begin with 1")


def going_back_is_a_new_version_and_the_folder_follows(world):
    world.cvm("treatment", "disable", "data_boost")
    os.makedirs(world.path("old"))
    world.cvm("catalogue", "export", world.path("old/c"), "--version", 1)
    dry = world.json("rollback", "--to", 1, "--dry-run")
    same((dry["version"], dry["changed"], dry["dry_run"], len(dry["changes"])), (2, False, True, 1), dry)
    same(len(world.history("catalogue")), 2, "a dry run stores nothing")
    document = world.json("rollback", "--to", 1, "--reason", "wrong idea")
    same((document["version"], document["changed"], document["changes"]), (3, True, dry["changes"]), document)
    same(world.history("catalogue")[0]["why"], "back to version 1: wrong idea", "why")
    same([e["version"] for e in world.history("catalogue")], [3, 2, 1], "nothing is deleted")
    same(world.json("diff", 1, 3)["changes"], [], "its content")
    same(world.json("diff")["changes"], [], "the folder")
    again = world.json("rollback", "--to", 1)
    same((again["version"], again["changed"]), (3, False), "again")
    world.json("rollback", "--to", 2)
    same(world.json("treatment", "show", "data_boost")["enabled"], False, "and forth")


def files_that_came_later_go_and_come_with_their_version(world):
    with open(world.path("catalogue/treatments/data_boost.yaml"), encoding="utf-8") as stream:
        text = stream.read()
    with open(world.path("catalogue/treatments/second_boost.yaml"), "w", encoding="utf-8") as stream:
        stream.write(text.replace("treatment: data_boost", "treatment: second_boost"))
    world.cvm("apply")
    world.json("rollback", "--to", 1)
    expect(not os.path.exists(world.path("catalogue/treatments/second_boost.yaml")), "the file is still there")
    world.json("rollback", "--to", 2)
    expect(os.path.exists(world.path("catalogue/treatments/second_boost.yaml")), "the file is not back")


def a_rollback_does_not_overwrite_what_somebody_edits(world):
    world.cvm("treatment", "disable", "data_boost")
    world.edit("catalogue/treatments/data_boost.yaml", "enabled: false", "enabled: false # my remark")
    world.fails("rollback", "--to", 1, says="cvm apply")
    same(len(world.history("catalogue")), 2, "nothing was stored")
    world.fails("rollback", "--to", 9, says="version 9")
    world.fails("rollback", code=2, says="--to VERSION")


def a_customer_has_versions_of_attributes_and_permissions(world):
    customer = world.json("customer", "list", "--limit", 1)["customers"][0]["customer_id"]
    before = world.history("customer", customer)
    same({e["what"] for e in before} >= {"attributes of customers", "permissions of permissions"}, True, before)
    same({e["version"] for e in before}, {1}, "first versions")
    same({e["batch"] for e in before}, {1}, "their batch")
    raw = world.query("SELECT c.customer_key FROM customer c WHERE customer_id = ?", (customer,))[0][0]
    expect(world.query("SELECT count(*) FROM audit WHERE object = ?", (customer,))[0][0] == 0,
           f"a first appearance is its batch, no audit row per customer ({raw})")


HELPERS = {"expect", "same", "main"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-history-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), 1000)
        template.json("generate", "--customers", CUSTOMERS, "--seed", "3", "--until", DAY)
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
