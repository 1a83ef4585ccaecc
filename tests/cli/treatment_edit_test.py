#!/usr/bin/env python3
"""Treatments by people: `cvm treatment add|update|remove|enable|disable`: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

DAY = "2026-03-01"
SHIPPED = 12  # with ignore
VIDEO = "Send personalized video message with limit 10 and priority 2"


class World(cvm_program.World):
    def add(self, words, *options):
        words = words if isinstance(words, str) else json.dumps(words)
        return self.json("treatment", "add", words, *options)

    def error(self, *arguments, code=1):
        """The error, after which nothing has changed."""
        before = (self.version(), self.listed())
        error = self.json(*arguments, allowed=(code,))["error"]
        same((self.version(), self.listed()), before, f"after {arguments}")
        return error

    def version(self):
        return self.json("catalogue", "show")["version"]

    def listed(self):
        return {t["id"]: t for t in self.json("treatment", "list")["treatments"]}

    def is_level(self):
        """Does the folder say what is in force?"""
        same(self.json("catalogue", "diff")["changes"], [], "the folder against the store")


# ---- add ----


def a_sentence_becomes_a_treatment(world):
    document = world.add(VIDEO)
    treatment = document["treatment"]
    expect(re.fullmatch(r"custom_send_personalized_vi_[0-9a-f]{8}", treatment["id"]), treatment["id"])
    limits = treatment["constraints"]
    same((limits["max_per_day"], limits["cost_per_contact"], limits["priority"]), (10, 1, 2), "numbers")
    slug = re.sub("[^a-z0-9]+", "_", treatment["display_name"].lower())[:20]
    same(slug, "send_personalized_vi", "the name agrees with the id")
    same(treatment["description"], "Send personalized video message", "without the settings")
    same((treatment["custom"], treatment["enabled"], treatment["response"]["source"]), (True, True, "prior"), "state")
    same((document["changed"], document["catalogue_version"]), (True, 2), "version")
    same(world.json("capacity", "show", "--as-of", DAY)["treatments"][treatment["id"]]["remaining"], 10, "left")
    world.is_level()
    expect(os.path.exists(world.path("catalogue", treatment["file"])), "its file")
    same(world.json("audit", "list", "--limit", "1")["audit"][0]["why"], "cvm treatment add", "audit")


def the_same_words_are_a_conflict_unless_they_are_wanted_again(world):
    first = world.add(VIDEO)["treatment"]["id"]
    error = world.error("treatment", "add", VIDEO)
    same(error["status"], "conflict", "status")
    expect(first in error["message"] and "--again" in error["hint"], f"{error}")
    second = world.add(VIDEO, "--again")["treatment"]["id"]
    third = world.add(VIDEO, "--again")["treatment"]["id"]
    same(len({first, second, third, *world.listed()}), SHIPPED + 3, "ids")


def ids_come_from_the_words_alone(world):
    other = cvm_program.Deployment.create(world.deployment.program, world.path("other"), 1000)
    same(
        other.json("treatment", "add", VIDEO)["treatment"]["id"], world.add(VIDEO)["treatment"]["id"], "in another store"
    )


def json_without_what_is_left_starts_full(world):
    treatment = world.add({"description": "VIP gift basket", "max_per_day": 5})["treatment"]
    same(treatment["constraints"]["max_per_day"], 5, "limit")
    same(world.json("capacity", "show", "--as-of", DAY)["treatments"][treatment["id"]]["remaining"], 5, "left")
    poc = {
        "display_name": "Signal booster", "description": "A booster at home", "type": "service_updates",
        "channel": "app", "constraints": {"max_per_day": 7, "remaining_availability": 100, "cost_per_contact_pounds": 35},
    }
    document = world.add(poc)
    treatment = document["treatment"]
    same((treatment["channel"], treatment["purpose"]), ("push", "service"), "words of the sources")
    same((treatment["constraints"]["max_per_day"], treatment["constraints"]["cost_per_contact"]), (7, 35), "nested")
    same(treatment["display_name"], "Signal booster", "name")
    expect("remaining_availability" in document["not_taken"][0], document["not_taken"])


def wrong_values_are_refused_and_named(world):
    cases = [
        ({"description": "x", "type": "teleport"}, "'teleport'"),
        ({"description": "x", "channel": "pigeon"}, "'pigeon'"),
        ({"description": "x", "max_per_day": -5}, "'-5'"),
        ({"description": "x", "max_per_day": 2.5}, "'2.5'"),
        ({"description": "x", "cost": -1}, "'-1'"),
        ({"description": "x", "priority": 0}, "'0'"),
        ({"description": "x", "remaining_availability": -1}, "'-1'"),
        ({"description": "x", "max_per_dya": 5}, "max_per_day"),
        ({"description": "x", "eligible": "tenure_mnths > 3"}, "tenure_mnths"),
        ({"description": "x", "id": "../x"}, "../x"),
        ({"max_per_day": 5}, "description"),
        ("Video with limit -5", "'-5'"),
        ("Video limit 2.5", "'2.5'"),
        ("Video, priority 0", "'0'"),
        ("  ", "empty"),
        ('{"description": ', "JSON"),
    ]
    for words, told in cases:
        words = words if isinstance(words, str) else json.dumps(words)
        error = world.error("treatment", "add", words)
        same(error["status"], "invalid", words)
        expect(told in error["message"] + error["where"], f"{words}: {error}")
    same(world.error("treatment", "add", "absent.json")["status"], "not_found", "an absent file")
    same(world.error("treatment", "add", '{"id": "retention_sms", "description": "x"}')["status"], "conflict", "known")
    same(world.error("treatment", "add", '{"id": "ignore", "description": "x"}')["status"], "conflict", "ignore")


def a_file_is_json_or_yaml(world):
    with open(world.path("one.yaml"), "w", encoding="utf-8") as stream:
        stream.write("treatment: fibre_offer\ndescription: Fibre, faster\nchannel: email\npurpose: marketing\n"
                     "applicable: plan_type in ['contract', 'sim_only']\nresponse:\n  reach: {mean: 0.5, sd: 0.1}\n")
    document = world.add(world.path("one.yaml"))
    treatment = document["treatment"]
    same((treatment["id"], treatment["description"]), ("fibre_offer", "Fibre, faster"), "as the file says")
    same(treatment["applicable"], "plan_type in ['contract', 'sim_only']", "rule")
    same(treatment["response"]["reach"], {"mean": 0.5, "sd": 0.1}, "response")
    expect(not any("response" in line for line in document["filled_in"]), document["filled_in"])


def what_nobody_said_comes_from_the_shipped_treatment_most_like_it(world):
    document = world.add("Call customers who may leave with a retention discount, limit 3")
    treatment = document["treatment"]
    same((treatment["channel"], treatment["purpose"], treatment["class"]), ("call", "marketing", "retention"), "words")
    shipped = world.json("treatment", "show", "marketing_call_back")
    same(treatment["constraints"]["uses"], shipped["constraints"]["uses"], "a call takes call-centre minutes")
    same(treatment["response"]["reach"]["mean"], shipped["response"]["reach"]["mean"], "mean")
    same(treatment["response"]["reach"]["sd"], 2 * shipped["response"]["reach"]["sd"], "twice as unsure")
    told = "\n".join(document["filled_in"])
    expect("marketing_call_back" in told and "cost: 1.00" in told, told)


def without_channel_or_purpose_it_is_stored_and_not_usable(world):
    document = world.add("Invite families to the summer event")
    same((document["usable"], document["changed"]), (False, True), "stored")
    shown = world.cvm("treatment", "add", "Invite families to the winter event").out
    expect("Not usable for contact: it has no channel and no purpose" in shown, shown)
    shown = world.cvm("treatment", "add", "Text whoever roams, limit 5", "--dry-run").out
    expect("has no purpose" in shown and "\"channel\"" not in shown, f"the channel that was said stays: {shown}")
    expect("not usable" in world.cvm("treatment", "list").out, "list")


def a_dry_run_shows_and_stores_nothing(world):
    before = world.listed()
    document = world.add(VIDEO, "--dry-run")
    same((document["dry_run"], document["changed"], document["catalogue_version"]), (True, False, 1), "told")
    expect(document["yaml"].startswith("treatment: custom_send_"), document["yaml"])
    shown = world.cvm("treatment", "add", VIDEO, "--dry-run").out
    expect("Nothing was stored." in shown and "  max_per_day: 10" in shown, shown)
    same(world.listed(), before, "treatments")
    world.is_level()


def a_file_that_was_edited_and_not_applied_is_not_overwritten(world):
    path = world.path("catalogue", "treatments", "retention_sms.yaml")
    with open(path, "a", encoding="utf-8") as stream:
        stream.write("# my own words\n")
    error = world.error("treatment", "update", "retention_sms", "limit 5")
    same(error["status"], "conflict", "status")
    expect("cvm apply" in error["hint"], error)
    with open(path, encoding="utf-8") as stream:
        expect("# my own words" in stream.read(), "kept")
    world.json("apply")
    world.json("treatment", "update", "retention_sms", "limit 5")
    world.is_level()


# ---- update ----


def an_update_keeps_what_it_does_not_name(world):
    before = world.add(VIDEO)["treatment"]
    after = world.json("treatment", "update", before["id"], "limit 25")["treatment"]
    same(after["constraints"], {**before["constraints"], "max_per_day": 25}, "constraints")
    for key in ("id", "display_name", "description", "created_at", "response", "channel", "class", "custom"):
        same(after[key], before[key], key)
    expect(before["updated_at"] is None and after["updated_at"] is not None, f"updated_at: {after['updated_at']}")
    after = world.json("treatment", "update", before["id"], '{"channel": "sms", "type": "marketing"}')
    same((after["usable"], after["treatment"]["constraints"]["max_per_day"]), (True, 25), "now usable")
    after = world.json("treatment", "update", before["id"], '{"max_per_day": null}')["treatment"]
    same(after["constraints"]["max_per_day"], None, "no limit")
    same(after["constraints"]["priority"], 2, "priority")
    world.is_level()


def a_text_with_words_of_its_own_is_the_new_description(world):
    name = world.add(VIDEO)["treatment"]["id"]
    after = world.json("treatment", "update", name, "Invite gamers to a tournament by sms, limit 4")["treatment"]
    same((after["description"], after["channel"]), ("Invite gamers to a tournament by sms", "sms"), "described anew")
    after = world.json("treatment", "update", name, "now by email instead")["treatment"]
    same((after["description"], after["channel"]), ("Invite gamers to a tournament by sms", "email"), "only the channel")


def updates_that_can_not_be_are_errors(world):
    same(world.error("treatment", "update", "nothing_like_it", "limit 5")["status"], "not_found", "unknown")
    same(world.error("treatment", "update", "retention_emial", "limit 5")["hint"], "Did you mean 'retention_email'?", "near")
    same(world.error("treatment", "update", "retention_sms", "hm")["status"], "invalid", "nothing named")
    same(world.error("treatment", "update", "retention_sms", '{"id": "other"}')["status"], "invalid", "the id")
    same(world.error("treatment", "update", "retention_sms", "limit -1")["status"], "invalid", "negative")
    same(world.error("treatment", "update", "ignore", "limit 5")["status"], "denied", "doing nothing")


def a_shipped_treatment_may_be_updated_and_stays_shipped(world):
    after = world.json("treatment", "update", "retention_sms", "limit 7")["treatment"]
    same((after["constraints"]["max_per_day"], after["custom"]), (7, False), "retention_sms")
    same(after["constraints"]["cost_per_contact"], 0.01, "cost")
    world.is_level()


# ---- remove, enable, disable ----


def what_a_person_added_can_be_removed_and_what_is_shipped_not(world):
    name = world.add(VIDEO)["treatment"]["id"]
    document = world.json("treatment", "remove", name)
    same((document["changed"], name in world.listed()), (True, False), "removed")
    expect(not os.path.exists(world.path("catalogue", "treatments", f"{name}.yaml")), "the file")
    world.is_level()
    same(world.error("treatment", "remove", name)["status"], "not_found", "twice")
    error = world.error("treatment", "remove", "retention_sms")
    same((error["status"], error["hint"]), ("denied", "Disable it: `cvm treatment disable retention_sms`."), "shipped")
    same(world.error("treatment", "remove", "ignore")["status"], "denied", "ignore")


def disabling_touches_one_line(world):
    path = world.path("catalogue", "treatments", "retention_sms.yaml")
    with open(path, encoding="utf-8") as stream:
        before = stream.read()
    document = world.json("treatment", "disable", "retention_sms")
    same([c["after"] for c in document["changes"]], ["false"], "changes")
    with open(path, encoding="utf-8") as stream:
        same(stream.read(), before.replace("enabled: true", "enabled: false"), "the file")
    same(world.json("treatment", "disable", "retention_sms")["changed"], False, "again")
    world.json("treatment", "enable", "retention_sms")
    with open(path, encoding="utf-8") as stream:
        same(stream.read(), before, "and back")
    world.is_level()


# ---- in use ----


def it_is_used_at_once_counted_and_survives_a_restart(world):
    name = world.add({
        "description": "Thank-you credit", "channel": "none", "purpose": "service", "max_per_day": 3, "cost": 0.01,
        "response": {"reach": {"mean": 0.9, "sd": 0.1}, "accept": {"mean": 0.5, "sd": 0.1}, "extra_margin": 50},
    })["treatment"]["id"]
    customers = [r[0] for r in world.deployment.query("SELECT customer_id FROM customer ORDER BY customer_key LIMIT 40")]
    world.json("run", "--as-of", DAY, "--treatment", name, "--customers", customers[0])
    world.json("decide", customers[1], "--as-of", DAY, "--treatment", name)
    capacity = world.json("capacity", "show", "--as-of", DAY)["treatments"][name]
    same((capacity["confirmed"], capacity["remaining"]), (2, 1), "forced in a run and in decide")
    document = world.json("run", "--as-of", DAY)
    same(document["summary"]["by_treatment"][name], 1, "the last one, by value")
    same(world.json("capacity", "show", "--as-of", DAY)["treatments"][name]["remaining"], 0, "after a restart")
    world.json("treatment", "disable", name)
    answer = world.json("run", "--as-of", "2026-03-02", "--treatment", name, "--customers", customers[2])
    same(answer["summary"]["treated"], 0, "disabled")


HELPERS = {"expect", "same", "main"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-treatment-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), 1000)
        template.json("generate", "--customers", "300", "--seed", "5", "--until", DAY)
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
