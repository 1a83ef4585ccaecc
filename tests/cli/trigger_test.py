#!/usr/bin/env python3
"""Triggers on the proof of concept's data, against the program: CVM [WORD...]

The data is in $CVM_SHARED/data/poc, else in ../shared beside the source; without it the test is skipped (exit 77).
What each trigger must find was worked out by hand from the nine files, not taken from the program. Rules are functions
whose names state them; WORDs choose those whose names contain one.
"""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cvm_program  # noqa: E402

SHARED = os.environ.get("CVM_SHARED") or os.path.join(HERE, "..", "..", "..", "shared")
DATA = os.path.join(SHARED, "data", "poc")
AS_OF = "2024-03-20"
FILES = [
    "billing_data",
    "call_transcripts",
    "churn_score",
    "network_data",
    "offer_recommendations",
    "permissions",
    "usage_data",
    "web_clicks",
    "web_transcripts",
]

# By hand: per trigger and customer the features that hold, and for each its value and the days of the records behind it
# (the newest of a count first, the extreme one of a maximum).
FOUND = {
    "network_issues": {
        "U123": {"packet_loss_max": (1.8, ["2024-03-05"])},
        "U125": {
            "network_mentions": (1, ["2024-02-26"]),
            "poor_network": (1, ["2024-03-02"]),
            "latency_max": (85, ["2024-03-02"]),
            "packet_loss_max": (2.8, ["2024-03-02"]),
        },
    },
    "billing_disputes": {
        "U124": {
            "billing_disputes": (2, ["2024-03-04", "2024-03-03"]),
            "extra_charges_max": (25.75, ["2024-03-01"]),
        },
        "U126": {"overdue_bills": (1, ["2024-02-01"]), "extra_charges_max": (52.75, ["2024-03-01"])},
        "U128": {"extra_charges_max": (42.75, ["2024-03-01"])},
        "U129": {"extra_charges_max": (25.5, ["2024-03-01"])},
        "U132": {"extra_charges_max": (35.5, ["2024-03-01"])},
    },
    "churn_risk": {
        "U124": {
            "churn_score": (0.75, ["2024-03-03"]),
            "negative_calls": (3, ["2024-03-04", "2024-03-03", "2024-03-01"]),
        },
        "U126": {"churn_score": (0.65, ["2024-03-03"])},
    },
    "high_value": {
        "U125": {"data_gb_max": (52.3, ["2024-03-02"]), "plan_charge_max": (89.99, ["2024-02-01"])},
        "U126": {"data_gb_max": (92.7, ["2024-03-02"]), "plan_charge_max": (129.99, ["2024-02-01"])},
        "U127": {"tenure_months_max": (60, ["2024-03-03"])},
        "U129": {"data_gb_max": (42.3, ["2024-03-02"]), "plan_charge_max": (99.99, ["2024-02-01"])},
        "U131": {"data_gb_max": (285.3, ["2024-03-02"]), "plan_charge_max": (999.99, ["2024-03-01"])},
        "U132": {"data_gb_max": (185.3, ["2024-03-02"]), "plan_charge_max": (159.99, ["2024-03-01"])},
    },
    "roaming_issues": {
        "U123": {"roaming_mentions": (1, ["2024-03-02"])},
        "U124": {
            "roaming_mentions": (4, ["2024-03-04", "2024-03-03", "2024-03-01", "2024-02-28"]),
            "roaming_gb_max": (0.5, ["2024-02-28"]),
        },
        "U128": {"roaming_mentions": (2, ["2024-03-02", "2024-02-26"])},
    },
}
# The first words of each call or chat that made it count, newest record first.
WORDS = {
    ("network_issues", "U125"): ["network issues"],
    ("billing_disputes", "U124"): ["billing dispute", "billing dispute"],
    ("roaming_issues", "U123"): ["international"],
    ("roaming_issues", "U124"): ["international", "roaming", "international", "roaming"],
    ("roaming_issues", "U128"): ["international", "international"],
}


class World:
    """A deployment with the nine files, one for each rule."""

    def __init__(self, deployment):
        self.folder = deployment.folder
        self.deployment = deployment

    def run(self, *arguments, allowed=(0,)):
        return self.deployment.cvm(*arguments, allowed=allowed, timeout=60)

    def document(self, *arguments, allowed=(0,)):
        return self.deployment.json(*arguments, allowed=allowed, timeout=60)


def same(found, expected, what):
    if found != expected:
        raise cvm_program.Failure(f"{what}: {found!r} instead of {expected!r}")


def holds(claim, what):
    if not claim:
        raise cvm_program.Failure(what)


def ids_of(document):
    return sorted(m["customer_id"] for m in document["matches"])


# ---- what the shipped triggers find ----


def every_trigger_finds_whom_the_files_say(world):
    """Cases 39 and 40."""
    for trigger, customers in FOUND.items():
        document = world.document("trigger", "match", trigger, "--as-of", AS_OF)
        same(document["trigger"], trigger, "the trigger")
        same(ids_of(document), sorted(customers), trigger)
        same(document["total_matches"], len(customers), f"{trigger} in all")
        same(document["customers"], 11, f"{trigger} looked at")


def evidence_names_values_and_records(world):
    for trigger, customers in FOUND.items():
        document = world.document("trigger", "match", trigger, "--as-of", AS_OF)
        for match in document["matches"]:
            found = {}
            for evidence in match["evidence"]:
                value, days = found.setdefault(evidence["feature"], (evidence["value"], []))
                same(evidence["value"], value, f"{match['customer_id']} {evidence['feature']}")
                days.append(evidence["date"])
            same(found, customers[match["customer_id"]], f"{trigger} of {match['customer_id']}")


def evidence_of_texts_names_the_words_and_shows_them_in_their_sentence(world):
    transcripts = {}
    for name in ("call_transcripts", "web_transcripts"):
        with open(os.path.join(DATA, f"{name}.json"), encoding="utf-8") as file:
            for record in json.load(file):
                key = (name, record["customer_id"], record["date"])
                transcripts.setdefault(key, []).append(record["summary"])
    for (trigger, customer), words in WORDS.items():
        document = world.document("trigger", "match", trigger, "--as-of", AS_OF, "--customers", customer)
        told = [e for m in document["matches"] for e in m["evidence"] if e["words"] is not None]
        same([e["words"] for e in told], words, f"words of {trigger} {customer}")
        for evidence in told:
            texts = transcripts[(evidence["source"], customer, evidence["date"])]
            inner = evidence["snippet"].removeprefix("...").removesuffix("...")
            holds(any(inner in text for text in texts), f"'{inner}' stands in the record")
            holds(evidence["words"] in inner, "the words stand in the snippet")
            text = next(text for text in texts if inner in text)
            same(evidence["snippet"].startswith("..."), not text.startswith(inner), "a cut start is marked")
            same(evidence["snippet"].endswith("..."), not text.endswith(inner), "a cut end is marked")


def a_reason_says_what_holds_and_nothing_else(world):
    document = world.document("trigger", "match", "churn_risk", "--as-of", AS_OF)
    reasons = {m["customer_id"]: m["reason"] for m in document["matches"]}
    same(reasons["U126"], "Newest churn score: 0.65 (churn_score > 0.5)", "U126")
    same(
        reasons["U124"],
        "Newest churn score: 0.75 (churn_score > 0.5); Calls with negative sentiment: 3 (negative_calls >= 2)",
        "U124",
    )


def a_trigger_sees_the_days_up_to_its_own(world):
    document = world.document("trigger", "match", "churn_risk", "--as-of", "2024-03-02")
    same(ids_of(document), [], "before the scores of 3 March")
    document = world.document("trigger", "match", "churn_risk", "--as-of", "2024-03-03")
    same(ids_of(document), ["U124", "U126"], "on 3 March")
    same(document["as_of"], "2024-03-03", "as of")


def without_a_day_old_data_are_seen_as_of_their_last_one(world):
    document = world.document("trigger", "match", "churn_risk")
    same(document["as_of"], "2024-03-18", "as of")
    same(ids_of(document), ["U124", "U126"], "matches")


def matches_do_not_depend_on_threads_and_the_limit_only_cuts(world):
    one = world.document("trigger", "match", "high_value", "--as-of", AS_OF, "--threads", "1")
    many = world.document("trigger", "match", "high_value", "--as-of", AS_OF, "--threads", "3")
    same(one, many, "with other threads")
    cut = world.document("trigger", "match", "high_value", "--as-of", AS_OF, "--limit", "2")
    same(cut["matches"], one["matches"][:2], "the first two")
    same(cut["total_matches"], 6, "all are counted")
    none = world.document("trigger", "match", "high_value", "--as-of", AS_OF, "--limit", "0")
    same((none["matches"], none["total_matches"]), ([], 6), "only counted")


def unknown_customers_match_nothing_and_unknown_triggers_are_an_error(world):
    """Case 42."""
    document = world.document("trigger", "match", "churn_risk", "--as-of", AS_OF, "--customers", "U555,U556")
    same((document["matches"], document["total_matches"], document["customers"]), ([], 0, 0), "unknown customers")
    document = world.document("trigger", "match", "churn_risk", "--as-of", AS_OF, "--customers", "U555,U124,U124")
    same(ids_of(document), ["U124"], "one of them known, twice")
    error = world.document("trigger", "match", "churn_risc", allowed=(1,))["error"]
    same(error["message"], "there is no trigger 'churn_risc'", "unknown trigger")
    same(error["hint"], "Did you mean 'churn_risk'?", "its hint")
    for command in ("show", "remove", "enable", "disable"):
        world.run("trigger", command, "nobody", allowed=(1,))


def the_list_says_what_is_shipped(world):
    triggers = world.document("trigger", "list")["triggers"]
    same(sorted(t["name"] for t in triggers), sorted(FOUND), "names")
    holds(all(t["enabled"] and not t["custom"] and t["description"] for t in triggers), "enabled, with descriptions")
    shown = world.document("trigger", "show", "churn_risk")
    same(shown["when"], "churn_score > 0.5 || negative_calls >= 2", "its rule")
    holds("or   negative_calls >= 2" in world.run("trigger", "show", "churn_risk").out, "shown for people")


# ---- triggers of one's own ----


def an_own_trigger_is_stored_found_and_removed(world):
    arguments = ("trigger", "add", "overage", "--description", "Speaks of overage in a call")
    rule = "count(call_transcripts, mentions('Overage')) > 0 && churn_score > 0.5"
    before = world.document("catalogue", "show")["version"]
    dry = world.document(*arguments, "--when", rule, "--dry-run")
    same((dry["changed"], dry["trigger"]["when"], dry["trigger"]["custom"]), (False, rule, True), "shown first")
    same(world.document("catalogue", "show")["version"], before, "nothing stored")

    added = world.document(*arguments, "--when", rule, "--display-name", "Overage")
    same((added["changed"], added["catalogue_version"]), (True, before + 1), "stored")
    same(added["trigger"]["display_name"], "Overage", "display name")
    holds(added["trigger"]["created_at"] is not None, "when it was added")
    world.run("catalogue", "diff")
    with open(os.path.join(world.folder, "catalogue", "triggers", "overage.yaml"), encoding="utf-8") as file:
        holds("custom: true" in file.read(), "the folder says the same as the store")

    document = world.document("trigger", "match", "overage", "--as-of", AS_OF)
    same(ids_of(document), ["U124"], "whom it finds: the journeys know the new words")
    evidence = document["matches"][0]["evidence"]
    same(evidence[0]["words"], "overage", "the words as they stand there")
    same(evidence[0]["date"], "2024-03-01", "the call")

    again = world.document(*arguments, "--when", rule, allowed=(1,))["error"]
    same(again["message"], "there is a trigger 'overage' already", "a second one")
    same(world.document("trigger", "remove", "overage")["changed"], True, "removed")
    holds(not os.path.exists(os.path.join(world.folder, "catalogue", "triggers", "overage.yaml")), "the file is gone")
    world.run("trigger", "match", "overage", allowed=(1,))
    same(ids_of(world.document("trigger", "match", "churn_risk", "--as-of", AS_OF)), ["U124", "U126"], "the others")


def a_trigger_without_description_or_rule_is_refused_before_anything_is_stored(world):
    """Case 43."""
    before = world.document("catalogue", "show")["version"]
    for arguments, code, message in (
        (("--when", "churn_score > 0.3"), 2, "a trigger needs --description"),
        (("--description", "", "--when", "churn_score > 0.3"), 2, "a trigger needs --description"),
        (("--description", " \n ", "--when", "churn_score > 0.3"), 2, "a trigger needs --description"),
        (("--description", "d"), 2, "a trigger needs --when"),
        (("--description", "d", "--when", "  "), 2, "a trigger needs --when"),
        (("--description", "d", "--when", "churn_scor > 0.3"), 1, "did you mean 'churn_score'?"),
        (("--description", "d", "--when", "churn_score >"), 1, "column"),
        (("--description", "d", "--when", "churn_score + 1"), 1, "column"),
        (("--description", "d", "--when", "count(call_transcripts, 900) > 0"), 1, "longer than the history"),
    ):
        error = world.document("trigger", "add", "mine", *arguments, allowed=(code,))["error"]
        holds(message in error["message"], f"{arguments}: {error['message']}")
    for name in ("Mine", "../mine", "1st", "a b", "", "x" * 65):
        world.run("trigger", "add", name, "--description", "d", "--when", "churn_score > 0", allowed=(2,))
    same(world.document("catalogue", "show")["version"], before, "nothing stored")


def shipped_triggers_are_disabled_and_not_removed(world):
    error = world.document("trigger", "remove", "churn_risk", allowed=(1,))["error"]
    same(error["hint"], "Disable it: `cvm trigger disable churn_risk`.", "hint")
    same(world.document("trigger", "disable", "churn_risk")["trigger"]["enabled"], False, "disabled")
    same(world.document("trigger", "disable", "churn_risk")["changed"], False, "once is enough")
    result = world.run("trigger", "match", "churn_risk", "--as-of", AS_OF)
    holds("is disabled" in result.err, "match says so")
    same(world.document("trigger", "enable", "churn_risk")["trigger"]["enabled"], True, "enabled again")
    world.run("catalogue", "diff")


def a_plan_made_before_a_trigger_came_can_still_be_explained(world):
    """Words of the new trigger change the journeys, whose other numbers stay."""
    world.run("run", "--as-of", AS_OF)
    world.run("trigger", "add", "lag", "--description", "d", "--when", "count(web_transcripts, mentions('lag')) > 0")
    world.run("trigger", "match", "lag", "--as-of", AS_OF)
    same(world.document("explain", "latest", "U124")["customer_id"], "U124", "explained")


def changes_are_audited(world):
    world.run("trigger", "add", "mine", "--description", "d", "--when", "churn_score > 0.3")
    reasons = [row[0] for row in world.deployment.query("SELECT why FROM audit")]
    holds("cvm trigger add" in reasons, f"why it changed: {reasons}")


# ---- the driver ----

HELPERS = {"same", "holds", "ids_of", "World", "main"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    if not os.path.isdir(DATA):
        print(f"skipped: there is no folder {DATA}; CVM_SHARED names the folder that has data/poc")
        return 77
    with cvm_program.scratch("cvm-trigger-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), 11)
        template.json("import", *[os.path.join(DATA, f"{name}.json") for name in FILES])
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
