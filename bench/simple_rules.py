"""What simpler rules make of a problem of bench/problem_file.py: customers in order, pairs by value, treatments by
priority, and random chunks with divided capacity, each of which our own solver solves.

A plan is the number of each customer's treatment, -1 for none. Never over a limit; minimums are not looked at.
"""

import csv
import os

import numpy

import problem_file

NOTHING = -1
MAXIMUM = ("capacity", "shared", "budget", "segment_max", "reserve")


class Room:
    """What is left of every limit, in whole millionths."""

    def __init__(self, problem):
        self.left = []
        self.rows = [[] for _ in problem.treatments]  # (number in left, use of each customer)
        for r, row in enumerate(problem.rows):
            if row["kind"] not in MAXIMUM:
                continue
            uses = numpy.rint(problem.uses(r) * 1e6).astype(numpy.int64)
            for t in problem.covered[r]:
                self.rows[t].append((len(self.left), uses[:, t].tolist()))
            self.left.append(round(problem.limit(r) * 1e6))

    def take(self, customer, treatment):
        rows = self.rows[treatment]
        for r, uses in rows:
            if uses[customer] > self.left[r]:
                return False
        for r, uses in rows:
            self.left[r] -= uses[customer]
        return True


def ranked(problem):
    """Each customer's treatments of positive value, best first: a list of lists."""
    values = numpy.nan_to_num(problem.values, nan=-1.0)
    order = numpy.argsort(-values, axis=1, kind="stable")
    counts = (values > 0.0).sum(axis=1)
    return [line[:count] for line, count in zip(order.tolist(), counts.tolist())]


def in_order(problem):
    """First come, first served: each customer takes the best that has room."""
    room = Room(problem)
    plan = numpy.full(len(problem.customers), NOTHING)
    for i, treatments in enumerate(ranked(problem)):
        for t in treatments:
            if room.take(i, t):
                plan[i] = t
                break
    return plan


def take_pairs(problem, customers, treatments):
    room = Room(problem)
    plan = [NOTHING] * len(problem.customers)
    for i, t in zip(customers.tolist(), treatments.tolist()):
        if plan[i] == NOTHING and room.take(i, t):
            plan[i] = t
    return numpy.array(plan)


def by_value(problem):
    """All pairs from the greatest value down."""
    values = numpy.nan_to_num(problem.values, nan=-1.0)
    customers, treatments = numpy.nonzero(values > 0.0)
    order = numpy.argsort(-values[customers, treatments], kind="stable")
    return take_pairs(problem, customers[order], treatments[order])


def by_priority(problem, priorities):
    """Treatment after treatment in order of priority, in each the customers of most value."""
    values = numpy.nan_to_num(problem.values, nan=-1.0)
    customers, treatments = numpy.nonzero(values > 0.0)
    rank = numpy.array(priorities)[treatments]
    order = numpy.lexsort((-values[customers, treatments], treatments, rank))
    return take_pairs(problem, customers[order], treatments[order])


def value_of(problem, plan, values=None):
    values = problem.values if values is None else values
    treated = numpy.nonzero(plan != NOTHING)[0]
    return float(values[treated, plan[treated]].sum())


# ---- with our solver ----


def solve(run, cvm, problem, folder):
    """The plan of `cvm allocate`, and what it says of it."""
    problem.write(folder)
    out = os.path.join(folder, "plan.csv")
    answer = run([cvm, "allocate", os.path.join(folder, "problem.json"), "--plan", out, "--json"]).document
    number = {c: i for i, c in enumerate(problem.customers.tolist())}
    treatment = {t: i for i, t in enumerate(problem.treatments)}
    plan = numpy.full(len(problem.customers), NOTHING)
    with open(out, encoding="utf-8", newline="") as stream:
        for line in csv.DictReader(stream):
            plan[number[line["customer_id"]]] = treatment[line["treatment"]]
    return plan, answer


def share_of(limit, kind, k, count):
    """Chunk k's part of a limit; the parts add up to it. Money is divided to the cent."""
    unit = 100.0 if kind == "budget" else 1.0
    whole = round(limit * unit)
    part = whole * (k + 1) // count - whole * k // count
    return part / unit if unit > 1.0 else part


def in_chunks(run, cvm, problem, size, folder):
    """Random chunks, every limit divided among them."""
    order = numpy.random.default_rng(size).permutation(len(problem.customers))
    count = max(1, len(order) // size)
    plan = numpy.full(len(order), NOTHING)
    for k, chosen in enumerate(numpy.array_split(order, count)):
        chosen = numpy.sort(chosen)
        limits = [
            row["limit"] if row["kind"] in problem_file.SHARE else share_of(row["limit"], row["kind"], k, count)
            for row in problem.rows
        ]
        plan[chosen], _ = solve(run, cvm, problem.part(chosen, limits), folder)
    return plan
