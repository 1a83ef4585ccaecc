"""The problem that a `cvm run` solved, read from its store: the stored values, the day's limits, and what the truth file
says that each treatment is really worth."""

import csv
import struct

import numpy

import problem_file

INELIGIBLE = -1e29
HEAD = struct.Struct("<4sIII")
HAS_GROUPS = 1 << 16
HAS_HOUSEHOLDS = 1 << 17


def columns_of(body):
    """Keys, margins and values of one stored block: src/engine/values.h has the layout. Households are passed over: no
    rule is held to their limits."""
    magic, version, treatments, count = HEAD.unpack_from(body)
    if (magic, version) != (b"CVMV", 3):
        raise SystemExit(f"a block of values is {magic} {version}: bench/run_problem.py reads CVMV 3")
    padded = (count + 15) // 16 * 16
    at = HEAD.size
    keys = numpy.frombuffer(body, "<u8", count, at)
    margins = numpy.frombuffer(body, "<f4", count, at + 8 * count)
    at += (8 + 3 * 4) * count  # keys; margins, churns, tirings
    at += 8 * count if treatments & HAS_GROUPS else 0
    at += (4 + 1) * count if treatments & HAS_HOUSEHOLDS else 0
    at += padded  # segments
    treatments &= HAS_GROUPS - 1
    values = numpy.frombuffer(body, "<f4", padded * treatments, at)
    values = values.reshape(padded // 16, treatments, 16).transpose(0, 2, 1).reshape(padded, treatments)[:count]
    return keys, margins.astype(float), values.astype(float)


def rows_of(treatments, limits):
    """The rows of problem.json; money is counted as what incentives are expected to cost."""
    rows = [
        {"name": t["id"], "kind": "capacity", "treatments": [t["id"]], "limit": limits["treatments"][t["id"]]["granted"]}
        for t in treatments
    ]
    for name, resource in limits["resources"].items():
        units = {t["id"]: t["constraints"]["uses"].get(name, 0) for t in treatments}
        units = {t: use for t, use in units.items() if use > 0}
        rows.append(
            {"name": name, "kind": "shared", "treatments": list(units), "units": units, "limit": resource["granted"]}
        )
    for name, budget in limits["budgets"].items():
        rows.append({"name": name, "kind": "budget", "limit": budget["granted"]})
    return rows


def read(store, run_id, day):
    """The problem, and the priority of each treatment."""
    treatments = [t for t in store.json("treatment", "list")["treatments"] if t["id"] != "ignore"]
    treatments = [store.json("treatment", "show", t["id"]) for t in treatments]
    names = [t["id"] for t in treatments]
    ids = dict(store.query("SELECT customer_key, customer_id FROM customer"))
    blocks = [columns_of(body) for (body,) in store.query(
        "SELECT body FROM value_block WHERE run_id = ? ORDER BY first_key", (run_id,))]
    keys = numpy.concatenate([b[0] for b in blocks])
    values = numpy.concatenate([b[2] for b in blocks])
    values[values < INELIGIBLE] = numpy.nan
    paid = {t["id"]: t["response"]["reach"]["mean"] * t["response"]["accept"]["mean"] for t in treatments}
    document = {
        "treatments": names,
        "values": "values.csv",
        "rows": rows_of(treatments, store.json("capacity", "show", "--as-of", day)),
        "cost": {t["id"]: paid[t["id"]] * t["response"]["incentive"] for t in treatments},
        "cost_rate": {t["id"]: paid[t["id"]] * t["response"]["incentive_margins"] for t in treatments},
    }
    count = len(keys)
    problem = problem_file.Problem(
        document, numpy.array([ids[int(k)] for k in keys]), numpy.full(count, "all"), numpy.zeros(count, dtype=bool),
        numpy.concatenate([b[1] for b in blocks]), values,
    )
    check(store, run_id, problem)
    return problem, [t["constraints"]["priority"] for t in treatments]


def check(store, run_id, problem):
    """The values are those that the run decided on."""
    number = {c: i for i, c in enumerate(problem.customers.tolist())}
    for customer, treatment, value in store.query(
        "SELECT customer_id, treatment, value FROM decision WHERE run_id = ?", (run_id,)
    ):
        found = problem.values[number[customer], problem.treatments.index(treatment)]
        if not abs(found - value) <= 1e-6 * max(1.0, abs(value)):
            raise SystemExit(f"{customer}, {treatment}: decided on {value}, stored is {found}")


def truth(path, problem):
    """What each pair is really worth, as the values of the problem stand."""
    number = {c: i for i, c in enumerate(problem.customers.tolist())}
    treatment = {t: i for i, t in enumerate(problem.treatments)}
    worth = numpy.zeros(problem.values.shape)
    with open(path, encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["treatment"] in treatment and row["customer_id"] in number:
                worth[number[row["customer_id"]], treatment[row["treatment"]]] = float(row["value"])
    return worth
