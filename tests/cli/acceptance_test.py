#!/usr/bin/env python3
"""What a stranger would check: the contracts of the command line from outside, on the proof of concept's customers in
small and on a generated base: CVM [WORD...]

Each rule is a function whose name states it; WORDs choose those whose names contain one. commands_test.py has the shapes,
poc_test.py the cases, bad_input_test.py the bad input; this file has what crosses several commands or processes.
"""

import json
import os
import random
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = os.environ.get("CVM_SHARED") or os.path.join(HERE, "..", "..", "..", "shared")
DAY = "2026-03-02"
CUSTOMERS = 300


class World(cvm_program.World):
    def write(self, name, document):
        with open(self.path(name), "w", encoding="utf-8") as stream:
            json.dump(document, stream)
        return self.path(name)

    def run(self, *arguments, code=0):
        """The run's document, and its file's entries by customer."""
        out = self.path("out.json")
        document = self.json("run", "--as-of", DAY, "--out", out, *arguments, allowed=(code,))
        with open(out, encoding="utf-8") as stream:
            entries = json.load(stream)["results"]
        same(len({e["customer_id"] for e in entries}), len(entries), "one entry a customer")
        return document, {e["customer_id"]: e for e in entries}

    def capacity(self):
        return self.json("capacity", "show", "--as-of", DAY)

    def explained(self, customer):
        return self.json("explain", "latest", customer)["treatments"]

    def all_at_once(self, count, *arguments):
        """Results of the same command in several processes."""
        command = [*self.deployment.command(*arguments), "--json"]
        children = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            for _ in range(count)
        ]
        return [(json.loads(c.communicate(timeout=120)[0]), c.returncode) for c in children]


# ---- the command line ----


def an_option_without_its_value_is_named(world):
    for arguments in (["run", "--as-of", "--json"], ["run", "--json", "--as-of"], ["run", "--out", "--all", "--json"]):
        error = cvm_program.run([world.program, *arguments], allowed=(2,)).document["error"]
        expect("needs a value" in error["message"], str(error))


def half_a_command_names_the_whole_ones(world):
    for word, second in (("plan", "show"), ("audit", "list"), ("treatment", "import")):
        error = cvm_program.run([world.program, word, "--json"], allowed=(2,)).document["error"]
        expect(f"cvm {word}" in error["hint"] and second in error["hint"], str(error))
        expect(cvm_program.run([world.program, word, "--help"]).out, "help")


def no_command_is_a_document_too(world):
    same(cvm_program.run([world.program, "--json"], allowed=(2,)).document["error"]["status"], "invalid", "status")
    expect(cvm_program.run([world.program, "-h"]).out, "-h is --help")


def an_empty_list_is_a_usage_error_everywhere(world):
    for arguments in (["run", "--customers", ","], ["run", "--allowed", ""], ["decide", "C0000000001", "--allowed", ""]):
        same(world.json(*arguments, allowed=(2,))["error"]["status"], "invalid", str(arguments))


def what_is_not_for_a_terminal_has_no_escapes_and_quiet_has_no_hints(world):
    for arguments in (["run", "--as-of", DAY, "--dry-run"], ["treatment", "list"], ["import", world.folder]):
        result = world.cvm(*arguments, allowed=(0, 3))
        expect("\x1b" not in result.out + result.err, str(arguments))
    same(world.cvm("run", "--as-of", DAY, "--quiet").err, "", "standard error of a quiet run")


def a_reader_that_leaves_early_is_no_crash(world):
    for arguments in (["customer", "list"], ["journey", "C0000000001", "--as-of", DAY], ["treatment", "list", "--json"]):
        child = subprocess.Popen(world.deployment.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        child.stdout.read(1)
        child.stdout.close()
        expect(child.wait(timeout=60) in (0, 1), f"{arguments}: exit {child.returncode}")
        child.stderr.close()


def paths_are_those_of_the_caller_and_of_the_configuration(world):
    above = os.path.dirname(world.folder)
    name = os.path.basename(world.folder)
    for arguments in (["--config", f"{name}/cvm.yaml"], ["--store", world.deployment.url if cvm_program.SERVER else f"sqlite:{name}/cvm.db"]):
        result = subprocess.run(
            [world.program, "customer", "list", "--json", *arguments], cwd=above, capture_output=True, check=True
        )
        same(len(json.loads(result.stdout)["customers"]), 100, str(arguments))


# ---- runs ----


def a_path_that_can_not_be_written_decides_nothing(world):
    before = world.capacity()
    for path in (world.path("nowhere", "x.json"), world.path("folder.json")):
        os.makedirs(world.path("folder.json"), exist_ok=True)
        error = world.json("run", "--as-of", DAY, "--out", path, allowed=(1,))["error"]
        expect(path in error["message"], str(error))
    same(world.json("plan", "list")["plans"], [], "plans")
    same(world.capacity(), before, "capacity")
    expect(not os.path.exists(world.path("nowhere")), "nothing is left")


def a_failed_check_of_the_path_leaves_no_file_and_a_good_one_no_trace(world):
    out = world.path("new.json")
    world.json("run", "--as-of", "2034-03-02", "--out", out, allowed=(1,))
    expect(not os.path.exists(out), "an empty result file")


def an_empty_store_is_an_error_and_no_plan(world):
    empty = cvm_program.Deployment.create(world.program, world.path("empty"), 1000)
    error = empty.json("run", allowed=(1,))["error"]
    expect("cvm import" in error["hint"], str(error))
    same([p for p in empty.json("plan", "list")["plans"] if p["state"] == "done"], [], "plans")


def a_file_of_a_run_whose_values_are_gone_is_an_error_and_not_an_empty_file(world):
    first, entries = world.run("--all")
    again, found = world.run("--all")
    same((again["reused"], found), (True, entries), "as long as they are kept")
    for seed in range(2, 6):
        world.json("run", "--as-of", DAY, "--seed", seed)
    out = world.path("late.json")
    error = world.json("run", "--as-of", DAY, "--out", out, allowed=(1,))["error"]
    expect(first["run_id"] in error["message"] and "--replace" in error["hint"], str(error))
    expect(not os.path.exists(out), "no file")
    same(world.json("run", "--as-of", DAY)["summary"]["plan_digest"], first["summary"]["plan_digest"], "the summary")


def who_is_asked_for_twice_is_decided_once(world):
    document, entries = world.run("--customers", "C0000000001,nobody,C0000000001,nobody", code=3)
    same((document["summary"]["total_processed"], document["summary"]["failed"]), (2, 1), "counts")
    same(sorted(entries), ["C0000000001", "nobody"], "entries")
    again, _ = world.run("--customers", "nobody,C0000000001", code=3)
    same((again["run_id"], again["reused"]), (document["run_id"], True), "the same selection in another order")


def a_result_file_tells_who_was_refused_what_was_asked(world):
    document, entries = world.run("--treatment", "marketing_call_back")
    summary = document["summary"]
    same(len(entries), summary["total_processed"], "entries")
    given = [e for e in entries.values() if e["selected_treatment"] != "ignore"]
    same({e["selected_treatment"] for e in given}, {"marketing_call_back"}, "treatments")
    same(len(given), summary["by_treatment"]["marketing_call_back"], "given")
    expect(all(e["reason"] for e in entries.values()), "a reason each")
    values = [e["value"] for e in given]
    refused = [e for e in entries.values() if e["reason"] == "no_capacity"]
    expect(values and refused, "some are given and capacity ends")
    expect(any("no_consent" in e["reason"] for e in entries.values()), "consent is never skipped")


def a_summary_adds_up(world):
    document, entries = world.run("--all")
    summary = document["summary"]
    treated = [e for e in entries.values() if e["selected_treatment"] != "ignore"]
    same((len(entries), summary["successful"], summary["failed"]), (CUSTOMERS, CUSTOMERS, 0), "customers")
    expect(abs(sum(e["value"] for e in treated) - summary["total_value"]) < 1e-6, "value")
    expect(summary["total_value"] <= summary["dual_bound"] + 1e-6, "bound")
    for treatment, count in summary["by_treatment"].items():
        same(sum(e["selected_treatment"] == treatment for e in entries.values()), count, treatment)
    for name, state in summary["constraints_final_state"].items():
        if "max_per_day" in state:
            same(state["max_per_day"] - summary["by_treatment"].get(name, 0), state["remaining_availability"], name)
        expect(state["shadow_price"] >= 0, f"{name}: {state}")
    for entry in treated:
        margin = entry["value"] - entry["price"]
        expect(margin > -1e-6, f"below its price: {entry}")
    pairs = [(e["customer_id"], e["selected_treatment"]) for e in treated]
    same(summary["plan_digest"], cvm_program.plan_digest(pairs), "digest")


def no_number_of_runs_takes_more_than_there_is(world):
    for seed in range(1, 5):
        world.json("run", "--as-of", DAY, "--seed", seed, *(["--treatment", "retention_sms"] if seed % 2 else []))
        world.json("run", "--as-of", DAY, "--seed", seed + 10, *(["--replace"] if seed > 2 else []))
        document = world.capacity()
        for kind in ("treatments", "resources", "budgets"):
            for name, row in document[kind].items():
                expect(row["held"] + row["confirmed"] <= row["granted"] + 1e-9, f"{name}: {row}")
                expect(abs(row["granted"] - row["held"] - row["confirmed"] - row["remaining"]) < 1e-6, f"{name}: {row}")
        live = world.deployment.query(cvm_program.LIVE_DECISIONS, (day_number(DAY),))
        same(len({c for c, _ in live}), len(live), "one live decision a customer")
        for name, row in document["treatments"].items():
            same(sum(t == name for _, t in live), row["confirmed"], f"{name} confirmed")


def day_number(text):
    import datetime

    return cvm_program.day_number(datetime.date.fromisoformat(text))


def what_a_withdrawn_decision_used_comes_back_by_the_catalogue_it_was_made_with(world):
    folder = world.path("catalogue", "treatments")
    world.json("run", "--as-of", DAY)
    world.json("decide", "C0000000002", "--as-of", DAY)
    document = world.capacity()
    used = {n for n, r in document["treatments"].items() if r["confirmed"] > 0}
    expect(len(used) > 3 and document["resources"]["call_centre_minutes"]["confirmed"] > 0, f"{used}")
    os.unlink(os.path.join(folder, next(n for n in sorted(used) if "call" not in n) + ".yaml"))
    for name in ("marketing_call_back", "service_call_back"):  # calls take twice as long from now on
        path = os.path.join(folder, name + ".yaml")
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        changed = re.sub(r"(call_centre_minutes: )(\d+)", lambda m: m[1] + str(2 * int(m[2])), text)
        expect(changed != text, path)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(changed)
    world.json("apply")
    world.json("run", "--as-of", DAY, "--replace", "--allowed", "ignore")
    document = world.capacity()
    for kind in ("treatments", "resources", "budgets"):
        for name, row in document[kind].items():
            same((row["held"], row["confirmed"]), (0, 0), name)


def replacing_some_customers_takes_nothing_from_the_others(world):
    _, entries = world.run()
    first, second = sorted(entries)[:2]
    world.json("run", "--as-of", DAY, "--replace", "--customers", f"{first},nobody", "--allowed", "ignore", allowed=(3,))
    live = dict(world.deployment.query(cvm_program.LIVE_DECISIONS, (day_number(DAY),)))
    expect(first not in live and second in live, "withdrawn and kept")
    same(len(live), len(entries) - 1, "live decisions")
    for name, row in world.capacity()["treatments"].items():
        same(sum(t == name for t in live.values()), row["confirmed"], name)


# ---- one customer ----


def somebody(world, claim):
    """A customer whose explained treatments the claim holds of."""
    world.json("run", "--as-of", DAY)
    ids = [r[0] for r in world.deployment.query("SELECT customer_id FROM decision ORDER BY customer_id")]
    for customer in ids:
        treatments = world.explained(customer)
        if claim(treatments):
            world.json("run", "--as-of", DAY, "--replace", "--allowed", "ignore")
            return customer, treatments
    raise cvm_program.Skip("nobody is like that")


def the_treatment_that_is_asked_for_is_given_also_where_another_is_better(world):
    customer, treatments = somebody(world, lambda ts: sum(t["eligible"] and t["margin"] > 0 for t in ts) >= 2)
    ordered = sorted((t for t in treatments if t["eligible"]), key=lambda t: -t["margin"])
    asked = ordered[1]["treatment"]
    entry = world.json("decide", customer, "--as-of", DAY, "--treatment", asked)
    same((entry["selected_treatment"], entry["reason"]), (asked, "forced"), customer)
    same(world.capacity()["treatments"][asked]["confirmed"], 1, "confirmed")


def the_treatment_that_is_refused_is_not_replaced_unasked(world):
    customer, treatments = somebody(
        world,
        lambda ts: any(t["reason"] == "no_consent" for t in ts) and any(t["eligible"] and t["margin"] > 0 for t in ts),
    )
    asked = next(t["treatment"] for t in treatments if t["reason"] == "no_consent")
    before = world.capacity()
    entry = world.json("decide", customer, "--as-of", DAY, "--treatment", asked)
    same((entry["selected_treatment"], entry["reason"]), ("ignore", "no_consent"), customer)
    expect(entry["alternatives"], "what could be given is told")
    same(world.capacity(), before, "capacity")


def the_decision_of_a_run_comes_back_to_who_asks_for_one(world):
    _, entries = world.run()
    entry = next(iter(entries.values()))
    before = world.capacity()
    found = world.json("decide", entry["customer_id"], "--as-of", DAY)
    for key in ("selected_treatment", "decision_id", "value", "price", "reason"):
        same(found[key], entry[key], key)
    other = next(t for t in world.capacity()["treatments"] if t != entry["selected_treatment"])
    for arguments in (["--treatment", other], ["--allowed", other]):
        found = world.json("decide", entry["customer_id"], "--as-of", DAY, *arguments)
        same((found["selected_treatment"], found["reason"]), ("ignore", "already_decided"), str(arguments))
    same(world.capacity(), before, "capacity")


# ---- several processes ----


def imports_at_once_store_everything_once(world):
    folder = world.path("in")
    world.json("generate", "--customers", 100, "--seed", 99, "--until", DAY, "--out", folder)
    other = cvm_program.Deployment.create(world.program, world.path("other"), 1000)
    reports = World(other).all_at_once(3, "import", folder)
    same({code for _, code in reports}, {0}, "exit")
    records = reports[0][0]["read"]
    same(sorted(r["stored"] for r, _ in reports), [0, 0, records], "stored")
    same(other.query("SELECT count(*) FROM event")[0][0] <= records, True, "events")


def runs_at_once_are_one_run(world):
    documents = [d for d, _ in world.all_at_once(3, "run", "--as-of", DAY)]
    same(len({d["run_id"] for d in documents}), 1, "runs")
    same(sorted(d["reused"] for d in documents), [False, True, True], "done once")
    same(len({d["summary"]["plan_digest"] for d in documents}), 1, "digests")


# ---- import and worlds ----


def a_changed_record_is_a_version_and_the_order_of_keys_is_none(world):
    record = {"customer_id": "V1", "date": "2026-02-20", "churn_probability": 0.4, "customer_lifetime_months": 5}
    world.json("import", world.write("churn_score.json", [record]))
    turned = dict(reversed(list(record.items())))
    report = world.json("import", world.write("churn_score.json", [turned]))
    same((report["stored"], report["duplicate"]), (0, 1), "another order of keys")
    report = world.json("import", world.write("churn_score.json", [{**record, "churn_probability": 0.7}]))
    same((report["stored"], report["changed"]), (1, 1), "another content")
    document = world.json("journey", "V1", "--as-of", DAY)
    same((document["total_events"], document["metrics"]["churn_risk"]), (1, 0.7), "the newest version counts")


def shuffled_files_are_the_same_base(world):
    straight, shuffled = world.path("straight"), world.path("shuffled")
    world.json("generate", "--customers", 200, "--seed", 5, "--until", DAY, "--out", straight)
    order = random.Random(3)
    os.mkdir(shuffled)
    for name in os.listdir(straight):
        with open(os.path.join(straight, name), encoding="utf-8") as stream:
            lines = stream.readlines()
        order.shuffle(lines)
        with open(os.path.join(shuffled, name), "w", encoding="utf-8") as stream:
            stream.writelines(lines)
    found = []
    for name, source in (("a", straight), ("b", shuffled), ("c", None)):
        base = cvm_program.Deployment.create(world.program, world.path(name), 1000)
        if source is None:
            base.json("generate", "--customers", 200, "--seed", 5, "--until", DAY)
        else:
            base.json("import", source)
        journeys = [base.json("journey", f"C000000000{i}", "--as-of", DAY) for i in range(3)]
        found.append((base.json("run", "--as-of", DAY)["summary"]["plan_digest"], journeys))
    expect(found[0] == found[1], "shuffled")
    expect(found[0] == found[2], "straight into the store")


def the_same_seed_is_the_same_world(world):
    files = {}
    for name, threads in (("one", 1), ("two", 2)):
        world.json(
            "generate", "--customers", 200, "--seed", 5, "--until", DAY, "--threads", threads,
            "--out", world.path(name), "--truth", world.path(name + ".csv"),
        )  # fmt: skip
        files[name] = {f: open(world.path(name, f), "rb").read() for f in sorted(os.listdir(world.path(name)))}
        files[name]["truth"] = open(world.path(name + ".csv"), "rb").read()
    expect(files["one"] == files["two"], "files")
    header = files["one"]["truth"].split(b"\n", 1)[0].decode().split(",")
    for column in ("customer_id", "treatment", "churn", "reach", "accept", "value"):
        expect(column in header, f"truth has {header}")


def telco_churn_goes_through_the_whole_main_job(world):
    path = os.path.join(SHARED, "data", "telco_churn", "Telco-Customer-Churn.csv")
    if not os.path.exists(path):
        raise cvm_program.Skip(f"there is no {path}")
    base = cvm_program.Deployment.create(world.program, world.path("telco"), 7000)
    report = base.json("import", path, "--mapping", "telco_churn")
    same((report["read"], report["stored"], report["rejected"], report["customers"]), (7043, 7043, 0, 7043), "import")
    same(base.json("import", path, "--mapping", "telco_churn")["duplicate"], 7043, "again")
    summary = base.json("run", "--as-of", DAY)["summary"]
    same((summary["total_processed"], summary["failed"]), (7043, 0), "run")
    expect(summary["refusals"]["no_consent_record"] > 0, "no permissions, no contact")
    expect(summary["treated"] > 0, "what needs no contact is given")
    customer = base.query("SELECT customer_id FROM decision LIMIT 1")[0][0]
    expect(base.json("journey", customer, "--as-of", DAY)["features"]["tenure_months"] is not None, "attributes")
    same(base.json("explain", "latest", customer)["customer_id"], customer, "explain")


# ---- treatments ----


def case_53_a_treatment_of_today_is_usable_at_once(world):
    path = world.write(
        "gift.json",
        {
            "treatments": {
                "gift_mail": {"display_name": "Gift", "description": "A gift", "channel": "email", "type": "service"}
            },
            "constraints": {"gift_mail": {"max_per_day": 5, "cost_per_contact": 0.1, "priority": 2}},
        },
    )
    same(world.json("treatment", "import", path)["changed"], True, "import")
    document, _ = world.run("--treatment", "gift_mail")
    same(document["summary"]["by_treatment"]["gift_mail"], 5, "given until capacity ends")
    row = world.capacity()["treatments"]["gift_mail"]
    same((row["max_per_day"], row["confirmed"], row["remaining"]), (5, 5, 0), "counted")
    world.json("run", "--as-of", DAY, "--replace")
    expect("gift_mail" in world.json("plan", "show", "latest")["summary"]["constraints_final_state"], "automatic too")


def what_changes_the_store_is_audited(world):
    world.json("run", "--as-of", DAY)
    world.json("capacity", "reset", "--as-of", DAY)
    rows = world.json("audit", "list", "--limit", 100)["audit"]
    same({"catalogue", "import", "plan", "capacity"} - {r["action"] for r in rows}, set(), "actions")
    expect(all(r["who"].startswith("cli:") and r["at"] and r["why"] for r in rows), str(rows[0]))


# ---- the driver ----

HELPERS = {"expect", "same", "main", "somebody", "day_number"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-acceptance-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), 1000)
        template.json("generate", "--customers", CUSTOMERS, "--until", DAY)
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
