"""An answer of `cvm allocate` recomputed from its files alone, in double, by the definitions of docs/concepts/problem.md.

check(problem_path, plan_path, answer) raises AssertionError at the first figure that does not hold. It shares nothing with
the program; it is slow and obvious.
"""

import csv
import itertools
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from cvm_program import expect, plan_digest, same  # noqa: E402

CLOSE = 1e-9
MINIMUMS = ("segment_min", "share_min")


def close(found, wanted, what, scale=1.0):
    expect(abs(found - wanted) <= CLOSE * (abs(wanted) + scale), f"{what}: found {found!r} instead of {wanted!r}")


class Customer:
    def __init__(self, line, treatments):
        self.id = line["customer_id"]
        self.segment = line.get("segment", "")
        self.high = line.get("high_value") == "1"
        self.amount = float(line.get("amount") or 0)
        self.group = line.get("group") or None
        self.dimensions = {k[4:]: v for k, v in line.items() if k.startswith("seg:")}
        self.values = {t: float(line[t]) for t in treatments if line[t] != ""}

    def is_in(self, segment):
        name, equals, value = segment.partition("=")
        return self.dimensions[name] == value if equals and name in self.dimensions else self.segment == segment


class Problem:
    def __init__(self, path, limits=None):
        with open(path, encoding="utf-8") as stream:
            self.text = json.load(stream)
        self.treatments = self.text["treatments"]
        with open(os.path.join(os.path.dirname(path), self.text["values"]), encoding="utf-8", newline="") as stream:
            self.customers = [Customer(line, self.treatments) for line in csv.DictReader(stream)]
        self.per_customer = self.text.get("max_per_customer", 1)
        self.per_group = self.text.get("max_per_group", 1)
        self.excluded = {frozenset(pair) for pair in self.text.get("exclusions", [])}
        self.rows = self.text.get("rows", [])
        for row in self.rows:
            row["limit"] = (limits or {}).get(row["name"], row["limit"])

    def covers(self, row, treatment):
        return treatment in row.get("treatments", self.treatments)

    def cost(self, row, customer, treatment):
        """In whole micros, each pair rounded half to even."""
        measure = self.text["measures"][row["measure"]] if row.get("measure") else self.text
        flat = measure.get("cost", {}).get(treatment, 0)
        rate = measure.get("cost_rate", {}).get(treatment, 0)
        return round((flat + rate * customer.amount) * 1e6)

    def use(self, row, customer, treatment):
        """What a pair uses of the row written as <=."""
        if not self.covers(row, treatment):
            return 0
        kind = row["kind"]
        if kind == "capacity":
            return 1
        if kind == "shared":
            return row.get("units", {}).get(treatment, 1)
        if kind == "budget":
            return self.cost(row, customer, treatment) / 1e6
        if kind == "reserve":
            return 0 if customer.high else 1
        inside = 1 if customer.is_in(row["segment"]) else 0
        return {
            "segment_max": inside,
            "segment_min": -inside,
            "share_max": inside - row["limit"],
            "share_min": row["limit"] - inside,
        }[kind]

    def right_side(self, row):
        """Of the row written as <=."""
        if row["kind"] == "segment_min":
            return -row["limit"]
        if row["kind"] in ("share_min", "share_max"):
            return 0
        if row["kind"] == "reserve":
            treatment = row.get("treatments", self.treatments)
            return min(
                r["limit"]
                for r in self.rows
                if r["kind"] == "capacity" and set(r.get("treatments", self.treatments)) == set(treatment)
            ) - row["limit"]
        return row["limit"]

    def may_go_together(self, treatments):
        return len(treatments) <= self.per_customer and not any(
            frozenset(pair) in self.excluded for pair in itertools.combinations(treatments, 2)
        )

    def best(self, customer, prices):
        """The best score that a customer has at these prices; at least 0."""
        scores = {
            t: value - sum(p * self.use(row, customer, t) for row, p in zip(self.rows, prices))
            for t, value in customer.values.items()
        }
        good = [t for t in scores if scores[t] > 0]
        if self.per_customer == 1:
            return max([0.0] + [scores[t] for t in good])
        return max(
            sum(scores[t] for t in chosen)
            for size in range(self.per_customer + 1)
            for chosen in itertools.combinations(good, size)
            if self.may_go_together(chosen)
        )

    def bound(self, prices):
        """D(p): customers alone, and of a group the best per_group."""
        alone, groups = [], {}
        for customer in self.customers:
            score = self.best(customer, prices)
            alone.append(score) if customer.group is None else groups.setdefault(customer.group, []).append(score)
        for scores in groups.values():
            alone += sorted(scores, reverse=True)[: self.per_group]
        return sum(alone) + sum(p * self.right_side(row) for row, p in zip(self.rows, prices))

    def used(self, row, plan):
        return sum(self.use(row, c, t) for c, t in plan)

    def slack(self, row, plan):
        """What is left of the limit; negative = broken. Whole numbers where the row has them."""
        if row["kind"] == "budget":
            spent = sum(self.cost(row, c, t) for c, t in plan if self.covers(row, t))
            return (row["limit"] * 1e6 - spent) / 1e6
        return self.right_side(row) - self.used(row, plan)

    def reported(self, row, plan):
        """(used, limit) as the answer shows them."""
        if row["kind"] in ("share_min", "share_max"):
            covered = [c for c, t in plan if self.covers(row, t)]
            inside = sum(1 for c in covered if c.is_in(row["segment"]))
            return (inside / len(covered) if covered else 0), row["limit"]
        sign = -1 if row["kind"] == "segment_min" else 1
        return sign * self.used(row, plan), sign * self.right_side(row)


def read_plan(problem, path):
    """[(customer, treatment)], every pair eligible, in the order of the file."""
    customers = {c.id: c for c in problem.customers}
    same(len(customers), len(problem.customers), "ids")
    with open(path, encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(stream))
    same(lines[0], ["customer_id", "treatment"], "header of the plan")
    pairs = [(c, t) for c, t in lines[1:]]
    expect(pairs == sorted(pairs, key=lambda p: (p[0].encode(), p[1].encode())), "the plan is in byte order")
    same(len(set(pairs)), len(pairs), "pairs")
    for customer, treatment in pairs:
        expect(treatment in customers[customer].values, f"{customer} is not eligible for {treatment}")
    return [(customers[c], t) for c, t in pairs]


def check_choices(problem, plan):
    """m treatments per customer, exclusions, groups."""
    own, members = {}, {}
    for customer, treatment in plan:
        own.setdefault(customer.id, []).append(treatment)
        if customer.group is not None:
            members.setdefault(customer.group, set()).add(customer.id)
    for customer, treatments in own.items():
        expect(problem.may_go_together(treatments), f"{customer} gets {treatments}")
    for group, treated in members.items():
        expect(len(treated) <= problem.per_group, f"group {group}: {sorted(treated)}")
    return len(own)


def check_row(problem, row, shown, plan):
    same((shown["name"], shown["kind"]), (row["name"], row["kind"]), "row")
    used, limit = problem.reported(row, plan)
    close(shown["used"], used, f"used of {row['name']}")
    close(shown["limit"], limit, f"limit of {row['name']}")
    expect(shown["price"] >= 0, f"price of {row['name']}: {shown['price']}")
    expect(shown["price_low"] <= shown["price"] <= shown["price_high"], f"interval of {row['name']}: {shown}")
    slack = problem.slack(row, plan)
    is_kept = slack >= -CLOSE * (1 + abs(problem.right_side(row)) + len(plan))
    expect(is_kept or row["kind"] in MINIMUMS, f"{row['name']} is broken by {-slack}")
    close(shown["shortfall"], 0 if is_kept else limit - used, f"shortfall of {row['name']}")
    return is_kept, slack


def check(problem_path, plan_path, answer, limits=None):
    """Everything that the answer says of the problem itself; `limits` are those of a scenario, by row."""
    problem = Problem(problem_path, limits)
    plan = read_plan(problem, plan_path)
    same(answer["customers"], len(problem.customers), "customers")
    same(answer["treated"], check_choices(problem, plan), "treated")
    same([r["name"] for r in answer["rows"]], [r["name"] for r in problem.rows], "rows")
    checked = [check_row(problem, row, shown, plan) for row, shown in zip(problem.rows, answer["rows"])]
    same(answer["feasible"], all(is_kept for is_kept, _ in checked), "feasible")
    same(answer["by_treatment"], {t: sum(1 for _, u in plan if u == t) for t in problem.treatments}, "by_treatment")
    same(answer["plan_digest"], plan_digest((c.id, t) for c, t in plan), "digest")

    prices = [r["price"] for r in answer["rows"]]
    value = sum(c.values[t] for c, t in plan)
    bound = problem.bound(prices)
    size = sum(max([0.0] + [abs(v) for v in c.values.values()]) for c in problem.customers) + sum(
        p * abs(problem.right_side(row)) for row, p in zip(problem.rows, prices)
    )
    close(answer["value"], value, "value", size)
    close(answer["dual_bound"], bound, "dual_bound", size)
    if answer["feasible"]:
        expect(answer["dual_bound"] >= answer["value"] - CLOSE * (size + 1), "the bound is below the value")
    if answer["value"] == answer["dual_bound"]:
        same(answer["gap"], 0, "gap")
    elif answer["dual_bound"] != 0:
        close(answer["gap"], (answer["dual_bound"] - answer["value"]) / abs(answer["dual_bound"]), "gap")
    slack = sum(p * s for p, (_, s) in zip(prices, checked))
    close(answer["slack"], slack, "slack", size)
    close(answer["regret"] + answer["slack"], bound - value, "where the gap lives", size)
    same(bool(answer["infeasible"]), not answer["feasible"], "infeasible is filled")
    return problem, plan


def best_plan_value(problem):
    """The value of the best plan that keeps every row, by trying all; None = there is none. For a handful of pairs."""
    choices = []
    for customer in problem.customers:
        own = [
            chosen
            for size in range(min(problem.per_customer, len(customer.values)) + 1)
            for chosen in itertools.combinations(sorted(customer.values), size)
            if problem.may_go_together(chosen)
        ]
        choices.append([[(customer, t) for t in chosen] for chosen in own])
    best = None
    for combination in itertools.product(*choices):
        plan = [pair for own in combination for pair in own]
        value = sum(c.values[t] for c, t in plan)
        if best is not None and value <= best:
            continue
        if any(problem.slack(row, plan) < -CLOSE for row in problem.rows):
            continue
        try:
            check_choices(problem, plan)
        except AssertionError:
            continue
        best = value
    return best
