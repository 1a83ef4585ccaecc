#!/usr/bin/env python3
"""Every command: exit codes, shapes of --json, what is shown to people, on a generated base: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

DAY = "2026-03-02"
NEXT_DAY = "2026-03-03"
CUSTOMERS = 300
TREATMENTS = 11


def has(document, *keys):
    for key in keys:
        expect(key in document, f"no '{key}' in {sorted(document)}")


class World(cvm_program.World):
    def edit(self, name, before, after):
        with open(self.path(name), encoding="utf-8") as stream:
            text = stream.read()
        expect(before in text, f"no '{before}' in {name}")
        with open(self.path(name), "w", encoding="utf-8") as stream:
            stream.write(text.replace(before, after))


# ---- the door ----


def help_and_version_are_success_and_nothing_is_a_usage_error(world):
    for arguments in (["--help"], ["help"], ["help", "run"], ["run", "--help"], ["--version"]):
        result = cvm_program.run([world.program, *arguments])
        expect(result.out and not result.err, f"{arguments}: {result}")
    result = cvm_program.run([world.program], allowed=(2,))
    expect("Commands:" in result.err and not result.out, f"help on standard error: {result}")


def every_command_has_help_with_its_own_options(world):
    overview = cvm_program.run([world.program, "--help"]).out
    commands = re.findall(r"^  ([a-z-]+(?: [a-z]+)?)  +[A-Z]", overview.split("Commands:")[1].split("First steps")[0], re.M)
    expect(len(commands) >= 23, f"commands: {commands}")
    for command in commands:
        text = cvm_program.run([world.program, *command.split(), "--help"]).out
        expect(f"Usage: cvm {command}" in text, text)


def without_a_deployment_the_hint_names_init(world):
    folder = world.path("empty")
    os.mkdir(folder)
    result = subprocess.run([world.program, "run", "--json"], cwd=folder, capture_output=True, text=True, check=False)
    same(result.returncode, 1, "exit")
    expect("cvm init" in json.loads(result.stdout)["error"]["hint"], result.stdout)


def init_overwrites_nothing(world):
    before = open(world.path("cvm.yaml"), encoding="utf-8").read()
    error = json.loads(cvm_program.run([world.program, "init", world.folder, "--json"], allowed=(1,)).out)["error"]
    same(error["status"], "conflict", "status")
    expect("cvm.yaml" in error["message"], error["message"])
    same(open(world.path("cvm.yaml"), encoding="utf-8").read(), before, "cvm.yaml")


def init_scales_capacities(world):
    for customers, calls in ((100000, 100), (1000000, 1000)):
        folder = world.path(f"base{customers}")
        document = json.loads(cvm_program.run([world.program, "init", folder, "--customers", customers, "--json"]).out)
        has(document, "config", "catalogue", "store", "customers", "catalogue_version")
        listed = cvm_program.Deployment(world.program, folder).json("treatment", "list")["treatments"]
        limits = {t["id"]: t["constraints"]["max_per_day"] for t in listed}
        same((limits["marketing_call_back"], limits["ignore"]), (calls, None), f"{customers} customers")


def a_store_can_be_named_instead_of_a_configuration(world):
    url = world.deployment.url
    folder = world.path("elsewhere")
    os.mkdir(folder)
    result = subprocess.run(
        [world.program, "customer", "list", "--store", url, "--json"], cwd=folder, capture_output=True, check=True
    )
    same(len(json.loads(result.stdout)["customers"]), 100, "customers")


def unknown_keys_of_the_wiring_are_errors(world):
    world.edit("cvm.yaml", "keep_runs:", "keep_rums:")
    error = world.json("customer", "list", allowed=(1,))["error"]
    expect("keep_rums" in error["message"] and "cvm.yaml:" in error["where"], str(error))


def json_errors_are_one_document_also_for_a_wrong_command_line(world):
    for arguments in (["rnu", "--json"], ["run", "--nope", "--json"], ["run", "--seed", "x", "--json"]):
        result = cvm_program.run([world.program, *arguments], allowed=(2,))
        has(result.document["error"], "status", "message", "where", "hint")
        same(result.document["error"]["status"], "invalid", str(arguments))


def standard_output_that_can_not_be_written_is_a_failure(world):
    if not os.path.exists("/dev/full"):
        return
    with open("/dev/full", "w", encoding="utf-8") as full:
        command = world.deployment.command("customer", "list", "--json")
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    same(result.returncode, 1, "exit")


def an_interrupt_ends_with_an_error_and_the_store_goes_on(world):
    command = world.deployment.command("generate", "--customers", "2000000", "--until", DAY)
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not world.deployment.is_written() and child.poll() is None:
        time.sleep(0.001)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    same(child.returncode in (1, -signal.SIGINT), True, f"exit {child.returncode} {err}")
    same(world.json("generate", "--customers", CUSTOMERS, "--until", DAY)["rejected"], 0, "afterwards")


# ---- catalogue ----


def apply_shows_the_difference_and_makes_a_version(world):
    same(world.json("apply")["changed"], False, "unchanged")
    world.edit("catalogue/treatments/retention_email.yaml", "cost: 0.003", "cost: 0.004")
    expect("differs" in world.cvm("treatment", "list").err, "other commands warn")
    difference = world.json("catalogue", "diff")["changes"]
    document = world.json("apply")
    has(document, "folder", "version", "digest", "changed", "changes")
    same((document["version"], document["changed"], document["changes"]), (2, True, difference), "apply")
    same((difference[0]["before"], difference[0]["after"]), ("0.003", "0.004"), "change")
    same(world.cvm("treatment", "list").err, "", "no warning any more")
    shown = world.json("catalogue", "show")
    has(shown, "version", "digest", "author", "created_at", "counts")
    same((shown["version"], shown["digest"]), (2, document["digest"]), "show")
    expect(shown["author"].startswith("cli:"), shown["author"])


def a_catalogue_with_a_mistake_changes_nothing(world):
    world.edit("catalogue/treatments/retention_email.yaml", "cost:", "coast:")
    error = world.json("apply", allowed=(1,))["error"]
    expect("retention_email.yaml:" in error["where"] and "coast" in error["message"], str(error))
    same(world.json("catalogue", "show")["version"], 1, "version")


def an_export_is_what_was_applied(world):
    folder = world.path("exported")
    same(world.json("catalogue", "export", folder)["version"], 1, "version")
    same(world.json("catalogue", "diff", folder)["changes"], [], "difference")
    same(world.json("apply", folder)["changed"], False, "applying it")
    same(world.json("catalogue", "export", folder, allowed=(1,))["error"]["status"], "conflict", "again")


# ---- customers ----


def customers_are_listed_in_pages(world):
    found, cursor = [], None
    while True:
        document = world.json("customer", "list", "--limit", 70, *(["--cursor", cursor] if cursor else []))
        found += [c["customer_id"] for c in document["customers"]]
        cursor = document["next_cursor"]
        if cursor is None:
            break
    same((len(found), len(set(found))), (CUSTOMERS, CUSTOMERS), "customers")
    world.json("customer", "list", "--cursor", "zzz", allowed=(2,))


def a_customer_is_shown_with_consent_and_sources(world):
    document = world.json("customer", "show", "C0000000007")
    has(document, "customer_id", "attributes", "consent", "sources", "events")
    has(document["consent"], "has_record", "outbound", "inbound", "language")
    expect("customers" in document["sources"] and document["attributes"], str(document))
    expect("marketing" in world.cvm("customer", "show", "C0000000007").out, "consent for people")


def a_journey_has_the_shape_of_the_contract(world):
    document = world.json("journey", "C0000000007", "--as-of", DAY)
    has(document, "customer_id", "events", "features", "summary", "insights", "metrics", "total_events")
    has(document["metrics"], "journey_length", "sentiment", "interactions_by_channel", "recent_activity", "churn_risk")
    same(document["metrics"]["journey_length"], len(document["events"]), "length")
    expect(isinstance(document["features"]["plan_type"], str), "words are shown as words")
    days = [e["date"] for e in document["events"]]
    same(days, sorted(days), "order")
    expect(days[-1] in world.cvm("journey", "C0000000007", "--as-of", DAY).out, "for people")


# ---- runs ----


def a_run_has_the_shape_of_the_contract(world):
    out = world.path("out.json")
    document = world.json("run", "--as-of", DAY, "--out", out)
    has(document, "run_id", "out", "summary", "reused")
    has(
        document["summary"],
        "total_processed", "successful", "failed", "total_value", "dual_bound", "gap", "spend", "by_treatment",
        "refusals", "constraints_final_state", "optimization_method", "llm", "plan_digest", "as_of", "seconds",
    )  # fmt: skip
    same(len(document["summary"]["constraints_final_state"]), TREATMENTS + 2, "constraints")
    with open(out, encoding="utf-8") as stream:
        results = json.load(stream)["results"]
    same(len(results), document["summary"]["treated"], "entries of the treated")
    for entry in results:
        has(
            entry,
            "customer_id", "selected_treatment", "status", "value", "price", "reason", "explanation", "confidence",
            "alternatives", "journey_summary", "journey_insights", "arm", "decision_id", "timestamp",
        )  # fmt: skip
    pairs = [(e["customer_id"], e["selected_treatment"]) for e in results]
    same(document["summary"]["plan_digest"], cvm_program.plan_digest(pairs), "digest")


def neither_threads_nor_chunks_change_the_plan(world):
    digests = {
        world.json("run", "--as-of", DAY, "--dry-run", "--threads", t, "--chunk-size", c)["summary"]["plan_digest"]
        for t, c in ((1, 16), (2, 64), (2, 4096))
    }
    same(len(digests), 1, "digests")
    same(world.json("plan", "list")["plans"], [], "a dry run leaves nothing")
    world.json("run", "--chunk-size", 8, allowed=(2,))


def the_same_run_is_returned_and_another_decides_only_the_rest(world):
    first = world.json("run", "--as-of", DAY)
    second = world.json("run", "--as-of", DAY)
    same((second["run_id"], second["reused"]), (first["run_id"], True), "the same")
    third = world.json("run", "--as-of", DAY, "--seed", 2)
    same(third["summary"]["already_decided"], first["summary"]["treated"], "already decided")
    plans = world.json("plan", "list")["plans"]
    same([p["run_id"] for p in plans], [third["run_id"], first["run_id"]], "plans, newest first")
    has(plans[0], "plan_state", "as_of", "decisions", "value", "plan_digest")
    same(world.json("plan", "show", first["run_id"])["summary"]["plan_digest"], first["summary"]["plan_digest"], "show")
    expect(first["run_id"] in world.cvm("plan", "show", first["run_id"]).out, "for people")


def replacing_gives_capacity_back(world):
    world.json("run", "--as-of", DAY)
    before = world.json("capacity", "show", "--as-of", DAY)["treatments"]
    world.json("run", "--as-of", DAY, "--seed", 3, "--replace")
    same(world.json("capacity", "show", "--as-of", DAY)["treatments"], before, "capacity")


def a_manual_release_stays_a_draft(world):
    world.edit("cvm.yaml", "release: auto", "release: manual")
    same(world.json("run", "--as-of", DAY)["plan_state"], "draft", "state")


def the_summary_for_people_names_what_to_try_next(world):
    result = world.cvm("run", "--as-of", DAY)
    for words in ("customers looked at", "treated", "expected value", "price of one more", "Seconds:", "Next:"):
        expect(words in result.out, f"no '{words}' in {result.out}")
    customer = re.search(r"cvm explain latest (\S+)", result.out).group(1)
    document = world.json("explain", "latest", customer)
    has(document, "customer_id", "decision", "treatments")
    same(len(document["treatments"]), TREATMENTS, "treatments")
    for item in document["treatments"]:
        has(item, "treatment", "eligible", "reason", "value", "parts", "sd", "price", "margin")
    expect("value = f q" in world.cvm("explain", "latest", customer).out, "the formula")


def explain_uses_the_catalogue_of_the_run(world):
    world.json("run", "--as-of", DAY)
    customer = world.deployment.query("SELECT customer_id FROM decision LIMIT 1")[0][0]
    before = world.json("explain", "latest", customer)
    world.edit("catalogue/treatments/retention_sms.yaml", "cost: 0.01", "cost: 0.02")
    world.json("apply")
    same(world.json("explain", "latest", customer), before, "explanation")
    world.json("explain", "nothing", customer, allowed=(1,))
    world.json("explain", "latest", "nobody", allowed=(1,))


def a_decision_takes_capacity_once(world):
    customer = world.json("run", "--as-of", DAY, "--dry-run", "--out", world.path("o.json")) and json.load(
        open(world.path("o.json"), encoding="utf-8")
    )["results"][0]["customer_id"]
    first = world.json("decide", customer, "--as-of", DAY)
    expect(first["selected_treatment"] != "ignore" and first["decision_id"], str(first))
    again = world.json("decide", customer, "--as-of", DAY)
    same((again["decision_id"], again["selected_treatment"]), (first["decision_id"], first["selected_treatment"]), "again")
    used = world.json("capacity", "show", "--as-of", DAY)["treatments"][first["selected_treatment"]]
    same(used["confirmed"], 1, "used")
    world.json("decide", customer, "--channel", "pigeon", allowed=(2,))
    expect("Customer" in world.cvm("decide", customer, "--as-of", DAY).out, "for people")


def what_came_to_nothing_is_decided_anew_on_the_same_day(world):
    world.json("run", "--as-of", DAY, "--dry-run", "--out", world.path("o.json"))
    with open(world.path("o.json"), encoding="utf-8") as stream:
        customer = json.load(stream)["results"][0]["customer_id"]
    seen = set()
    for state in ("not_sent", "withdrawn", "not_sent", "bounced"):
        entry = world.json("decide", customer, "--as-of", DAY)
        expect(entry["decision_id"] and entry["decision_id"] not in seen, f"anew: {entry}")
        seen.add(entry["decision_id"])
        same(world.json("decide", customer, "--as-of", DAY)["decision_id"], entry["decision_id"], "asked twice")
        used = world.json("capacity", "show", "--as-of", DAY)["treatments"][entry["selected_treatment"]]
        same(used["confirmed"], 1, "what was not sent or withdrawn gave its capacity back")
        if state == "withdrawn":
            world.json("run", "--as-of", DAY, "--replace", "--allowed", "ignore")
        else:
            with open(world.path("o.ndjson"), "w", encoding="utf-8") as stream:
                json.dump({"decision_id": entry["decision_id"], "state": state, "date": DAY}, stream)
            same(world.json("outcome", "import", world.path("o.ndjson"))["applied"], 1, state)
    # What bounced was a contact: the contact policy says whether there is another.
    expect(world.json("decide", customer, "--as-of", DAY)["decision_id"] not in seen, "after it bounced")


def one_customer_pays_the_prices_of_the_last_run_for_everybody(world):
    for treatment in ("loyalty_points", "personalized_offer", "data_boost"):
        world.json("treatment", "update", treatment, "limit 2")
    state = world.json("run", "--as-of", DAY)["summary"]["constraints_final_state"]
    scarce = {name for name, treatment in state.items() if treatment["shadow_price"] > 0}
    customers = [row[0] for row in world.query("SELECT customer_id FROM customer ORDER BY customer_id LIMIT 60")]
    world.json("run", "--as-of", NEXT_DAY, "--customers", customers[0], "--allowed", "ignore")
    entries = [world.json("decide", customer, "--as-of", NEXT_DAY) for customer in customers]
    prices = [e["price"] for e in entries if e["selected_treatment"] in scarce]
    expect(prices and min(prices) > 0, f"prices of what is scarce ({scarce}): {prices}")


# ---- treatments and capacity ----


def treatments_have_the_shape_of_the_contract(world):
    listed = world.json("treatment", "list")["treatments"]
    same(len(listed), TREATMENTS + 1, "treatments with ignore")
    for treatment in listed:
        has(treatment, "id", "display_name", "description", "enabled", "channel", "purpose", "constraints")
    shown = world.json("treatment", "show", "retention_sms")
    has(shown, "response", "applicable", "constraints")
    text = world.cvm("treatment", "show", "retention_sms").out
    expect(text.startswith("treatment: retention_sms"), text)
    same(world.json("treatment", "show", "retention_smz", allowed=(1,))["error"]["hint"], "Did you mean 'retention_sms'?", "hint")


def capacity_has_the_shape_of_the_contract(world):
    document = world.json("capacity", "show", "--as-of", DAY)
    has(document, "date", "treatments", "resources", "budgets")
    has(document["treatments"]["retention_sms"], "max_per_day", "granted", "held", "remaining", "usage_percent")
    same(list(document["resources"]), ["call_centre_minutes"], "resources")
    world.json("capacity", "reset", "--as-of", DAY)
    same(world.json("audit", "list")["audit"][0]["action"], "capacity", "audit")


def the_audit_is_read_in_pages(world):
    rows, before = [], None
    while before is not None or not rows:
        document = world.json("audit", "list", "--limit", 1, *(["--before", before] if before else []))
        rows += document["audit"]
        before = document["next_before"]
    same([r["action"] for r in rows], ["config", "import", "catalogue"], "rows")
    has(rows[0], "id", "at", "who", "action", "object", "why", "before", "after")


# ---- import and worlds ----


def generated_files_are_what_goes_straight_into_the_store(world):
    folder = world.path("files")
    document = world.json("generate", "--customers", CUSTOMERS, "--until", DAY, "--out", folder)
    has(document, "out", "customers", "records")
    report = world.json("import", folder)
    same((report["read"], report["stored"]), (document["records"], 0), "the store has them all")
    has(report, "read", "stored", "duplicate", "rejected", "customers", "by_source", "rejects_file", "skipped_files")
    usage = report["by_source"]["usage_data"]
    has(usage, "first_day", "last_day", "freshness_days", "expected_rows_min", "null_rates")
    same(usage["last_day"], DAY, "newest")


def the_world_answers_a_run(world):
    truth = world.path("truth.csv")
    world.json("generate", "--customers", CUSTOMERS, "--until", DAY, "--truth", truth, "--out", world.path("f"))
    treated = world.json("run", "--as-of", DAY)["summary"]["treated"]
    out = world.path("responses.ndjson")
    first = world.json("generate", "--respond", "latest", "--truth", truth, "--out", out)
    same((first["decisions"], first["answered"]), (treated, treated), "answered")
    with open(out, encoding="utf-8") as stream:
        text = stream.read()
    outcomes = [json.loads(line) for line in text.splitlines()]
    same(len(outcomes), first["outcomes"], "outcomes")
    same(len({o["decision_id"] for o in outcomes}), treated, "decisions")
    world.json("generate", "--respond", "latest", "--truth", truth, "--out", out)
    same(open(out, encoding="utf-8").read(), text, "a second answer")
    world.json("generate", "--respond", "latest", allowed=(2,))
    world.json("generate", "--respond", "latest", "--truth", world.path("cvm.yaml"), "--out", out, allowed=(1,))
    same(open(out, encoding="utf-8").read(), text, "the answer before stays whole")
    new = world.path("new.ndjson")
    world.json("generate", "--respond", "latest", "--truth", world.path("cvm.yaml"), "--out", new, allowed=(1,))
    expect(not os.path.exists(new), "half an answer is none")


def a_mapping_file_becomes_a_version_first(world):
    mapping = world.path("shop.yaml")
    with open(mapping, "w", encoding="utf-8") as stream:
        stream.write(
            "mapping: shop\nsources:\n  - source: orders\n    display_name: Orders\n    files: [\"orders*\"]\n"
            "    kind: events\n    rank: 90\n    customer: [who]\n    date: [day]\n    sentence: \"Order {order.total}\"\n"
            "    attributes:\n      order.total: {type: number, fields: [total], required: true}\n"
        )
    with open(world.path("orders.csv"), "w", encoding="utf-8") as stream:
        stream.write("who,day,total\nC0000000001,2026-03-01,12.5\nC0000000001,2026-03-01,\n")
    document = world.json("import", world.path("orders.csv"), "--mapping", mapping, allowed=(3,))
    same((document["stored"], document["rejected"]), (1, 1), "orders")
    expect(os.path.exists(document["rejects_file"]), "the rejects file")
    same(world.json("catalogue", "show")["version"], 2, "version")
    expect(os.path.exists(world.path("catalogue", "mappings", "shop.yaml")), "the folder has it")
    events = world.json("journey", "C0000000001", "--as-of", DAY)["events"]
    expect("Order 12.5" in [e["summary"] for e in events], "in the journey")
    world.json("import", world.path("orders.csv"), "--mapping", "nonsense", allowed=(1,))


# ---- bench and migrate ----


def benches_tell_the_machine_and_results(world):
    for name in ("ingest", "journey", "recommend", "run"):
        result = cvm_program.run([world.program, "bench", name, "--customers", 200, "--repeat", 2, "--json"])
        document = result.document
        has(document, "bench", "machine", "results")
        has(document["machine"], "cpu", "cores", "memory_bytes", "compiler")
        values = {r["name"]: r["value"] for r in document["results"]}
        has(values, "seconds_best", "seconds_median", "seconds_worst", "per_customer", "per_event", "peak_memory")
        same(values["customers"], 200, name)
        expect(all(set(r) == {"name", "value", "unit"} for r in document["results"]), "results")
    cvm_program.run([world.program, "bench", "nothing"], allowed=(2,))


def a_bench_on_a_named_store_leaves_its_data(world):
    document = world.json("bench", "journey", "--store", world.deployment.url, "--repeat", 1, "--as-of", DAY)
    same({r["name"]: r["value"] for r in document["results"]}["customers"], CUSTOMERS, "customers")


def migrate_of_a_current_store_changes_nothing(world):
    document = world.json("migrate")
    same(document["from"], document["to"], "schema")
    url = "sqlite:" + world.path("nothing.db")
    same(world.json("migrate", "--store", url, allowed=(1,))["error"]["status"], "not_found", "no store")
    expect(not os.path.exists(world.path("nothing.db")), "none is made")


# ---- the driver ----

HELPERS = {"expect", "same", "has", "main"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-commands-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), 10000)
        template.json("generate", "--customers", CUSTOMERS, "--until", DAY)
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
