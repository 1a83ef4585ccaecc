#!/usr/bin/env python3
"""`cvm run` with triggers, control groups, pending contacts and plans that are held: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

DAY = "2024-03-20"
NEXT = "2024-03-21"
CUSTOMERS = 3000
MARKETING = (
    "early_upgrade family_plan loyalty_app loyalty_points marketing_call_back personalized_offer retention_email "
    "retention_sms"
).split()


class World(cvm_program.World):
    def run(self, *arguments, day=DAY):
        return self.json("run", "--as-of", day, *arguments)

    def entries(self, *arguments):
        path = os.path.join(self.deployment.folder, "results.ndjson")
        self.run("--out", path, *arguments)
        with open(path, encoding="utf-8") as stream:
            lines = [json.loads(line) for line in stream]
        return lines[:-1], lines[-1]["summary"]

    def edit(self, name, before, after):
        path = os.path.join(self.deployment.folder, "catalogue", name)
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        expect(before in text, f"no '{before}' in {name}")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text.replace(before, after))
        self.cvm("apply")


# ---- triggers ----


def a_trigger_run_counts_only_whom_it_finds(world):
    matches = world.json("trigger", "match", "churn_risk", "--as-of", DAY)["total_matches"]
    entries, summary = world.entries("--trigger", "churn_risk", "--treatment", "retention_email", "--dry-run")
    same(summary["total_processed"], matches, "customers")
    same(summary["trigger"], "churn_risk", "trigger")
    same(len(entries), matches, "entries")
    expect({e["selected_treatment"] for e in entries} <= {"retention_email", "ignore"}, "another treatment")
    same(summary["treated"], sum(e["selected_treatment"] != "ignore" for e in entries), "treated")
    same(summary["by_treatment"]["ignore"], matches - summary["treated"], "ignored")
    expect(0 < summary["treated"] < matches < CUSTOMERS / 2, f"{summary['treated']} of {matches}")


def an_unknown_trigger_is_an_error_with_the_near_name(world):
    result = world.cvm("run", "--as-of", DAY, "--trigger", "churn_rsk", "--json", allowed=None)
    error = result.document["error"]
    same(result.code, 1, "exit status")
    same(error["status"], "not_found", "status")
    expect("churn_rsk" in error["message"] and "churn_risk" in error["hint"], f"{error}")


# ---- control groups ----


def members_are_left_alone_with_marketing_in_every_run(world):
    summary = world.run()["summary"]
    members = {key for (key,) in world.query("SELECT customer_key FROM control_member")}
    same(len(members), summary["control"]["members"], "members")
    expect(abs(len(members) - 0.02 * CUSTOMERS) <= 8, f"{len(members)} members")
    world.run("--trigger", "churn_risk", "--treatment", "retention_sms", day=NEXT)
    world.run("--seed", "5", day=NEXT)
    given = world.query("SELECT customer_key, treatment FROM decision WHERE ghost = 0")
    same([t for k, t in given if k in members and t in MARKETING], [], "marketing to members")
    same({key for (key,) in world.query("SELECT customer_key FROM control_member")}, members, "members later")


def ghosts_are_in_no_count_and_no_file(world):
    path = os.path.join(world.deployment.folder, "results.ndjson")
    entries, summary = world.entries()
    ghosts = world.query("SELECT customer_id, treatment, withheld, arm, cost_micro, channel FROM decision WHERE ghost = 1")
    same(len(ghosts), summary["control"]["universal"] + summary["control"]["held_out"], "ghosts")
    expect(ghosts, "no ghosts")
    same([g for g in ghosts if g[1] != g[2] or g[4] != 0 or g[3] == "treated"], [], "odd ghosts")
    same({e["customer_id"] for e in entries} & {g[0] for g in ghosts}, set(), "ghosts in the file")
    treated = world.query("SELECT customer_id, treatment FROM decision WHERE ghost = 0")
    same(summary["treated"], len(treated), "treated")
    same(cvm_program.plan_digest(treated), summary["plan_digest"], "plan digest")
    expect(os.path.getsize(path) > 0, "an empty file")


def entries_say_arm_channel_and_window(world):
    entries, _ = world.entries()
    for entry in entries:
        same(entry["arm"], "treated", "arm")
        is_contact = entry["channel"] != "none"
        same(entry["earliest_at"] is not None and entry["latest_at"] is not None, is_contact, f"window of {entry}")
        if is_contact:
            expect(entry["earliest_at"] < entry["latest_at"], f"{entry}")
            expect(entry["earliest_at"] >= "2024-03-20T", f"{entry}")
    expect(any(e["channel"] == "none" for e in entries) and any(e["channel"] == "sms" for e in entries), "channels")


def who_is_asked_for_and_held_out_is_told_so(world):
    world.run()
    (member,) = world.query(
        "SELECT d.customer_id FROM decision d JOIN control_member m USING (customer_key) WHERE d.ghost = 1 LIMIT 1"
    )[0]
    entry = world.json("decide", member, "--as-of", DAY, "--allowed", ",".join(MARKETING))
    same((entry["selected_treatment"], entry["reason"]), ("ignore", "held_out"), "decision")


# ---- contacts that nobody has reported ----


def last_nights_marketing_contacts_rest(world):
    world.run()
    world.run(day=NEXT)
    twice = world.query(
        "SELECT count(*) FROM decision a JOIN decision b USING (customer_key) WHERE a.run_id < b.run_id AND "
        "a.ghost = 0 AND b.ghost = 0 AND a.channel <> 'none' AND b.channel <> 'none' AND "
        f"a.treatment IN {tuple(MARKETING)} AND b.treatment IN {tuple(MARKETING)}"
    )
    same(twice, [(0,)], "marketing contacts two nights in a row")


def no_household_gets_more_contacts_than_its_limit(world):
    world.edit("contact_policy.yaml", "purpose: marketing\n    max: 6", "purpose: marketing\n    max: 1")
    summary = world.run()["summary"]
    expect(summary["refusals"].get("household", 0) > 0, f"{summary['refusals']}")
    households = dict(
        world.query(
            "SELECT customer_key, json_extract(attributes, '$.\"customer.household\"') FROM event "
            "WHERE json_extract(attributes, '$.\"customer.household\"') IS NOT NULL"
        )
    )
    contacted = [
        households[key]
        for key, treatment, channel in world.query(
            "SELECT customer_key, treatment, channel FROM decision WHERE ghost = 0"
        )
        if treatment in MARKETING and channel != "none" and key in households
    ]
    expect(contacted, "no household is contacted")
    same(len(contacted), len(set(contacted)), "contacts of households")


def the_rest_of_a_household_counts_also_when_it_is_not_asked_for(world):
    world.edit("contact_policy.yaml", "purpose: marketing\n    max: 6", "purpose: marketing\n    max: 1")
    world.run()
    others = world.query(
        "WITH home AS (SELECT customer_key, customer_id, json_extract(attributes, '$.\"customer.household\"') AS id "
        "FROM event JOIN customer USING (customer_key)), "
        "met AS (SELECT h.id FROM decision d JOIN home h USING (customer_key) WHERE d.ghost = 0 AND d.channel <> 'none' "
        f"AND d.treatment IN {tuple(MARKETING)}) "
        "SELECT customer_id FROM home WHERE id IN (SELECT id FROM met) AND customer_key NOT IN (SELECT customer_key FROM decision)"
    )
    expect(len(others) > 50, f"{len(others)} others")
    world.json("run", "--as-of", NEXT, "--customers", ",".join(o for (o,) in others))
    given = world.query(
        "SELECT d.treatment, d.channel FROM decision d JOIN run r USING (run_id) WHERE r.as_of_day = ? AND ghost = 0",
        (19803,),
    )
    expect(given, "nobody is given anything")
    same([g for g in given if g[0] in MARKETING and g[1] != "none"], [], "more contacts of these households")


# ---- certificate, groups, prices ----

GROUPS = """groups:
  - group: few_prepaid
    display_name: Prepaid at most
    kind: segment_max
    segment: prepaid
    limit: 10
  - group: unhappy
    kind: segment_min
    customers: "last_sentiment == 'negative'"
    limit: MINIMUM
budgets:"""


def a_run_keeps_its_certificate_and_capacity_show_the_prices(world):
    summary = world.run()["summary"]
    rows = summary["constraints_final_state"]
    expect(summary["feasible"] and summary["infeasible"] == [], "not feasible")
    gap = summary["dual_bound"] - summary["total_value"]
    expect(abs(gap - summary["regret"] - summary["slack"]) < 1e-6, f"{gap} is not regret and slack")
    expect(abs(summary["slack"] - sum(r["slack"] for r in rows.values())) < 1e-6, "slack of the rows")
    for name, row in rows.items():
        expect(row["used"] <= row["available"], name)
        expect(row["price_low"] <= row["shadow_price"] <= row["price_high"], f"{name}: {row}")
    same(world.json("plan", "show", "latest")["summary"]["regret"], summary["regret"], "stored regret")
    shown = world.json("capacity", "show", "--as-of", DAY)
    same(shown["prices_of"], world.json("plan", "list")["plans"][0]["run_id"], "run of the prices")
    for name, row in shown["treatments"].items():
        for key in ("shadow_price", "price_low", "price_high", "binding"):
            same(row[key], rows[name][key], f"{key} of {name}")
    text = world.cvm("capacity", "show", "--as-of", DAY).out
    expect("not binding" in text, text)
    same(world.json("capacity", "show", "--as-of", NEXT)["prices_of"], None, "prices of another day")


def groups_are_kept_and_told(world):
    world.edit("constraints.yaml", "budgets:", GROUPS.replace("MINIMUM", "50"))
    document = world.run()
    rows = document["summary"]["constraints_final_state"]
    same(rows["few_prepaid"]["kind"], "segment_max", "kind")
    expect(rows["few_prepaid"]["inside"] <= 10, rows["few_prepaid"])
    expect(rows["unhappy"]["inside"] >= 50, rows["unhappy"])
    expect(document["summary"]["feasible"], "not feasible")
    text = world.cvm("plan", "show", "latest").out
    expect("Prepaid at most" in text and "segment_max" in text, text)


def a_minimum_out_of_reach_is_told_and_the_run_goes_on(world):
    world.edit("constraints.yaml", "budgets:", GROUPS.replace("MINIMUM", "2900"))
    text = world.cvm("run", "--as-of", DAY).out
    expect("Not every minimum can be reached" in text and "lower 'unhappy'" in text, text)
    summary = world.run()["summary"]
    expect(not summary["feasible"] and summary["treated"] > 0, summary)
    same([c["rows"] for c in summary["infeasible"]], [["unhappy"]], "rows")
    row = summary["constraints_final_state"]["unhappy"]
    same(row["inside"] + row["shortfall"], 2900, "what is reached and what is missing")
    expect(summary["infeasible"][0]["message"] in world.cvm("plan", "show", "latest").out, "not shown again")


def prices_are_renewed_once_much_of_what_was_left_has_gone(world):
    world.run()
    expect("the prices stand" in world.cvm("capacity", "reprice", "--as-of", DAY).out, "renewed for nothing")
    same(world.json("capacity", "show", "--as-of", DAY)["priced_at"], None, "renewed")
    document = world.json("capacity", "reprice", "--as-of", NEXT)  # a day with means of its own
    expect(document["priced_at"], "not renewed")
    same(document["prices_of"], world.json("plan", "list")["plans"][0]["run_id"], "run of the values")
    expect("the prices stand" in world.cvm("capacity", "reprice", "--as-of", NEXT).out, "renewed again")
    scarce = [t for t, row in document["treatments"].items() if row["binding"]]
    expect(scarce, "nothing is scarce")


def prices_without_a_run_are_an_error(world):
    failure = world.cvm("capacity", "reprice", "--as-of", DAY, allowed=(1,))
    expect("no run" in failure.err or "there is no" in failure.err, failure.err)


# ---- plans that are held ----


def a_plan_that_differs_too_much_is_held_and_says_what_to_do(world):
    world.run()
    world.edit("release.yaml", "volume_change: 0.9", "volume_change: 0.0001")
    text = world.cvm("run", "--as-of", NEXT).out
    document = world.run(day=NEXT)
    same(document["plan_state"], "held", "plan state")
    expect(document["summary"]["hold_reasons"], "no reasons")
    expect(document["reused"], "another run")
    expect(document["summary"]["hold_reasons"][0] in text, text)
    expect(f"cvm plan approve {document['run_id']}" in text, text)
    states = world.query("SELECT DISTINCT state FROM decision_now WHERE run_id = ?", (document["run_id"],))
    same(states, [(0,)], "states of the decisions")


HELPERS = {"expect", "same", "main"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-run-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), CUSTOMERS)
        template.json("generate", "--customers", CUSTOMERS, "--seed", "3", "--until", DAY)
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
