#!/usr/bin/env python3
"""Retention: keep_days of a source, `cvm purge`, and what others say of what is gone: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import glob
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

CUSTOMERS = 600
DAY = "2024-03-20"
KEEP = 90  # the generated base goes back 111 days
FIRST = "2023-12-22"  # that stays


class World(cvm_program.World):
    def digest(self, *arguments, day=DAY):
        return self.json("run", "--as-of", day, "--dry-run", *arguments)["summary"]["plan_digest"]

    def fails(self, *arguments):
        return self.json(*arguments, allowed=(1,))["error"]

    def edit(self, name, before, after):
        path = self.path("catalogue", name)
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        expect(re.search(before, text), f"no '{before}' in {name}")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(re.sub(before, after, text))

    def packed(self):
        return self.query("SELECT customer_key, period, body FROM packed ORDER BY 1, 2", database=1)

    def events(self):
        return self.query("SELECT count(*) FROM event")[0][0]


def a_source_that_keeps_less_than_a_feature_wants_is_refused(world):
    version = world.json("catalogue", "show")["version"]
    world.edit("mappings/telecom.yaml", f"keep_days: {KEEP}", "keep_days: 60")
    error = world.fails("apply")
    same(error["status"], "invalid", "status")
    expect(re.search(r"mappings/telecom\.yaml:\d+$", error["where"]), error)
    expect(re.search(r"source '\w+' keeps 60 days, but feature '\w+' \(\S*features\.yaml:\d+\) looks 90 days back",
                     error["message"]), error)
    same(world.json("catalogue", "show")["version"], version, "the version in force")
    found = [f for f in world.json("doctor", "--as-of", DAY, allowed=(0, 3))["findings"] if f["topic"] == "catalogue"]
    same([f["severity"] for f in found], ["problem"], "doctor")
    expect("telecom.yaml" in found[0]["what"] and "keeps 60 days" in found[0]["what"], found)


def contacts_that_a_limit_still_counts_are_not_purged(world):
    world.edit("features.yaml", r"(feature: (events|days_since_event), aggregate: \w+)", r"\1, window_days: 20")
    contacts = r"(?s)(source: contact_history.*?keep_days: )\d+"
    world.edit("contact_policy.yaml", "window_days: 60", "window_days: 61")
    world.edit("mappings/telecom.yaml", contacts, r"\g<1>61")
    world.json("apply")
    world.edit("mappings/telecom.yaml", contacts, r"\g<1>60")
    message = world.fails("apply")["message"]
    expect("'contact_history' keeps 60 days" in message and "contact_policy.yaml:" in message, message)


def the_plan_is_the_same_after_what_no_feature_looks_at_is_gone(world):
    before = world.digest()
    dry = world.json("purge", "--as-of", DAY, "--dry-run")
    events = world.events()
    report = world.json("purge", "--as-of", DAY, "--reason", "nightly")
    same({**dry, "purge": 1, "dry_run": False}, report, "the count and the purge")
    expect(report["rows"] > CUSTOMERS, f"hardly anything was old enough: {report}")
    same(world.events(), events - report["rows"], "rows")
    old = world.query("SELECT count(*) FROM event WHERE day > -2147483648 AND day < ?", (19713,))[0][0]
    same(old, 0, "older events")
    same(world.digest(), before, "plan_digest")
    packed = world.packed()
    for path in glob.glob(world.path("cvm-journeys.db*")):
        os.remove(path)
    same(world.json("purge", "--as-of", DAY)["rows"], 0, "a second purge")
    same(world.digest(), before, "plan_digest of journeys built anew")
    expect(world.packed() == packed, "journeys followed the rows otherwise than a rebuild makes them")
    same(world.json("audit", "verify")["intact"], True, "the audit log")
    rows = [r for r in world.json("audit", "list", "--limit", 100)["audit"] if r["action"] == "purge"]
    same([(r["object"], r["why"]) for r in rows if r["object"] == "purge 1"], [("purge 1", "nightly")] * 2, "audit")


def what_was_decided_stays_and_is_returned(world):
    run = world.json("run", "--as-of", "2024-03-01")
    tables = ("decision", "value_block", "plan", "run", "ledger", "consent", "customer")
    before = [world.query(f"SELECT count(*) FROM {table}")[0] for table in tables]
    world.json("purge", "--as-of", DAY)
    same([world.query(f"SELECT count(*) FROM {table}")[0] for table in tables], before, "rows")
    again = world.json("run", "--as-of", "2024-03-01")
    same((again["run_id"], again["reused"]), (run["run_id"], True), "the same request")
    same(world.json("audit", "verify")["intact"], True, "the audit log")


def a_run_that_would_need_what_is_gone_says_so(world):
    world.cvm("generate", "--customers", CUSTOMERS + 50, "--events", 5, "--seed", 9, "--until", DAY)
    first = world.digest("--snapshot", 1)
    world.json("purge", "--as-of", DAY)
    same(world.digest("--snapshot", 1), first, "of a snapshot whose days are all there")
    for more in ((), ("--snapshot", 1)):
        error = world.fails("run", "--as-of", "2024-03-01", "--dry-run", *more)
        expect("the data are gone" in error["message"] and FIRST in error["message"], error)
    result = world.cvm("journey", world.json("customer", "list", "--limit", 1)["customers"][0]["customer_id"],
                       "--as-of", "2024-03-01")
    expect("are gone" in result.err, result.err)


def what_is_gone_does_not_come_back(world):
    world.json("purge", "--as-of", DAY)
    events = world.events()
    path = world.path("web_clicks.ndjson")
    with open(path, "w", encoding="utf-8") as stream:
        for day in ("2023-12-01", FIRST):
            stream.write(json.dumps({"customer_id": "U1", "date": day, "page": "/", "duration_seconds": 7}) + "\n")
    report = world.json("import", path)
    same((report["read"], report["stored"], report["rejected"], report["too_old"]), (2, 1, 1, 1), "report")
    same(report["rejects_file"], None, "no file of what may not be kept")
    same(world.events(), events + 1, "events")


def a_day_after_today_is_refused(world):
    result = world.cvm("purge", "--as-of", "2150-01-01", allowed=(2,))
    expect("after today" in result.err, result.err)


def room_is_used_again_and_given_back_when_asked(world):
    cvm_program.only_on_sqlite("the room in its file")
    size = os.path.getsize(world.path("cvm.db"))
    world.json("purge", "--as-of", DAY)
    expect(os.path.getsize(world.path("cvm.db")) >= size, "the file shrank by itself")
    world.json("purge", "--as-of", DAY, "--compact")
    expect(os.path.getsize(world.path("cvm.db")) < size, "the file has not shrunk")


def doctor_reminds_of_a_purge(world):
    def retention(day):
        found = world.json("doctor", "--as-of", day, allowed=(0, 3))["findings"]
        return [f["what"] for f in found if f["topic"] == "retention"]

    expect("ever purged" in retention(DAY)[0], "before")
    world.json("purge", "--as-of", DAY)
    same(retention(DAY), [], "after")
    expect("ago" in retention("2024-05-20")[0], "two months later")


HELPERS = {"expect", "same", "main", "World", "make_base"}


def make_base(program, folder):
    base = cvm_program.Deployment.create(program, folder, CUSTOMERS)
    world = World(base)
    world.edit("features.yaml", r"window_days: (120|180)", f"window_days: {KEEP}")
    world.edit("journey.yaml", r"history_days: \d+", f"history_days: {KEEP}")
    world.edit("mappings/telecom.yaml", r"(?m)^    kind: events$", f"    kind: events\n    keep_days: {KEEP}")
    world.json("apply")
    world.cvm("generate", "--customers", CUSTOMERS, "--events", 25, "--seed", 3, "--until", DAY)
    return base


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    rules = cvm_program.rules_of(globals(), HELPERS)
    with cvm_program.scratch("cvm-purge-test-") as folder:
        base = make_base(os.path.abspath(sys.argv[1]), os.path.join(folder, "base"))
        return cvm_program.run_rules(rules, lambda: World(base.copy(os.path.join(folder, "copy"))), sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
