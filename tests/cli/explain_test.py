#!/usr/bin/env python3
"""`cvm explain`: parts that a spreadsheet agrees with, reasons counted, what would have to change: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import csv
import json
import os
import struct
import sys
from decimal import Decimal, getcontext

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

AS_OF = "2024-03-20"
MICRO = Decimal("0.000001")
getcontext().prec = 40


class World:
    def __init__(self, program, folder):
        self.folder = folder
        self.base = cvm_program.Deployment.create(program, os.path.join(folder, "base"), 3000)
        self.base.cvm("generate", "--customers", 3000, "--events", 15, "--seed", 3, "--until", AS_OF)
        self.base.json("run", "--as-of", AS_OF)
        self.plain = self.without_control(program)
        self.small = cvm_program.Deployment.create(program, os.path.join(folder, "small"), 100)
        self.import_small()
        self.small.json("run", "--as-of", AS_OF, "--treatment", "retention_sms")

    def path(self, name):
        return os.path.join(self.folder, name)

    def without_control(self, program):
        """Nothing is withheld, so that the line is everybody's."""
        plain = cvm_program.Deployment.create(program, self.path("plain"), 2000)
        plain.cvm("generate", "--customers", 2000, "--events", 15, "--seed", 4, "--until", AS_OF)
        with open(os.path.join(plain.folder, "catalogue", "control.yaml"), "w", encoding="utf-8") as stream:
            stream.write("universal: {share: 0}\nholdouts: {default: 0}\n")
        plain.cvm("apply", "--quiet")
        self.unsolved = plain.copy(self.path("unsolved"))
        plain.json("run", "--as-of", AS_OF)
        return plain

    def import_small(self):
        """A customer per reason; all of them are worth a text, for they are about to leave."""
        yes = {"marketing": "Y", "service_updates": "Y", "billing": "Y"}
        no = dict(yes, marketing="N")
        people = "ABCDEFGHI"
        records = {
            "customers": [{"customer_id": c, "plan_type": "contract"} for c in people],
            "churn_score": [{"customer_id": c, "date": "2024-03-01", "churn_probability": 0.9} for c in people],
            "billing_data": [
                {"customer_id": c, "date": "2024-03-01", "plan_name": "P", "monthly_charge": 40, "payment_status": "paid"}
                for c in people
            ],
            "permissions": [
                {"customer_id": c, "last_updated": "2024-01-01", "permissions": {"sms": no if c in "BD" else yes}}
                for c in people
            ],
            "suppressions": [
                {"customer_id": "C", "kind": "vulnerable"},
                {"customer_id": "D", "kind": "vulnerable"},
                {"customer_id": "G", "kind": "vulnerable", "until": "2024-03-19"},
                {"customer_id": "H", "kind": "vulnerable", "active": False},
                # Two words for one kind are two records.
                {"customer_id": "I", "kind": "fraud"},
                {"customer_id": "I", "kind": "suspected_fraud", "active": False},
            ],
            "contact_history": [
                {"customer_id": "E", "date": day, "channel": "email", "purpose": "marketing", "action": "loyalty_offers"}
                for day in ("2024-02-25", "2024-03-01", "2024-03-05", "2024-03-10")
            ]
            + [
                {"customer_id": "F", "date": "2024-03-19", "channel": "email", "purpose": "marketing",
                 "action": "retention_offer"},
            ],
        }
        folder = self.path("records")
        os.makedirs(folder)
        for source, rows in records.items():
            with open(os.path.join(folder, source + ".json"), "w", encoding="utf-8") as stream:
                json.dump(rows, stream)
        same(self.small.json("import", folder)["rejected"], 0, "rejected")


def a_spreadsheet_makes_the_same_values_to_the_micro(world):
    path = world.path("parts.csv")
    document = world.base.json("explain", "latest", "--csv", path)
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    same(len(rows), document["rows"], "rows")
    expect(len(rows) > 1000, f"only {len(rows)} rows")
    tired = 0
    for row in rows:
        f, q, p, rho, w, a, u, h, g, c, k, m = (Decimal(row[s]) for s in "f q p rho W a u H g c k m".split())
        value = f * q * (p * rho * w + a * (u * h - g)) - c - k
        expect(abs(value - Decimal(row["value"])) < MICRO / 2, f"value of {row}: {value}")
        expect(abs(m * h - w) < MICRO, f"worth of {row}")
        same(float(row["plan_value"]), struct.unpack("f", struct.pack("f", float(row["value"])))[0], "32 bits")
        left = Decimal(row["plan_value"]) - Decimal(row["price"])
        expect(abs(left - Decimal(row["margin"])) < MICRO / 2, f"margin of {row}")
        tired += f < 1
    expect(tired > 20, f"only {tired} of {len(rows)} are tired")


def the_csv_of_some_customers_is_their_part_of_the_whole(world):
    ids = [r[0] for r in world.base.query("SELECT DISTINCT customer_id FROM decision ORDER BY customer_id LIMIT 5")]
    whole = world.base.cvm("explain", "latest", "--csv", "-").out.splitlines()
    some = world.base.cvm("explain", "latest", "--csv", "-", "--customers", ",".join(ids + ["nobody"])).out.splitlines()
    same(some[0], whole[0], "head")
    same(some[1:], [line for line in whole if line.split(",")[0] in ids], "lines")


def explain_and_csv_tell_the_same_parts(world):
    customer = world.base.query("SELECT customer_id FROM decision LIMIT 1")[0][0]
    lines = world.base.cvm("explain", "latest", "--csv", "-", "--customers", customer).out.splitlines()
    rows = {row["treatment"]: row for row in csv.DictReader(lines)}
    items = {t["treatment"]: t for t in world.base.json("explain", "latest", customer)["treatments"] if t["eligible"]}
    same(set(rows), set(items), "treatments")
    for name, row in rows.items():
        parts = items[name]["parts"]
        same(float(row["f"]), parts["tiring"], "f")
        same(float(row["W"]), parts["worth"], "W")
        same(float(row["plan_value"]), items[name]["value"], "value")
        same(float(row["sd"]), items[name]["sd"], "sd")


def checks_of(world, treatment):
    document = world.small.json("explain", "latest", "--all-reasons")
    same(document["customers"], 9, "customers")
    found = next(t for t in document["treatments"] if t["treatment"] == treatment)
    return found, {c["name"] or c["rule"] or c["reason"]: (c["alone"], c["together"]) for c in found["checks"]}


def reasons_are_counted_alone_and_together(world):
    found, checks = checks_of(world, "retention_sms")
    same(checks["no_consent"], (1, 2), "B alone; D is vulnerable too")
    same(checks["vulnerable"], (1, 2), "C alone; what has ended or was withdrawn does not count")
    same(checks["marketing_30d"], (1, 1), "E")
    same(checks["same_action:retention_offer"], (0, 1), "F, who is resting too")
    same(checks["marketing_rest"], (0, 1), "F")
    same(checks["fraud"], (1, 1), "I: one record in force is enough")
    same(checks["minor"], (0, 0), "nobody")
    same(found["passed"], 3, "A, G and H")
    same(found["given"], 3, "given")


def every_refusal_names_stage_check_and_number(world):
    expected = {
        "A": ("forced", None, None),
        "B": ("no_consent", None, "permission for marketing by sms"),
        "C": ("suppressed", "vulnerable", "the end of the suppression 'Vulnerable customer'"),
        "D": ("no_consent", None, "permission for marketing by sms"),
        "E": ("contact_policy", "marketing_30d", "below 4 (it is 4)"),
        "F": ("contact_policy", "same_action:retention_offer", "below 1 (it is 1)"),
        "G": ("forced", None, None),
        "H": ("forced", None, None),
        "I": ("suppressed", "fraud", "the end of the suppression 'Suspected fraud'"),
    }
    for customer, (reason, name, change) in expected.items():
        document = world.small.json("explain", "latest", customer)
        item = next(t for t in document["treatments"] if t["treatment"] == "retention_sms")
        same(item["reason"], reason, f"reason of {customer}")
        same(item["failed_name"], name, f"check of {customer}")
        if change is None:
            same(item["change"], None, f"change of {customer}")
        else:
            expect(change in item["change"], f"{customer}: {item['change']}")
    item = next(t for t in world.small.json("explain", "latest", "E")["treatments"] if t["treatment"] == "retention_sms")
    same(item["stage"], "policy", "stage")
    same(item["failed_value"], 4, "number")
    expect(item["failed_rule"].startswith("count(contact_history, 30"), item["failed_rule"])
    text = world.small.cvm("explain", "latest", "E").out
    expect("At most 4 marketing contacts in 30 days" in text, text)


def a_refusal_names_what_would_refuse_next(world):
    expected = {"A": [], "B": [], "D": ["Vulnerable customer"], "F": ["3 days of rest after a marketing contact"]}
    for customer, also in expected.items():
        document = world.small.json("explain", "latest", customer)
        item = next(t for t in document["treatments"] if t["treatment"] == "retention_sms")
        same(item["also_failed"], also, f"further checks of {customer}")
    text = world.small.cvm("explain", "latest", "D").out
    expect("permission for marketing by sms; then also: Vulnerable customer" in text, text)


def a_prior_says_that_it_is_one(world):
    document = world.small.json("explain", "latest", "A")
    item = next(t for t in document["treatments"] if t["treatment"] == "retention_sms")
    same(item["parts"]["source"], "prior", "source")
    same(item["parts"]["outcomes"], 0, "outcomes")
    same(item["parts"]["tiring"], 1, "without contacts")


def leads_of(world):
    """From the parts that everybody can have: {treatment: {customer: lead}}, {customer: treatment}, {(customer, t): margin}."""
    rows = csv.DictReader(world.plain.cvm("explain", "latest", "--csv", "-").out.splitlines())
    margins = {}
    for row in rows:
        margins.setdefault(row["customer_id"], {})[row["treatment"]] = float(row["margin"])
    leads = {}
    for customer, own in margins.items():
        for treatment, margin in own.items():
            others = [m for t, m in own.items() if t != treatment]
            leads.setdefault(treatment, {})[customer] = margin - max([0, *others])
    given = dict(world.plain.query("SELECT customer_id, treatment FROM decision WHERE ghost = 0"))
    return leads, given


def the_line_is_everybody_in_order_of_lead(world):
    leads, given = leads_of(world)
    binding = 0
    for treatment in ("loyalty_points", "data_boost", "family_plan", "marketing_call_back"):
        own = leads[treatment]
        inside = [c for c in own if given.get(c) == treatment]
        outside = [c for c in own if given.get(c) != treatment]
        for customer in (inside[0], inside[-1], outside[0], outside[len(outside) // 2]):
            document = world.plain.json("explain", "latest", customer)
            found = [t for t in document["treatments"] if t["treatment"] == treatment][0]
            line = found["line"]
            peers = inside if customer in inside else outside
            same(line["ahead"], sum(own[c] > own[customer] for c in peers), f"{treatment}: before {customer}")
            same(line["treated"], len(inside), treatment)
            expect(abs(line["lead"] - own[customer]) < 1e-9, f"{treatment} {customer}: {line} {own[customer]}")
            for name, least in (("last_in", min(own[c] for c in inside)), ("first_out", max(own[c] for c in outside))):
                expect(abs(line[name]["lead"] - least) < 1e-9, f"{treatment} {name}: {line[name]} {least}")
                expect(abs(own[line[name]["customer_id"]] - least) < 1e-9, f"{treatment} {name}")
            expect(line["value_needed"] == max(0, -line["lead"]) or customer in inside, line)
            binding += line["binding"]
            expect(found["price_low"] <= found["price"] <= found["price_high"], found)
    expect(binding > 4, "little is scarce")


def room_for_all_before_a_customer_is_enough_and_half_of_it_is_not(world):
    """Other prices move too, so that it is not exact."""
    leads, given = leads_of(world)
    waiting = sorted((c for c in leads["loyalty_points"] if given.get(c) is None), key=leads["loyalty_points"].get)
    customer = waiting[-20]  # has nothing, and so no other choice that a price could change
    line = [t for t in world.plain.json("explain", "latest", customer)["treatments"] if t["treatment"] == "loyalty_points"][0]["line"]
    same((line["binding"], line["value_needed"] > 0), (True, True), line)
    needed = line["capacity_needed"]
    for more, wanted in ((needed, "loyalty_points"), (needed // 2, None)):
        limit = line["treated"] + more
        other = world.unsolved.copy(world.path("roomy"))
        path = os.path.join(other.folder, "catalogue", "treatments", "loyalty_points.yaml")
        with open(path, encoding="utf-8") as stream:
            lines = [f"max_per_day: {limit}\n" if l.startswith("max_per_day:") else l for l in stream]
        with open(path, "w", encoding="utf-8") as stream:
            stream.writelines(lines)
        other.cvm("apply", "--quiet")
        other.json("run", "--as-of", AS_OF)
        rows = other.query("SELECT treatment FROM decision WHERE customer_id = ?", (customer,))
        same(rows[0][0] if rows else None, wanted, f"{customer} with room for {limit}")


def people_read_who_was_the_last(world):
    leads, given = leads_of(world)
    customer = [c for c in leads["loyalty_points"] if given.get(c) == "loyalty_points"][0]
    text = world.plain.cvm("explain", "latest", customer).out
    for words in ("scarce", "before it", "last in", "first out", "lead: what it leaves above its price"):
        expect(words in text, f"no '{words}' in\n{text}")
    customer = [c for c in leads["loyalty_points"] if c not in given][0]
    expect("room for" in world.plain.cvm("explain", "latest", customer).out, "room for ... more")


def without_kept_values_there_is_no_line(world):
    other = world.plain.copy(world.path("forgotten"))
    customer = other.query("SELECT customer_id FROM decision WHERE treatment = 'loyalty_points' LIMIT 1")[0][0]
    other.change("DELETE FROM value_block")
    found = [t for t in other.json("explain", "latest", customer)["treatments"] if t["treatment"] == "loyalty_points"][0]
    same((found["line"], found["price_low"]), (None, None), "line")


def a_customer_whom_the_run_did_not_look_at_is_refused(world):
    other = world.small.copy(world.path("other"))
    run = other.json("run", "--as-of", "2024-03-21", "--customers", "A,B")["run_id"]
    same(other.json("explain", run, "A")["run_id"], run, "one of them")
    error = other.json("explain", run, "E", allowed=(1,))["error"]
    same((error["status"], error["message"]), ("not_found", f"run '{run}' did not look at customer 'E'"), "another")
    other.change("DELETE FROM value_block")
    same(other.json("explain", run, "E")["customer_id"], "E", "a run that keeps no values can not know")


def one_thing_is_asked_for_at_a_time(world):
    for arguments in (
        ("latest",),
        ("latest", "A", "--all-reasons"),
        ("latest", "A", "--csv", "x.csv"),
        ("latest", "A", "--customers", "A"),
        ("latest", "--all-reasons", "--csv", "x.csv"),
    ):
        world.small.json("explain", *arguments, allowed=(2,))
    world.small.json("explain", "latest", "--csv", world.path("no/such/folder.csv"), allowed=(1,))
    world.small.json("explain", "nothing", "--all-reasons", allowed=(1,))


# ---- the driver ----

HELPERS = {"expect", "same", "World", "checks_of", "leads_of", "main"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-explain-") as folder:
        world = World(program, folder)
        return cvm_program.run_rules(cvm_program.rules_of(globals(), HELPERS), lambda: world, words)


if __name__ == "__main__":
    sys.exit(main())
