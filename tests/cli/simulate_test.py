#!/usr/bin/env python3
"""`cvm simulate`: the base is the run's own plan, scenarios are what a run under these limits would be: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import csv
import hashlib
import io
import json
import os
import re
import sys
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

DAY = "2024-03-20"
GROUPS = """
groups:
  - {group: few_prepaid, kind: segment_max, segment: prepaid, limit: 40}
  - {group: unhappy, kind: segment_min, customers: last_sentiment == 'negative', limit: 100}
  - {group: converged_share, kind: share_min, segment: converged, limit: 0.16}
  - {group: young, kind: share_max, customers: age_band == 'under_25', limit: 0.1}
  - {group: dear, kind: reserve, customers: plan_charge >= 40, treatments: [loyalty_points], limit: 60}
"""


def edit(deployment, name, before, after):
    path = os.path.join(deployment.folder, "catalogue", name)
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    expect(re.search(before, text, re.M), f"no '{before}' in {name}")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(re.sub(before, lambda _: after, text, count=1, flags=re.M))


class World:
    def __init__(self, program, folder):
        self.folder = folder
        self.fresh = cvm_program.Deployment.create(program, os.path.join(folder, "fresh"), 2000)
        self.fresh.cvm("generate", "--customers", 2000, "--events", 15, "--seed", 3, "--until", DAY)
        self.base = self.fresh.copy(self.path("base"))
        self.run = self.base.json("run", "--as-of", DAY)
        # Everything that a plan can be held to.
        self.hard = self.fresh.copy(self.path("hard"))
        edit(self.hard, "constraints.yaml", r"\Z", GROUPS)
        edit(self.hard, "contact_policy.yaml", r"    max: 6\n", "    max: 1\n")
        self.hard.cvm("apply", "--quiet")
        self.hard_run = self.hard.json("run", "--as-of", DAY)

    def path(self, name):
        return os.path.join(self.folder, name)


def prices_of(summary):
    return {name: state["shadow_price"] for name, state in summary["constraints_final_state"].items()}


def is_plan_of(document, summary):
    base = document["base"]
    same(document["reproduced"], True, "reproduced")
    same(base["value"], summary["total_value"], "value")
    same(base["spend"], summary["spend"], "spend")
    same(base["treated"], summary["treated"], "treated")
    given = {k: n for k, n in summary["by_treatment"].items() if k != "ignore"}
    same({k: n for k, n in base["by_treatment"].items() if n > 0}, given, "by treatment")
    same(sum(base["by_segment"].values()), summary["treated"], "by segment")
    prices = {name.replace(".max_per_day", ""): p.get("price") for name, p in base["prices"].items()}
    for name, price in prices_of(summary).items():
        expect(abs((prices[name] or 0) - (price or 0)) <= 1e-12 * abs(price or 1), f"price of {name}: {prices[name]} {price}")
    expect(base["value"] <= base["dual_bound"] * (1 + 1e-12), base)


def the_base_is_the_plan_of_the_run(world):
    is_plan_of(world.base.json("simulate"), world.run["summary"])


def groups_households_and_control_groups_are_as_in_the_run(world):
    document = world.hard.json("simulate", "latest")
    is_plan_of(document, world.hard_run["summary"])
    states = world.hard_run["summary"]["constraints_final_state"]
    for name in ("few_prepaid", "unhappy", "converged_share", "young", "dear"):
        found = document["base"]["prices"][name]
        same((found["limit"], found["used"]), (states[name]["limit"], states[name]["used"]), name)
    expect(world.hard_run["summary"]["control"]["members"] > 0, "no control group")
    expect(world.hard_run["summary"]["refusals"].get("household", 0) > 0, "no household was held")


def a_range_surrounds_its_price(world):
    for document in (world.base.json("simulate"), world.base.json("simulate", "--set", "loyalty_points.max_per_day=50")):
        for result in [document["base"], *document["scenarios"]]:
            for name, p in result["prices"].items():
                if p["limit"] is not None:
                    expect(p["price_low"] <= p["price"] <= p["price_high"], f"{name}: {p}")
                    same(p["binding"], p["price"] > 0, name)


def what_is_set_as_it_was_changes_nothing(world):
    limits = world.base.json("simulate")["base"]["prices"]
    sets = []
    for name, p in limits.items():
        if p["limit"] is not None:
            sets += ["--set", f"{name}={p['limit']}"]
    scenario = world.base.json("simulate", *sets, "--set", "family_plan.enabled=true")["scenarios"][0]
    same(scenario["difference"]["value"], 0, "value")
    same(scenario["difference"]["changed_customers"], 0, "customers")


def a_scenario_is_worth_what_a_run_under_its_limits_is(world):
    other = world.fresh.copy(world.path("other"))
    edit(other, "treatments/loyalty_points.yaml", r"^max_per_day: .*$", "max_per_day: 37")
    edit(other, "constraints.yaml", r"limit: 60\b", "limit: 0")
    edit(other, "treatments/early_upgrade.yaml", r"^max_per_day: .*$", "max_per_day: 11")
    other.cvm("apply", "--quiet")
    wanted = other.json("run", "--as-of", DAY)["summary"]
    sets = ["--set", "loyalty_points.max_per_day=37", "--set", "early_upgrade.max_per_day=11", "--set",
            "call_centre_minutes=0"]
    found = world.base.json("simulate", *sets)["scenarios"][0]
    same(found["prices"]["call_centre_minutes"]["limit"], 0, "minutes")
    # Two plans with proofs: neither can be better than the other's bound.
    expect(found["value"] <= wanted["dual_bound"] * (1 + 1e-9), f"{found['value']} above {wanted['dual_bound']}")
    expect(wanted["total_value"] <= found["dual_bound"] * (1 + 1e-9), f"{wanted['total_value']} above {found['dual_bound']}")
    expect(found["gap"] < 0.01, f"gap {found['gap']}")
    same(found["by_treatment"]["early_upgrade"], 11, "upgrades")
    same(found["by_treatment"]["loyalty_points"], 37, "points")


def differences_add_up(world):
    document = world.base.json("simulate", "--set", "loyalty_points.max_per_day=300", "--set", "data_boost.enabled=false")
    base, scenario = document["base"], document["scenarios"][0]
    difference = scenario["difference"]
    same(scenario["by_treatment"]["data_boost"], 0, "a treatment that is off")
    same(difference["by_treatment"]["data_boost"]["treated"], -base["by_treatment"]["data_boost"], "it goes")
    expect(scenario["by_treatment"]["loyalty_points"] > 100, "more of what there is more of")
    for part in ("by_treatment", "by_segment"):
        same(sum(d["treated"] for d in difference[part].values()), difference["treated"], part)
        value = sum(d["value"] for d in difference[part].values())
        expect(abs(value - difference["value"]) < 1e-6, f"{part}: {value} {difference['value']}")
    same(scenario["treated"] - base["treated"], difference["treated"], "treated")


def scenarios_do_not_disturb_each_other(world):
    more = ["--scenario", "more", "--set", "loyalty_points.max_per_day=300", "--set", "budget=5000"]
    less = ["--scenario", "less", "--set", "loyalty_points.max_per_day=10"]
    def results(*arguments):
        found = world.base.json("simulate", "latest", *arguments)["scenarios"]
        return {s.pop("name"): (s.pop("seconds"), s)[1] for s in found}
    together = results(*more, *less)
    same(together, results(*less, *more), "another order")
    same({"less": together["less"]}, results(*less), "alone")
    same(together, results(*more, *less, "--threads", "1"), "one thread")
    same(together["more"]["set"], {"loyalty_points.max_per_day": 300, "budget": 5000}, "what was set")


def a_file_says_the_same_as_the_line(world):
    line = ["--scenario", "a", "--set", "loyalty_points.max_per_day=30", "--scenario", "b", "--set",
            "call_centre_minutes=unlimited"]
    texts = {
        "s.yaml": "a:\n  loyalty_points.max_per_day: 30\nb: {call_centre_minutes: unlimited}\n",
        "s.json": json.dumps({"a": {"loyalty_points.max_per_day": 30}, "b": {"call_centre_minutes": "unlimited"}}, indent="\t"),
    }
    wanted = world.base.json("simulate", *line)["scenarios"]
    for name, text in texts.items():
        with open(world.path(name), "w", encoding="utf-8") as stream:
            stream.write(text)
        found = world.base.json("simulate", "--scenarios", world.path(name))["scenarios"]
        for scenario in found + wanted:
            scenario["seconds"] = 0
        same(found, wanted, name)


def a_sweep_is_a_curve_that_flattens(world):
    document = world.base.json("simulate", "--sweep", "loyalty_points.max_per_day=0:300:20")
    points = document["sweep"]["points"]
    same([p["limit"] for p in points], list(range(0, 301, 20)), "limits")
    for before, after in zip(points, points[1:]):
        expect(after["dual_bound"] >= before["dual_bound"] - 1e-9, f"bound: {before} {after}")
        expect(after["price"] <= before["price_high"] + 1e-9, f"price: {before} {after}")
    base = [p for p in points if p["limit"] == 100][0]
    same((base["value"], base["price"]), (document["base"]["value"], document["base"]["prices"][
        "loyalty_points.max_per_day"]["price"]), "the run is one of its points")
    same(document["scenarios"], [], "no scenarios")


def what_is_set_beside_a_sweep_holds_at_every_point(world):
    sweep = world.base.json("simulate", "--sweep", "budget=20:40:20", "--set", "loyalty_points.max_per_day=0")["sweep"]
    for point in sweep["points"]:
        single = world.base.json("simulate", "--set", f"budget={point['limit']}", "--set", "loyalty_points.max_per_day=0")
        same(single["scenarios"][0]["value"], point["value"], point["limit"])
        expect(point["used"] <= point["limit"], point)


def a_sweep_as_csv_and_as_a_picture(world):
    arguments = ("simulate", "--sweep", "incentive_budget=0:60:7.5")
    points = world.base.json(*arguments)["sweep"]["points"]
    rows = list(csv.DictReader(io.StringIO(world.base.cvm(*arguments, "--csv", "-").out)))
    same([float(r["value"]) for r in rows], [p["value"] for p in points], "values")
    same([float(r["price"]) for r in rows], [p["price"] for p in points], "prices")
    same([r["binding"] == "1" for r in rows], [p["binding"] for p in points], "binding")
    path = world.path("sweep.svg")
    same(world.base.cvm(*arguments, "--svg", path).out, f"Wrote {path}\n", "said")
    root = xml.etree.ElementTree.parse(path).getroot()
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    same([len(line.get("points").split()) for line in lines], [len(points)] * 2, "curves")
    texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    expect("the run" in texts and any("incentive_budget" in t for t in texts), texts)


def groups_can_be_set(world):
    found = world.hard.json("simulate", "--scenario", "few", "--set", "few_prepaid=5", "--scenario", "much", "--set",
                            "unhappy=100000", "--scenario", "share", "--set", "converged_share=0.25", "--scenario", "all",
                            "--set", "dear=100")["scenarios"]
    few, much, share, reserve = found
    expect(few["by_segment"]["prepaid"] <= 5 and few["feasible"], few["by_segment"])
    expect(not much["feasible"] and much["prices"]["unhappy"]["shortfall"] > 0, much["prices"]["unhappy"])
    expect(much["infeasible"] and "unhappy" in much["infeasible"][0]["message"], much["infeasible"])
    same(few["infeasible"], [], "what is reached")
    text = world.hard.cvm("simulate", "--set", "unhappy=100000").out
    expect("Not reached: " in text and "way out" in text, text)
    expect(share["prices"]["converged_share"]["used"] >= 0.25, share["prices"]["converged_share"])
    same(reserve["prices"]["dear"]["available"], 0, "nothing is left of the capacity for the others")


def what_others_used_of_the_day_stays_used(world):
    day = world.fresh.copy(world.path("day"))
    some = ",".join(c for c, in day.query("SELECT customer_id FROM customer ORDER BY 1 LIMIT 700"))
    first = day.json("run", "--as-of", DAY, "--customers", some)
    second = day.json("run", "--as-of", DAY)
    document = day.json("simulate", second["run_id"], "--set", "loyalty_points.max_per_day=1000")
    is_plan_of(document, second["summary"])
    gone = first["summary"]["by_treatment"]["loyalty_points"]
    expect(0 < gone < 100, f"{gone} before")
    same(document["scenarios"][0]["prices"]["loyalty_points.max_per_day"]["available"], 1000 - gone, "available")
    is_plan_of(day.json("simulate", first["run_id"]), first["summary"])


def nothing_is_stored(world):
    cvm_program.only_on_sqlite("a file whose bytes are compared")

    def digest():
        with open(world.base.databases[0], "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    before = digest()
    world.base.json("simulate", "--set", "budget=1", "--sweep", "loyalty_points.max_per_day=0:10:5")
    same(digest(), before, "the store")


def a_name_that_is_not_there_has_a_nearest_one(world):
    for setting, hint in (
        ("marketing_call_bak.max_per_day=3", "marketing_call_back.max_per_day"),
        ("marketing_call_back.max_per_dai=3", "marketing_call_back.max_per_day"),
        ("incentive_budgt=3", "incentive_budget"),
        ("nothing_like_it=3", "cvm capacity show"),
        ("family_plan.cost=3", "cvm run --dry-run"),
    ):
        error = world.base.json("simulate", "--set", setting, allowed=(2,))["error"]
        expect(hint in error["hint"], f"{setting}: {error}")


def mistakes_of_the_command_line_are_usage_errors(world):
    for arguments in (
        ["--set", "budget"],
        ["--set", "=3"],
        ["--set", "budget=much"],
        ["--set", "budget=-1"],
        ["--set", "budget=1e30"],
        ["--set", "loyalty_points.max_per_day=1.5"],
        ["--set", "loyalty_points.enabled=no"],
        ["--scenario", "a", "--set", "budget=1", "--scenario", "a", "--set", "budget=2"],
        ["--sweep", "budget=0:10"],
        ["--sweep", "budget=10:0:1"],
        ["--sweep", "budget=0:10:0"],
        ["--sweep", "budget=0:1000000:1"],
        ["--sweep", "nothing=0:10:1"],
        ["--sweep", "budget=0:10:1", "--scenario", "a"],
        ["--csv", "x.csv"],
        ["--sweep", "budget=0:10:5", "--svg", "-"],
    ):
        world.base.json("simulate", *arguments, allowed=(2,))
    with open(world.path("bad.yaml"), "w", encoding="utf-8") as stream:
        stream.write("a:\n  budget: 3\n  bugdet: 4\n")
    error = world.base.json("simulate", "--scenarios", world.path("bad.yaml"), allowed=(2,))["error"]
    expect(error["where"].endswith("bad.yaml:3"), error)


def a_run_without_values_is_refused(world):
    other = world.base.copy(world.path("refused"))
    other.json("simulate", "nothing", allowed=(1,))
    forced = other.json("run", "--as-of", "2024-03-21", "--treatment", "retention_sms")["run_id"]
    error = other.json("simulate", forced, allowed=(1,))["error"]
    expect("asked for one treatment" in error["message"], error)
    edit(other, "treatments/family_plan.yaml", r"^enabled: true$", "enabled: false")
    other.cvm("apply", "--quiet")
    off = other.json("run", "--as-of", "2024-03-22")["run_id"]
    error = other.json("simulate", off, "--set", "family_plan.enabled=true", allowed=(2,))["error"]
    expect("not enabled in the run" in error["message"], error)
    other.change("DELETE FROM value_block")
    error = other.json("simulate", world.run["run_id"], allowed=(1,))["error"]
    expect("keeps no values" in error["message"], error)


def people_see_what_changes(world):
    text = world.base.cvm("simulate", "--set", "loyalty_points.max_per_day=300").out
    for words in ("Nothing is stored.", "the run", "== loyalty_points.max_per_day=300 ==", "Loyalty Points", "+", "price in run"):
        expect(words in text, f"no '{words}' in\n{text}")
    text = world.base.cvm("simulate", "--sweep", "loyalty_points.max_per_day=0:100:50").out
    same(len(text.strip().split("\n")), 3 + 3, "a line per point")


# ---- the driver ----

HELPERS = {"expect", "same", "World", "edit", "prices_of", "is_plan_of", "main"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-simulate-") as folder:
        world = World(program, folder)
        return cvm_program.run_rules(cvm_program.rules_of(globals(), HELPERS), lambda: world, words)


if __name__ == "__main__":
    sys.exit(main())
