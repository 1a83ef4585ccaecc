#!/usr/bin/env python3
"""`cvm outcome` and `cvm contact` from outside, on a generated base, and a kill at any moment: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import json
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

DAY = "2024-03-20"
LATER = "2024-08-01"
CUSTOMERS = 1500
KILLS = int(os.environ.get("CVM_KILLS", "8"))


class World(cvm_program.World):
    """A base with a released run and the world's answers to it."""

    template = None

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as stream:
            stream.write(text)
        return self.path(name)

    def reports(self):
        with open(self.path("responses.ndjson"), encoding="utf-8") as stream:
            return [json.loads(line) for line in stream]

    def contents(self):
        """What reports change, whatever the numbers of imports and batches."""
        return {
            name: self.query(sql)
            for name, sql in {
                "outcomes": "SELECT run_id, customer_key, state, day, is_late FROM outcome ORDER BY 1, 2, 3",
                "states": "SELECT run_id, customer_key, state, horizon FROM decision ORDER BY 1, 2",
                "learning": "SELECT * FROM learning ORDER BY 1",
                "ledger": "SELECT constraint_id, period, granted, held, confirmed FROM ledger ORDER BY 1, 2",
                "contacts": "SELECT customer_id, date, attributes FROM journey WHERE source = 'contact_history' "
                "ORDER BY customer_id, date, attributes",
                "permissions": "SELECT customer_key, granted FROM consent c WHERE version = (SELECT max(version) FROM "
                "consent d JOIN batch USING (batch) WHERE d.customer_key = c.customer_key AND state = 'closed') "
                "ORDER BY customer_key",
                "unfinished": "SELECT count(*) FROM outcome_import WHERE report IS NULL",
            }.items()
        }


def make_template(program, folder):
    deployment = cvm_program.Deployment.create(program, os.path.join(folder, "template"), CUSTOMERS)
    truth = os.path.join(deployment.folder, "truth.csv")
    deployment.cvm("generate", "--customers", CUSTOMERS, "--seed", 5, "--until", DAY, "--truth", truth, "--quiet")
    deployment.cvm("run", "--as-of", DAY, "--quiet")
    deployment.cvm("generate", "--respond", "latest", "--truth", truth, "--out",
                   os.path.join(deployment.folder, "responses.ndjson"), "--quiet")
    World.template = deployment


# ---- import ----


def an_import_tells_what_it_did_and_again_changes_nothing(world):
    reports = world.reports()
    sent = sum(r["state"] == "sent" for r in reports)
    first = world.json("outcome", "import", world.path("responses.ndjson"), "--today", LATER)
    same((first["read"], first["applied"], first["rejected"]), (len(reports), len(reports), 0), "reports")
    same((first["contacts"], first["by_state"]["sent"]), (sent, sent), "contacts")
    same((first["rejects_file"], first["late"], first["duplicate"]), (None, 0, 0), "nothing special")
    before = world.contents()
    again = world.json("outcome", "import", world.path("responses.ndjson"), "--today", LATER)
    same((again["import"], again["applied"], again["duplicate"]), (0, 0, len(reports)), "again")
    same(world.contents(), before, "contents")
    audit = world.json("audit", "list")["audit"]
    same(sum(row["action"] == "outcome" for row in audit), 1, "audit rows")


def reports_of_later_days_wait_in_the_rejects_file(world):
    document = world.json(
        "outcome", "import", world.path("responses.ndjson"), "--today", "2024-03-22", allowed=(3,)
    )
    early = [r for r in world.reports() if r["date"] <= "2024-03-22"]
    same(document["applied"], len(early), "applied")
    with open(document["rejects_file"], encoding="utf-8") as stream:
        rejects = [json.loads(line) for line in stream]
    same(len(rejects), document["rejected"], "rejects")
    same({r["reason"] for r in rejects}, {"the date is in the future"}, "reasons")
    # What the rejects file holds is the report itself: it comes in when its day has come.
    waiting = world.write("waiting.ndjson", "\n".join(r["text"] for r in rejects) + "\n")
    same(world.json("outcome", "import", waiting, "--today", LATER)["applied"], len(rejects), "later")


def what_was_not_sent_gives_its_capacity_back(world):
    sent = [r for r in world.reports() if r["state"] == "sent"]
    sms = [r["decision_id"] for r in sent if r["treatment"] == "retention_sms"][:3]
    before = world.json("capacity", "show", "--as-of", DAY)
    lines = [{"decision_id": i, "state": "not_sent", "date": "2024-03-21", "reason": "number unknown"} for i in sms]
    path = world.write("failed.json", json.dumps({"data": lines}))
    report = world.json("outcome", "import", path, "--today", LATER)
    same(report["returned_capacity"]["capacity:retention_sms"], 3, "given back")
    world.json("outcome", "import", path, "--today", LATER)
    after = world.json("capacity", "show", "--as-of", DAY)
    same(
        after["treatments"]["retention_sms"]["remaining"] - before["treatments"]["retention_sms"]["remaining"], 3, "room"
    )
    text = world.cvm("outcome", "import", path, "--today", LATER).out
    expect("0 applied, 3 known already" in text, text)


def an_opt_out_is_kept_to_by_the_next_run(world):
    decision = next(r for r in world.reports() if r["treatment"] == "retention_sms" and r["state"] == "sent")
    customer = decision["customer_id"]
    path = world.write(
        "stop.csv", f"decision_id,state,time\n{decision['decision_id']},opted_out,2024-03-22T18:30:00Z\n"
    )
    same(world.json("outcome", "import", path, "--today", LATER)["opt_outs"], 1, "opt-outs")
    explained = world.json("explain", "latest", customer, allowed=(0,))
    expect(explained["customer_id"] == customer, "explain")
    run = world.json("run", "--as-of", "2024-06-30", "--customers", customer)
    treatments = world.json("explain", run["run_id"], customer)["treatments"]
    sms = next(t for t in treatments if t["treatment"] == "retention_sms")
    same((sms["eligible"], sms["reason"]), (False, "no_consent"), "retention_sms")
    audit = world.json("audit", "list")["audit"]
    expect(any(row["action"] == "consent" and row["object"] == customer for row in audit), "no audit row")


def an_opt_out_that_is_known_takes_back_no_consent_given_since(world):
    decision = next(r for r in world.reports() if r["treatment"] == "retention_sms" and r["state"] == "sent")
    customer, start = decision["customer_id"], f"decision_id,state,date\n{decision['decision_id']},"
    world.json("outcome", "import", world.write("stop.csv", start + "opted_out,2024-03-22\n"), "--today", LATER)
    words = {"marketing": "Y", "service_updates": "Y", "billing": "Y"}
    permission = {"customer_id": customer, "last_updated": "2024-03-25", "permissions": {"sms": words}}
    world.json("import", world.write("permissions.json", json.dumps([permission])))

    def allowed():
        return world.json("customer", "show", customer)["consent"]["outbound"]["sms"]["marketing"]

    same(allowed(), "granted", "consented again")
    report = world.json("outcome", "import", world.write("more.csv", start + "reached,2024-03-22\n"), "--today", LATER)
    same((report["applied"], report["opt_outs"]), (1, 0), "applied, opt-outs")
    same(allowed(), "granted", "after another report of the same decision")


def outcomes_make_another_run_of_the_same_day(world):
    before = world.json("run", "--as-of", DAY, "--dry-run")
    world.json("outcome", "import", world.path("responses.ndjson"), "--today", LATER)
    shown = {t["treatment"]: t for t in world.json("outcome", "show")["treatments"]}
    boost = shown["data_boost"]
    same(boost["source"], "learned", "source")
    expect(boost["accept"]["low"] < boost["accept"]["now"] < boost["accept"]["high"], "interval")
    expect(boost["reach"]["prior"] == 0.95 and boost["counts"]["contacts"] > 10, f"data boost: {boost}")
    after = world.json("run", "--as-of", DAY, "--dry-run")
    expect(before["run_id"] != after["run_id"], "the run is as before")
    table = world.cvm("outcome", "show").out
    expect("data_boost" in table and "learned" in table, table)


def contacts_of_other_teams_come_in_under_any_name(world):
    customer = world.json("customer", "list", "--limit", 1)["customers"][0]["customer_id"]
    path = world.write("march.csv", f"customer_id,date,channel,purpose\n{customer},2024-03-19,phone,marketing\n,,,\n")
    result = world.cvm("contact", "import", path, "--json", allowed=(3,)).document
    same((result["stored"], result["rejected"]), (1, 1), "contacts")
    same(list(result["by_source"]), ["contact_history"], "source")
    unknown = world.write("april.csv", f"customer_id,date,channel,purpose\n{customer},2024-03-19,fax,marketing\n"
                          f"{customer},2024-03-18,email,promo\n")
    result = world.cvm("contact", "import", unknown, "--json", allowed=(3,)).document
    with open(result["rejects_file"], encoding="utf-8") as stream:
        reasons = [json.loads(line)["reason"] for line in stream]
    same((result["stored"], result["rejected"]), (0, 2), "contacts that no limit on a channel or purpose would count")
    expect("'outreach.channel': call, email, sms, push or none" in reasons[0], reasons)
    expect("'outreach.purpose': marketing, service or billing" in reasons[1], reasons)
    world.cvm("outcome", "import", world.path("nowhere.ndjson"), allowed=(1,))
    world.cvm("outcome", "import", allowed=(2,))
    world.cvm("outcome", "import", path, "--today", "soon", allowed=(2,))


# ---- kills ----


def a_kill_at_any_moment_loses_nothing(world):
    reports = world.reports()
    sent = [r for r in reports if r["state"] == "sent"]
    extra = [dict(r, state="opted_out") for r in sent if r["treatment"] in ("retention_sms", "loyalty_app")][:40]
    path = world.write("all.ndjson", "".join(json.dumps(r) + "\n" for r in reports + extra))
    whole = World(world.deployment.copy(world.folder + "-whole"))
    started = time.monotonic()
    whole.json("outcome", "import", path, "--today", LATER)
    took = time.monotonic() - started
    wanted = whole.contents()
    whole.deployment.remove()
    same(wanted["unfinished"], [(0,)], "unfinished imports")
    generator = random.Random(7)
    for number in range(KILLS):
        work = World(world.deployment.copy(world.folder + "-kill"))
        for _ in range(2):
            child = subprocess.Popen(
                work.deployment.command("outcome", "import", path, "--today", LATER, "--quiet"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                child.wait(timeout=took * generator.random())
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        work.json("outcome", "import", path, "--today", LATER)
        found = work.contents()
        for name, rows in wanted.items():
            same(found[name], rows, f"{name} after kill {number}")
        work.deployment.remove()


HELPERS = {"expect", "same", "make_template", "main"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-outcome-") as folder:
        make_template(program, folder)
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), HELPERS),
            lambda: World(World.template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
