#!/usr/bin/env python3
"""Thirty nights of `cvm run`, release, contacts and outcomes on a generated base whose truth is known.

The base is generated once, up to the last night; a run as of a night sees only what was known then, so new events come
in each night. The world answers each run's decisions, and each report is imported on the night of its date. At the end the
reports that were still to come are imported too.

What is checked, all of it apart from cvm, from rows of the store and the truth file:

- no limit of the contact policy is broken by a contact of ours, counted from the events of all teams
- nobody of the universal control group got marketing
- no capacity and no budget of a night is exceeded
- the realised incremental value per night settles, and is 1 to 4 % of the base's margin a year
- the churn cut, reach and acceptance that were learned lie within their intervals of the truth

What a treatment adds is the truth's, not our estimate. A customer treated twice can not be saved twice: every treatment
works for 90 days from its decision, cuts multiply where they overlap, and an offer accepted once is not accepted again.
"""

import argparse
import csv
import datetime
import json
import math
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
import nights_picture  # noqa: E402

LAST_NIGHT = datetime.date(2024, 4, 18)
HORIZON = 90
FATIGUE = 0.03  # of a marketing contact, as in the truth

# config/contact_policy.yaml, said again on purpose.
MARKETING_30D = 4
CALLS_60D = 1
SAME_ACTION_30D = 1
SAME_SERVICE_14D = 1
REST_DAYS = 3
HOUSEHOLD_30D = 6


def iso(day):
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()


# ---- the truth ----


class Truth:
    """The rows of the truth file, by customer and treatment."""

    def __init__(self, path):
        self.rows = {}
        self.margin_month = 0.0
        with open(path, encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                values = {k: float(v) for k, v in row.items() if k not in ("customer_id", "treatment")}
                self.rows[row["customer_id"], row["treatment"]] = values
                if row["treatment"] == "ignore":
                    self.margin_month += values["margin"]

    def churn(self, customer):
        return self.rows[customer, "ignore"]["churn"]


class Effect:
    """What the treatments of one customer add, in expectation, over all the nights so far."""

    def __init__(self, truth, customer):
        nothing = truth.rows[customer, "ignore"]
        self.hazard = -math.log(1.0 - nothing["churn"]) / HORIZON
        self.worth = nothing["worth"]
        self.cuts = []  # (first day, cut averaged over being reached)
        self.refused = {}  # treatment: probability that it was not accepted yet

    def saved(self, first, last):
        """Expected worth saved from day first to last, by the treatments so far: the days are cut where a treatment
        begins or ends, and within a piece the hazard falls by the product of what is at work."""
        edges = {first, last}
        for day, _ in self.cuts:
            edges.update(e for e in (day, day + HORIZON) if first < e < last)
        edges = sorted(edges)
        total = 0.0
        for begin, end in zip(edges, edges[1:]):
            left = 1.0
            for day, cut in self.cuts:
                if day <= begin < day + HORIZON:
                    left *= 1.0 - cut
            total += (end - begin) * (1.0 - left)
        return total * self.scale() * self.worth

    def scale(self):
        """Churn per day, so that one treatment alone saves churn x cut over its 90 days."""
        return (1.0 - math.exp(-self.hazard * HORIZON)) / HORIZON

    def add(self, row, day, treatment, cost, is_contact):
        """What one more treatment adds to all before it."""
        before = self.saved(day, day + HORIZON)
        self.cuts.append((day, row["reach"] * row["churn_cut"]))
        gain = self.saved(day, day + HORIZON) - before
        months = row["worth"] / row["margin"]
        open_share = self.refused.get(treatment, 1.0)
        accepted = row["reach"] * row["accept"]
        self.refused[treatment] = open_share * (1.0 - accepted)
        gain += open_share * accepted * (row["extra_margin"] * months - row["incentive"])
        return gain - cost - (FATIGUE if is_contact else 0.0)


# ---- the nights ----


class Nights:
    def __init__(self, options, folder):
        self.options = options
        self.day_last = cvm_program.day_number(LAST_NIGHT)
        self.day_first = self.day_last - options.nights + 1
        self.store = cvm_program.Deployment.create(options.cvm, os.path.join(folder, "d"), options.customers)
        self.truth_path = os.path.join(folder, "truth.csv")
        self.reports = {}  # day: lines still to come
        self.folder = folder
        self.problems = []
        self.rows = []  # per night
        self.effects = {}
        self.decisions = []
        self.store.cvm(
            "generate", "--customers", options.customers, "--seed", options.seed, "--until", LAST_NIGHT.isoformat(),
            "--truth", self.truth_path, "--quiet",
        )
        self.truth = Truth(self.truth_path)
        treatments = self.store.json("treatment", "list")["treatments"]
        self.treatments = {t["id"]: t for t in treatments}
        self.limits = self.store.json("capacity", "show", "--as-of", iso(self.day_first))

    def check(self, is_good, text):
        if not is_good:
            self.problems.append(text)

    def respond(self, run_id):
        out = os.path.join(self.folder, "responses.ndjson")
        self.store.cvm(
            "generate", "--respond", run_id, "--truth", self.truth_path, "--seed", self.options.seed, "--out", out,
            "--quiet",
        )
        with open(out, encoding="utf-8") as stream:
            for line in stream:
                date = datetime.date.fromisoformat(json.loads(line)["date"])
                self.reports.setdefault(cvm_program.day_number(date), []).append(line)

    def import_until(self, day):
        lines = [line for d in sorted(self.reports) if d <= day for line in self.reports[d]]
        self.reports = {d: v for d, v in self.reports.items() if d > day}
        if not lines:
            return {"applied": 0, "opt_outs": 0}
        path = os.path.join(self.folder, "reports.ndjson")
        with open(path, "w", encoding="utf-8") as stream:
            stream.writelines(lines)
        report = self.store.json("outcome", "import", path, "--today", iso(day), allowed=(0, 3))
        self.check(report["rejected"] == 0, f"{iso(day)}: {report['rejected']} reports rejected")
        self.check(report["applied"] == len(lines), f"{iso(day)}: {report['applied']} of {len(lines)} reports applied")
        return report

    def release(self, run_id):
        """A plan that differs too much from the last is held; a person looks and lets it go."""
        state = self.store.query("SELECT state FROM plan WHERE run_id = ?", (run_id,))[0][0]
        if state == "held":
            self.store.cvm("plan", "approve", run_id)
            state = self.store.query("SELECT state FROM plan WHERE run_id = ?", (run_id,))[0][0]
            if state == "approved":
                self.store.cvm("plan", "release", run_id)
            return True
        return False

    def night(self, day):
        report = self.import_until(day)
        started = self.store.cvm("run", "--as-of", iso(day), "--json")
        document = started.document
        was_held = self.release(document["run_id"])
        decisions = self.store.query(
            "SELECT customer_id, treatment, channel, ghost, arm, cost_micro, incentive_micro, churn, value "
            "FROM decision WHERE run_id = ? ORDER BY customer_key",
            (document["run_id"],),
        )
        row = self.count(day, decisions)
        row.update(applied=report["applied"], held=was_held, seconds=started.seconds)
        self.rows.append(row)
        self.respond(document["run_id"])
        return row

    def count(self, day, decisions):
        """The realised value of a night, and what it used."""
        expected = realised = 0.0
        treated = ghosts = 0
        used = {}
        incentive = 0
        for customer, treatment, channel, ghost, arm, cost, incentive_micro, churn, value in decisions:
            self.decisions.append((day, customer, treatment, channel, ghost, arm, churn))
            if ghost:
                ghosts += 1
                continue
            treated += 1
            expected += value
            used[treatment] = used.get(treatment, 0) + 1
            incentive += incentive_micro
            if customer not in self.effects:
                self.effects[customer] = Effect(self.truth, customer)
            realised += self.effects[customer].add(
                self.truth.rows[customer, treatment], day, treatment, cost / 1e6,
                channel != "none" and self.treatments[treatment]["purpose"] == "marketing",
            )
        self.check_capacity(day, used, incentive)
        return {"day": day, "treated": treated, "ghosts": ghosts, "expected": expected, "realised": realised}

    def check_capacity(self, day, used, incentive):
        minutes = 0.0
        for treatment, count in used.items():
            constraints = self.treatments[treatment]["constraints"]
            most = constraints.get("max_per_day")
            minutes += count * constraints["uses"].get("call_centre_minutes", 0)
            self.check(most is None or count <= most, f"{iso(day)}: {count} of {most} {treatment}")
        most = self.limits["resources"]["call_centre_minutes"]["granted"]
        self.check(minutes <= most, f"{iso(day)}: {minutes} of {most} call centre minutes")
        most = self.limits["budgets"]["incentive_budget"]["granted"]
        self.check(incentive <= round(most * 1e6), f"{iso(day)}: {incentive / 1e6} of the incentive budget of {most}")
        over = self.store.query("SELECT constraint_id, period FROM ledger WHERE held + confirmed > granted")
        self.check(not over, f"{iso(day)}: the ledger is exceeded: {over}")

    def accrued(self, day):
        """The worth that the treatments so far save on one day, and what they cost that night is not in it."""
        return sum(effect.saved(day, day + 1) for effect in self.effects.values())

    # ---- the contact policy, from events ----

    def contacts(self):
        """Every contact of everybody: (day, channel, purpose, action, decided) by customer; decided is the night that
        decided it, None for other teams."""
        ours = {}
        for customer, day, decided, treatment in self.store.query(
            "SELECT d.customer_id, o.day, r.as_of_day, d.treatment FROM outcome o JOIN decision d USING "
            "(run_id, customer_key) JOIN run r USING (run_id) WHERE o.state = 2"
        ):
            ours[customer, day, treatment] = decided
        found = {}
        for customer, date, attributes in self.store.query(
            "SELECT customer_id, date, attributes FROM journey WHERE source = 'contact_history'"
        ):
            contact = json.loads(attributes)
            day = cvm_program.day_number(datetime.date.fromisoformat(date))
            # Another team may do the same on the same day: one of the two is ours, whichever.
            decided = ours.pop((customer, day, contact.get("outreach.treatment")), None)
            found.setdefault(customer, []).append(
                (day, contact["outreach.channel"], contact["outreach.purpose"], contact.get("outreach.action"), decided)
            )
        self.check(not ours, f"{len(ours)} contacts reported as sent are not in the journeys")
        for contacts in found.values():
            contacts.sort(key=lambda c: c[0])
        return found

    def check_contacts(self):
        contacts = self.contacts()
        checked = 0
        for customer, events in contacts.items():
            for event in events:
                if event[4] is not None:
                    self.check_contact(customer, event, events)
                    checked += 1
        self.check_households(contacts)
        self.check_control(contacts)
        return checked

    def check_contact(self, customer, event, events):
        """Contacts that nobody could know of on the night of the decision do not count against it: those of other
        teams on later days."""
        day, channel, purpose, action, decided = event
        before = [
            e
            for e in events
            if e is not event and e[2] == purpose and e[0] <= day and (e[4] is not None or e[0] <= decided)
        ]
        where = f"{customer} on {iso(day)} by {channel}"
        days, most = (30, SAME_ACTION_30D) if purpose == "marketing" else (14, SAME_SERVICE_14D)
        same = [e for e in before if e[3] == action and e[0] > day - days]
        self.check(len(same) < most, f"{where}: {action} {len(same) + 1} times in {days} days")
        if channel == "none" or purpose != "marketing":
            return
        real = [e for e in before if e[1] != "none"]
        within = [e for e in real if e[0] > day - 30]
        self.check(len(within) < MARKETING_30D, f"{where}: {len(within) + 1} marketing contacts in 30 days")
        rest = [e for e in real if e[0] >= day - REST_DAYS]
        self.check(not rest, f"{where}: {len(rest)} marketing contacts in the {REST_DAYS} days before")
        calls = [e for e in real if e[1] == "call" and e[0] > day - 60]
        self.check(channel != "call" or len(calls) < CALLS_60D, f"{where}: {len(calls) + 1} calls in 60 days")

    def check_households(self, contacts):
        households = {}
        for customer, attributes in self.store.query(
            "SELECT customer_id, attributes FROM journey WHERE source = 'customers'"
        ):
            household = json.loads(attributes).get("customer.household")
            if household is not None:
                households.setdefault(household, []).append(customer)
        for household, members in households.items():
            events = sorted(
                (e for m in members for e in contacts.get(m, ()) if e[2] == "marketing" and e[1] != "none"),
                key=lambda e: e[0],
            )
            for event in events:
                if event[4] is None:
                    continue
                within = [
                    e for e in events
                    if event[0] - 30 < e[0] <= event[0] and (e[4] is not None or e[0] <= event[4])
                ]
                self.check(
                    len(within) <= HOUSEHOLD_30D,
                    f"household {household} on {iso(event[0])}: {len(within)} marketing contacts in 30 days",
                )

    def check_control(self, contacts):
        members = {c for (c,) in self.store.query(
            "SELECT customer_id FROM control_member JOIN customer USING (customer_key)"
        )}
        self.members = len(members)
        for member in members:
            ours = [e for e in contacts.get(member, ()) if e[4] is not None and e[2] == "marketing"]
            self.check(not ours, f"{member} is of the universal control group and got marketing")

    # ---- what was learned ----

    def learned(self):
        """(treatment, what, prior, now, low, high, truth, count) for all that was measured."""
        sums = {}
        for day, customer, treatment, channel, ghost, arm, churn in self.decisions:
            if ghost:
                continue
            row = self.truth.rows[customer, treatment]
            p = self.truth.churn(customer)
            s = sums.setdefault(treatment, [0.0] * 5)
            s[0] += 1
            s[1] += row["reach"]
            s[2] += row["reach"] * row["accept"]
            s[3] += row["reach"] * p
            s[4] += row["reach"] * p * row["churn_cut"]
        found = []
        for shown in self.store.json("outcome", "show")["treatments"]:
            s = sums.get(shown["treatment"])
            if s is None or shown["counts"]["treated"] == 0:
                continue
            truths = {"reach": s[1] / s[0], "accept": s[2] / s[1], "churn_cut": s[4] / s[3]}
            for what, truth in truths.items():
                e = shown[what]
                if e["prior_sd"] > 0:
                    found.append((shown["treatment"], what, e["prior"], e["now"], e["low"], e["high"], truth,
                                  shown["outcomes"]))
        return found

    def check_learned(self, learned):
        for what in ("reach", "accept", "churn_cut"):
            mine = [x for x in learned if x[1] == what]
            inside = [x for x in mine if x[4] <= x[6] <= x[5]]
            far = [x for x in mine if abs(x[6] - x[3]) > 3.0 / 1.96 * max(x[5] - x[3], x[3] - x[4])]
            # 95 % intervals: of eleven one may miss, none by far.
            self.check(len(mine) - len(inside) <= 1, f"{what}: {len(inside)} of {len(mine)} intervals hold the truth")
            self.check(not far, f"{what}: far from the truth: {[x[0] for x in far]}")

    def check_value(self):
        """The first ten nights harvest what nobody had done before; then each ten bring as much as the ten before."""
        tens = [[r["realised"] for r in self.rows[i : i + 10]] for i in range(0, len(self.rows) - 9, 10)]
        means = [sum(ten) / len(ten) for ten in tens]
        self.settled = means[-1]
        self.year_share = self.settled * 365.0 / (self.truth.margin_month * 12.0)
        self.check(
            abs(means[-1] - means[-2]) < 0.35 * means[-2],
            f"the realised value does not settle: {means[-2]:.0f}, then {means[-1]:.0f} a night",
        )
        self.check(
            0.01 <= self.year_share <= 0.04, f"realised value is {100 * self.year_share:.2f} % of the margin a year"
        )


# ---- the program ----


def print_night(row):
    print(
        f"{iso(row['day'])}  {row['treated']:>6,}  {row['ghosts']:>5,}  {row['expected']:>9,.0f}  "
        f"{row['realised']:>9,.0f}  {row['accrued']:>8,.1f}  {row['applied']:>8,}  {row['seconds']:>6.2f}"
        f"{'  held' if row['held'] else ''}",
        flush=True,
    )


def print_learned(learned):
    print("\ntreatment            what        prior     now   95 % interval       truth  outcomes")
    for treatment, what, prior, now, low, high, truth, outcomes in learned:
        mark = "" if low <= truth <= high else "  outside"
        print(
            f"{treatment:<20} {what:<10} {100 * prior:>5.1f} % {100 * now:>5.1f} %  {100 * low:>6.1f} to "
            f"{100 * high:>5.1f} %  {100 * truth:>6.1f} % {outcomes:>9,}{mark}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cvm")
    parser.add_argument("customers", type=int, nargs="?", default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--picture", help="write the picture there")
    options = parser.parse_args()
    with cvm_program.scratch("cvm-nights-") as folder:
        nights = Nights(options, folder)
        print("night        given  ghosts   expected   realised   a day's   reports  run, s")
        for day in range(nights.day_first, nights.day_last + 1):
            row = nights.night(day)
            row["accrued"] = nights.accrued(day)
            print_night(row)
        nights.import_until(nights.day_last + 400)
        checked = nights.check_contacts()
        learned = nights.learned()
        nights.check_learned(learned)
        nights.check_value()
        print_learned(learned)
        print(
            f"\n{checked:,} contacts checked against the policy, {nights.members:,} members of the universal "
            f"control group.\nRealised value {nights.settled:,.0f} a night in the last ten: "
            f"{100 * nights.year_share:.2f} % of the base's margin a year."
        )
        if options.picture:
            nights_picture.write(options.picture, nights, learned)
    for problem in nights.problems[:20]:
        print(f"FAIL {problem}")
    print(f"{len(nights.problems)} failed")
    return 1 if nights.problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except cvm_program.Failure as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
