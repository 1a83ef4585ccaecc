#!/usr/bin/env python3
"""`cvm allocate`: a problem from files, its plan, certificate, scenarios and mistakes: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one. allocation_check.py recomputes every
figure of an answer from the files.
"""

import csv
import json
import os
import random
import shutil
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import allocation_check  # noqa: E402
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

VALUES = """customer_id,segment,high_value,amount,call,sms
A,north,1,100,10,4
B,north,0,50,9,3
C,south,0,20,8,7
D,south,0,0,5,
E,west,1,10,,2
"""


class World:
    """A folder with problem.json and values.csv."""

    def __init__(self, program, folder):
        self.program = os.path.abspath(program)
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, content):
        with open(self.path(name), "wb") as stream:
            stream.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)

    def problem(self, rows=(), values=VALUES, **keys):
        self.write("values.csv", values)
        problem = {"treatments": ["call", "sms"], "values": "values.csv", "rows": list(rows), **keys}
        return self.write("problem.json", json.dumps(problem, indent=1))

    def cvm(self, *arguments, **options):
        return cvm_program.run([self.program, "allocate", *arguments], **options)

    def answer(self, *options):
        """Solve what is in the folder and check all of the answer."""
        plan = self.path("plan.csv")
        answer = self.cvm(self.path("problem.json"), "--plan", plan, *options, "--json").document
        allocation_check.check(self.path("problem.json"), plan, answer)
        return answer

    def solve(self, rows=(), values=VALUES, **keys):
        self.problem(rows, values, **keys)
        return self.answer()

    def plan(self):
        with open(self.path("plan.csv"), encoding="utf-8", newline="") as stream:
            return [tuple(line) for line in csv.reader(stream)][1:]

    def fails(self, *words, code=1, arguments=()):
        """The command ends with this code and one error document that holds the words; no plan is written."""
        plan = self.path("none.csv")
        result = self.cvm(self.path("problem.json"), "--plan", plan, *arguments, "--json", allowed=(code,))
        error = result.document["error"]
        same(sorted(error), ["hint", "message", "status", "where"], "the error document")
        text = " ".join(error.values())
        for word in words:
            expect(word in text, f"no '{word}' in {error}")
        expect(not os.path.exists(plan), "a plan was written")
        return error


def row(name, kind, limit, *treatments, **keys):
    return {"name": name, "kind": kind, "limit": limit, **({"treatments": list(treatments)} if treatments else {}), **keys}


# ---- the rows, one kind at a time, by hand ----


def without_rows_everybody_gets_the_best_treatment(world):
    answer = world.solve()
    same(world.plan(), [("A", "call"), ("B", "call"), ("C", "call"), ("D", "call"), ("E", "sms")], "plan")
    same((answer["value"], answer["dual_bound"], answer["gap"], answer["treated"]), (34, 34, 0, 5), "figures")
    same((answer["feasible"], answer["rows"], answer["infeasible"]), (True, [], []), "no rows")
    same(sorted(answer["seconds"]), ["read", "solve", "verify"], "seconds")


def a_capacity_counts_pairs(world):
    answer = world.solve([row("calls", "capacity", 2, "call")])
    # C gives up 1 by taking sms, A 6, B 6, D 5: the calls go to A and B
    same(world.plan(), [("A", "call"), ("B", "call"), ("C", "sms"), ("E", "sms")], "plan")
    same((answer["value"], answer["rows"][0]["used"], answer["rows"][0]["binding"]), (28, 2, True), "figures")
    expect(5 - 1e-6 <= answer["rows"][0]["price"] <= 6 + 1e-6, str(answer["rows"][0]))


def a_capacity_of_all_treatments_limits_the_treated(world):
    answer = world.solve([row("all", "capacity", 1)])
    same((world.plan(), answer["value"]), ([("A", "call")], 10), "plan")


def a_capacity_of_zero_gives_nothing(world):
    answer = world.solve([row("calls", "capacity", 0, "call")])
    same(answer["by_treatment"], {"call": 0, "sms": 4}, "by_treatment")
    answer = world.solve([row("all", "capacity", 0)])
    same((answer["value"], answer["treated"], world.plan()), (0, 0, []), "nothing")


def shared_capacity_counts_units_and_one_where_none_are_named(world):
    answer = world.solve([row("minutes", "shared", 4.5, units={"call": 1.75})])
    # A and B call (3.5), one sms (1): 10 + 9 + 7
    same((answer["value"], answer["rows"][0]["used"]), (26, 4.5), "figures")
    same(world.plan(), [("A", "call"), ("B", "call"), ("C", "sms")], "plan")


def units_are_decimals_and_not_doubles(world):
    lines = "".join(f"C{i},1,1\n" for i in range(10))
    answer = world.solve([row("u", "shared", 1, units={"call": 0.1})], "customer_id,call,sms\n" + lines.replace(",1,1", ",1,"))
    same((answer["treated"], answer["rows"][0]["used"]), (10, 1), "ten tenths are one")


def a_budget_counts_cost_and_rate_times_amount(world):
    keys = {"cost": {"call": 1}, "cost_rate": {"call": 0.1, "sms": 0.01}}
    answer = world.solve([row("money", "budget", 5, "call", "sms")], **keys)
    # call: A 11, B 6, C 3, D 1; sms: A 1, B 0.5, C 0.2, E 0.1. C and D call, A and E sms: 5.1 is too much.
    same(answer["rows"][0]["limit"], 5, "limit")
    expect(answer["rows"][0]["used"] <= 5, str(answer["rows"][0]))
    answer = world.solve([row("money", "budget", 5.1, "call", "sms")], **keys)
    # C sms 0.2, D call 1, A sms 1, B sms 0.5, E sms 0.1
    expect(answer["value"] >= 21, str(answer))


def a_cost_is_rounded_half_to_even_per_pair(world):
    # 0.0000005 each: to the even 0; 0.0000015: to 0.000002
    values = "customer_id,amount,call,sms\nA,1,1,\nB,1,1,\nC,1,1,\nD,3,1,\nE,3,1,\n"
    answer = world.solve([row("money", "budget", 0.000002)], values, cost_rate={"call": 5e-7})
    same((answer["treated"], answer["rows"][0]["used"]), (4, 0.000002), "the three of 0 and one of 0.000002")


def a_measure_is_a_cost_of_its_own(world):
    measures = {"incentive": {"cost": {"call": 5}}, "loaded": {"cost": {"sms": 1}, "cost_rate": {"call": 1}}}
    answer = world.solve(
        [row("gifts", "budget", 10, measure="incentive"), row("plain", "budget", 3)],
        cost={"call": 1, "sms": 1}, measures=measures,
    )
    same((answer["rows"][0]["used"], answer["rows"][1]["used"]), (10, 3), "used")
    same(answer["by_treatment"], {"call": 2, "sms": 1}, "by_treatment")


def segment_rows_count_covered_pairs_of_the_segment(world):
    answer = world.solve([row("few", "segment_max", 1, "call", segment="north")])
    same(answer["by_treatment"], {"call": 3, "sms": 2}, "one of the north is called")
    answer = world.solve([row("all", "capacity", 1), row("south", "segment_min", 1, segment="south")])
    same((world.plan(), answer["rows"][1]["used"]), ([("C", "call")], 1), "the only one goes south")


def a_minimum_can_need_what_is_worth_less_than_nothing(world):
    values = "customer_id,segment,call,sms\nA,n,-3,-1\nB,n,-2,\nC,s,5,4\n"
    answer = world.solve([row("n", "segment_min", 1, segment="n"), row("one", "segment_min", 1, "call", segment="n")], values)
    same((world.plan(), answer["value"]), ([("B", "call"), ("C", "call")], 3), "the cheapest call of the segment")


def shares_are_of_all_covered_pairs(world):
    answer = world.solve([row("fair", "share_max", 0.4, segment="north")])
    same((answer["rows"][0]["used"], answer["rows"][0]["limit"], answer["treated"]), (0.4, 0.4, 5), "2 of 5")
    answer = world.solve([row("all", "capacity", 2), row("fair", "share_min", 0.5, segment="south")])
    same((world.plan(), answer["rows"][1]["used"]), ([("A", "call"), ("C", "call")], 0.5), "1 of 2")
    answer = world.solve([row("third", "share_min", 1 / 3, segment="west"), row("all", "capacity", 3)])
    same((answer["feasible"], answer["treated"]), (True, 3), "1 of 3 is a third")
    answer = world.solve([row("two", "share_min", 2 / 3, segment="north"), row("all", "capacity", 3)])
    same((answer["feasible"], answer["treated"]), (True, 3), "2 of 3 are two thirds")


def a_reserve_keeps_capacity_for_high_value_customers(world):
    answer = world.solve([row("calls", "capacity", 2, "call"), row("kept", "reserve", 2, "call")])
    same(world.plan(), [("A", "call"), ("B", "sms"), ("C", "sms"), ("E", "sms")], "only A is of high value and callable")
    same((answer["rows"][1]["used"], answer["rows"][1]["limit"]), (0, 0), "others got 0 of 2 - 2")
    answer = world.solve([row("big", "capacity", 9, "call"), row("calls", "capacity", 2, "call"), row("kept", "reserve", 1, "call")])
    same(world.plan()[:2], [("A", "call"), ("B", "call")], "1 of the smallest capacity is for others")
    same((answer["rows"][2]["used"], answer["rows"][2]["limit"]), (1, 1), "figures")


def several_treatments_and_exclusions(world):
    world.solve(max_per_customer=2)
    same(len(world.plan()), 8, "all eligible pairs")
    answer = world.solve(max_per_customer=2, exclusions=[["call", "sms"]])
    same((len(world.plan()), answer["treated"], answer["value"]), (5, 5, 34), "one of the two")


def a_household_is_treated_up_to_its_maximum(world):
    values = "customer_id,group,call,sms\nA,h1,5,1\nB,h1,7,\nC,h1,6,\nD,,1,\nE,h2,2,\n"
    answer = world.solve(values=values)
    same((world.plan(), answer["value"]), ([("B", "call"), ("D", "call"), ("E", "call")], 10), "the best of each")
    answer = world.solve(values=values, max_per_group=2)
    same((answer["treated"], answer["value"]), (4, 16), "two of each")


def dimensions_are_segments_of_their_own(world):
    values = "customer_id,segment,seg:region,seg:age,call,sms\nA,x,north,old,5,1\nB,x,north,young,4,\nC,y,south,old,3,\n"
    answer = world.solve(
        [
            row("n", "segment_max", 1, segment="region=north"),
            row("o", "segment_min", 1, segment="age=old"),
            row("x", "segment_max", 5, segment="x"),
        ],
        values,
    )
    same((world.plan(), [r["used"] for r in answer["rows"]]), ([("A", "call"), ("C", "call")], [1, 2, 1]), "plan")
    world.problem([row("n", "segment_max", 1, segment="regoin=north")], values)
    world.fails("row 'n' needs the column 'seg:regoin'", "problem.json:8")


# ---- what cannot be kept ----


def a_minimum_out_of_reach_is_told_and_the_plan_comes_as_near_as_it_can(world):
    answer = world.solve([row("south", "segment_min", 3, segment="south"), row("all", "capacity", 4)])
    same((answer["feasible"], answer["rows"][0]["used"], answer["rows"][0]["shortfall"]), (False, 2, 1), "two of three")
    told = answer["infeasible"][0]
    expect("south" in told["rows"] and "south" in told["message"] and told["relaxation"], str(told))
    text = world.cvm(world.path("problem.json")).out
    expect("no plan is worth more" not in text, text)
    expect("1 short" in text and told["message"] in text and told["relaxation"] in text, text)


def minimums_that_contradict_a_capacity_are_named_together(world):
    answer = world.solve(
        [
            row("north", "segment_min", 2, segment="north"),
            row("south", "segment_min", 2, segment="south"),
            row("all", "capacity", 3),
            row("free", "capacity", 9),
        ]
    )
    same(answer["feasible"], False, "feasible")
    same(sorted(answer["infeasible"][0]["rows"]), ["all", "north", "south"], "rows")
    same(sum(r["shortfall"] for r in answer["rows"]), 1, "shortfall")


def a_segment_that_nobody_is_in_is_no_mistake_but_said(world):
    result_rows = [row("nobody", "segment_max", 1, segment="nowhere")]
    same(world.solve(result_rows)["value"], 34, "a maximum of nobody")
    expect("no customer is in segment 'nowhere'" in world.cvm(world.path("problem.json")).err, "the warning")
    answer = world.solve([row("nobody", "segment_min", 1, segment="nowhere")])
    same((answer["feasible"], answer["value"], answer["rows"][0]["shortfall"]), (False, 34, 1), "a minimum of nobody")


def empty_problems_have_answers(world):
    header = "customer_id,call,sms\n"
    rows = [row("all", "capacity", 3), row("f", "share_max", 0.5, segment="x")]
    answer = world.solve(rows, "customer_id,segment,call,sms\n")
    same((answer["customers"], answer["value"], answer["dual_bound"], answer["gap"]), (0, 0, 0, 0), "nobody")
    answer = world.solve(values=header + "A,,\nB,,\n")
    same((answer["customers"], answer["treated"], answer["value"]), (2, 0, 0), "nobody is eligible")
    answer = world.solve([row("m", "segment_min", 1, segment="x")], "customer_id,segment,call,sms\n")
    same((answer["feasible"], answer["rows"][0]["shortfall"]), (False, 1), "a minimum of an empty file")
    answer = world.solve(values=header + "A,0,0\nB,-1,-2\n")
    same((answer["treated"], answer["value"], answer["gap"]), (0, 0, 0), "nothing is worth anything")


# ---- values of all sorts ----


def grids_ties_and_extremes_have_right_answers(world):
    generator = random.Random(5)
    kinds = {
        "grid": lambda: generator.choice([0.5, 1, 1.5, 2]),
        "equal": lambda: 3,
        "negative": lambda: -generator.random(),
        "mixed": lambda: generator.choice([1e-9, 1e9]) * generator.random(),
        "exact": lambda: 0.1 + generator.randrange(3) * 1e-17,
        "zero": lambda: 0,
    }
    for name, draw in kinds.items():
        values = "customer_id,segment,amount,call,sms\n" + "".join(
            f"C{i},{generator.choice('ns')},{generator.randrange(50)},{draw()!r},{draw()!r}\n" for i in range(120)
        )
        answer = world.solve(
            [row("calls", "capacity", 20, "call"), row("money", "budget", 99.5), row("m", "segment_min", 3, segment="n")],
            values, cost={"call": 1}, cost_rate={"sms": 0.25},
        )
        expect(answer["feasible"], name)
        if name in ("grid", "equal", "zero"):
            expect(answer["gap"] < 0.05, f"{name}: {answer['gap']}")


def numbers_are_read_to_the_last_bit(world):
    texts = ["0.1", "1e-9", "123456789.12345678", "+2.5", "3.", ".5", "1E2", "-0", "4.000000000000000001", " 7 "]
    world.solve(values="customer_id,call,sms\n" + "".join(f"C{i},{t},\n" for i, t in enumerate(texts)))


# ---- generated problems ----


def generate(generator, customers):
    """A problem with every row kind and option now and then; and its values.csv."""
    treatments = generator.sample(["call", "mail", "sms", "gift", "push", "visit"], generator.randint(1, 5))
    segments, regions = ["north", "south", "west"], ["in", "out"]
    columns = ["customer_id", "segment", "high_value", "amount"]
    columns += ["group"] * generator.randrange(2) + ["seg:region"] + treatments
    generator.shuffle(columns)
    grid = generator.choice([0, 0, 0, 0.5])
    lines = [",".join(columns)]
    for i in range(customers):
        fields = {
            "customer_id": f"K{i:05d}",
            "segment": generator.choice(segments),
            "high_value": str(int(generator.random() < 0.2)),
            "amount": generator.choice(["", "0", f"{generator.lognormvariate(3, 1):.2f}"]),
            "group": generator.choice(["", f"h{generator.randrange(max(1, customers // 3))}"]),
            "seg:region": generator.choice(regions),
        }
        for t in treatments:
            value = generator.lognormvariate(1, 1) - 1
            value = round(value / grid) * grid if grid else value
            fields[t] = "" if generator.random() < 0.3 else repr(value)
        lines.append(",".join(fields[c] for c in columns))

    def some():
        return generator.sample(treatments, generator.randint(1, len(treatments)))

    def number(share):
        return generator.choice([int, float])(round(customers * share * generator.random(), 3))

    rows = []
    for kind in generator.sample(
        ["capacity", "shared", "budget", "segment_max", "segment_min", "share_min", "share_max", "reserve"], generator.randint(0, 8)
    ):
        one = {"name": f"{kind} {len(rows)}", "kind": kind, "limit": number(0.5)}
        if generator.random() < 0.7:
            one["treatments"] = some()
        if kind == "shared" and generator.random() < 0.8:
            one["units"] = {t: generator.choice([0, 1, 2.5, 0.333, generator.random()]) for t in some()}
        if kind.startswith("segment") or kind.startswith("share_"):
            one["segment"] = generator.choice(segments + ["region=" + r for r in regions])
        if kind.startswith("share_"):
            one["limit"] = generator.choice([0.1, 0.25, 1 / 3, 0.5, generator.random()])
        if kind == "segment_min":
            one["limit"] = number(0.1)
        if kind == "budget":
            one["limit"] = generator.choice([round(customers * generator.random(), 2), customers * generator.random()])
            if generator.random() < 0.5:
                one["measure"] = "gifts"
        if kind == "reserve":
            one["treatments"] = [generator.choice(treatments)]
            capacity = {"kind": "capacity", "treatments": one["treatments"], "limit": generator.randint(0, customers // 3 + 1)}
            rows.append({"name": "its capacity", **capacity})
        rows.append(one)
    for one in rows:
        if one["kind"] == "reserve":
            same_treatment = [r for r in rows if set(r.get("treatments", treatments)) == set(one["treatments"])]
            one["limit"] = min(r["limit"] for r in same_treatment if r["kind"] == "capacity") * generator.choice([0, 0.5, 1])
    problem = {
        "treatments": treatments,
        "values": "values.csv",
        "rows": rows,
        "cost": {t: round(3 * generator.random(), 2) for t in some()},
        "cost_rate": {t: round(0.2 * generator.random(), 3) for t in some()},
        "measures": {"gifts": {"cost": {t: generator.random() for t in some()}}},
    }
    if generator.random() < 0.4:
        problem["max_per_customer"] = generator.randint(1, 3)
    if generator.random() < 0.3 and len(treatments) > 1:
        problem["exclusions"] = [generator.sample(treatments, 2)]
    if "group" in columns and generator.random() < 0.5:
        problem["max_per_group"] = generator.randint(1, 3)
    return problem, "\n".join(lines) + "\n"


def answer_of_seed(world, seed, problem, values):
    world.write("values.csv", values)
    world.write("problem.json", json.dumps(problem))
    try:
        return world.answer()
    except (AssertionError, cvm_program.Failure) as error:
        raise AssertionError(f"seed {seed}: {error}") from error


def answers_of_generated_problems_hold_in_every_figure(world):
    infeasible = 0
    for seed in range(60):
        problem, values = generate(random.Random(seed), [0, 1, 7, 40, 150, 400][seed % 6])
        infeasible += not answer_of_seed(world, seed, problem, values)["feasible"]
    expect(0 < infeasible < 40, f"{infeasible} of 60 are infeasible: the generator is out of balance")


def the_best_plan_of_small_problems_lies_between_value_and_bound(world):
    found = 0
    for seed in range(1000, 1060):
        answer = answer_of_seed(world, seed, *generate(random.Random(seed), 5))
        best = allocation_check.best_plan_value(allocation_check.Problem(world.path("problem.json")))
        same(answer["feasible"], best is not None, f"seed {seed}: feasible")
        if best is not None:
            found += 1
            room = 1e-9 * (1 + abs(best))
            expect(answer["value"] - room <= best <= answer["dual_bound"] + room, f"seed {seed}: {best} {answer}")
    expect(found > 30, f"{found} feasible")


# ---- the same plan ----


def neither_order_nor_threads_change_the_plan(world):
    for seed in (3, 4, 5):
        generator = random.Random(seed)
        problem, values = generate(generator, 500)
        world.write("values.csv", values)
        world.write("problem.json", json.dumps(problem))
        first = world.answer("--threads", "1")
        same(world.answer("--threads", "2")["plan_digest"], first["plan_digest"], "2 threads")
        header, *lines = values.strip().split("\n")
        generator.shuffle(lines)
        order = list(range(len(header.split(","))))
        generator.shuffle(order)
        lines = [[line.split(",")[k] for k in order] for line in [header] + lines]
        world.write("values.csv", "".join(",".join(fields) + "\n" for fields in lines))
        generator.shuffle(problem["treatments"])
        generator.shuffle(problem["rows"])
        world.write("problem.json", json.dumps(problem))
        again = world.answer()
        same((again["plan_digest"], again["value"]), (first["plan_digest"], first["value"]), "in another order")
        by_name = {r["name"]: r for r in first["rows"]}
        same({r["name"]: r for r in again["rows"]}, by_name, "rows")


def the_csv_may_be_of_any_dialect(world):
    digest = world.solve()["plan_digest"]
    variants = {
        "CRLF": VALUES.replace("\n", "\r\n"),
        "semicolons": VALUES.replace(",", ";"),
        "tabs": VALUES.replace(",", "\t"),
        "a byte-order mark": "\ufeff" + VALUES,
        "quotes": VALUES.replace("north", '"north"').replace("A,", '"A",'),
        "no last line end": VALUES.rstrip("\n"),
        "blank lines": VALUES.replace("\n", "\n\n"),
        "blanks": VALUES.replace(",", " , "),
    }
    for name, values in variants.items():
        world.write("values.csv", values)
        plan = world.path("plan.csv")
        same(world.cvm(world.path("problem.json"), "--plan", plan, "--json").document["plan_digest"], digest, name)


def ids_with_commas_quotes_and_letters_come_out_whole(world):
    ids = ['a,b', 'say "hi"', "Zoë", "0", "é", "z" * 255]
    with open(world.path("values.csv"), "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["customer_id", "call", "sms"])
        writer.writerows([i, 1, ""] for i in ids)
    world.problem(values=open(world.path("values.csv"), encoding="utf-8", newline="").read())
    world.answer()
    same(sorted(c for c, _ in world.plan()), sorted(ids), "ids")


# ---- scenarios ----


def scenarios_tell_what_other_limits_bring(world):
    world.problem(
        [row("calls", "capacity", 2, "call"), row("money", "budget", 3), row("kept", "reserve", 0, "call")],
        cost={"call": 1, "sms": 0.5},
    )
    world.write(
        "what_if.json",
        json.dumps(
            [
                {"name": "same", "set": {}},
                {"name": "more calls", "set": {"calls.limit": 3, "money": 10}},
                {"name": "no budget", "set": {"money.limit": None}},
                {"name": "kept", "set": {"kept.limit": 2}, "description": "all for high value"},
            ]
        ),
    )
    answer = world.answer("--scenarios", world.path("what_if.json"))
    scenarios = {s["name"]: s for s in answer["scenarios"]}
    same([s["name"] for s in answer["scenarios"]], ["same", "more calls", "no budget", "kept"], "order")
    same(scenarios["same"]["difference"]["value"], 0, "no change")
    same(scenarios["same"]["plan_digest"], answer["plan_digest"], "no change")
    same(scenarios["same"]["difference"]["customers_changed"], 0, "no change")
    same(scenarios["more calls"]["set"], {"calls.limit": 3, "money": 10}, "set")
    same(scenarios["no budget"]["rows"][1]["limit"], None, "no limit")
    more = scenarios["more calls"]
    same(more["difference"]["value"], more["value"] - answer["value"], "difference")
    same(
        more["difference"]["by_treatment"],
        {t: more["by_treatment"][t] - answer["by_treatment"][t] for t in answer["by_treatment"]},
        "difference by treatment",
    )
    same((more["rows"][0]["used"], more["rows"][0]["limit"]), (3, 3), "calls")
    same((scenarios["kept"]["rows"][2]["used"], scenarios["kept"]["rows"][2]["limit"]), (0, 0), "kept for high value")
    for scenario in answer["scenarios"]:
        expect(scenario["dual_bound"] >= scenario["value"], str(scenario))
        same(sorted(scenario["seconds"]), ["solve", "verify"], "seconds")
    text = world.cvm(world.path("problem.json"), "--scenarios", world.path("what_if.json")).out
    expect("more calls" in text and "difference" in text, text)


def a_scenario_is_what_the_problem_with_its_limits_would_be(world):
    for seed in (11, 12, 13):
        problem, values = generate(random.Random(seed), 300)
        world.write("values.csv", values)
        world.write("problem.json", json.dumps(problem))
        changes = {r["name"]: round(r["limit"] * 0.5, 3) for r in problem["rows"] if r["kind"] in ("capacity", "shared", "budget")}
        changes.update({r["name"]: 0 for r in problem["rows"] if r["kind"] == "reserve"})
        world.write("s.json", json.dumps([{"name": "half", "set": {k + ".limit": v for k, v in changes.items()}}]))
        warm = world.answer("--scenarios", world.path("s.json"))["scenarios"][0]
        for one in problem["rows"]:
            one["limit"] = changes.get(one["name"], one["limit"])
        world.write("problem.json", json.dumps(problem))
        cold = world.answer()
        same(warm["feasible"], cold["feasible"], "feasible")
        if cold["feasible"]:
            low = max(warm["value"], cold["value"])
            high = min(warm["dual_bound"], cold["dual_bound"])
            expect(low <= high + 1e-9 * (1 + abs(high)), f"seed {seed}: {low} above {high}")


def mistakes_in_scenarios_are_told_before_anything_is_solved(world):
    world.problem([row("calls", "capacity", 2, "call"), row("kept", "reserve", 1, "call")])
    for content, words in (
        ("[]", ("a list",)),
        ('{"name": "a"}', ("a list",)),
        ('[{"set": {}}]', ("no 'name'",)),
        ('[{"name": "a"}]', ("no 'set'",)),
        ('[{"name": "a", "set": {}}, {"name": "a", "set": {}}]', ("there twice",)),
        ('[{"name": "a", "set": {"cals.limit": 1}}]', ("no row", "Did you mean 'calls.limit'?")),
        ('[{"name": "a",\n"set": {"calls.limit": -1}}]', ("from 0", "s.json:2")),
        ('[{"name": "a", "set": {"calls": 1, "calls.limit": 2}}]', ("twice",)),
        ('[{"name": "a", "set": {"calls.limit": 0}}]', ("scenario 'a'", "reserves 1 of a capacity of 0")),
        ('[{"name": "a", "set": {"calls.limit": 1}, "sett": 1}]', ("unknown key 'sett'",)),
        ("[{]", ("JSON",)),
    ):
        world.write("s.json", content)
        world.fails(*words, arguments=("--scenarios", world.path("s.json")))
    world.fails("missing.json", arguments=("--scenarios", world.path("missing.json")))


# ---- mistakes ----


def mistakes_in_the_problem_name_line_and_remedy(world):
    good = {"treatments": ["call", "sms"], "values": "values.csv"}

    def with_rows(*rows):
        return {**good, "rows": list(rows)}

    calls = row("calls", "capacity", 2, "call")
    world.write("values.csv", VALUES)
    for problem, words in (
        ("", ("JSON", "problem.json:1")),
        ("{", ("JSON",)),
        ('{"treatments": ["call"],\n "values": "v.csv",}', ("JSON", "problem.json:2")),
        ('{"treatments": ["call"], "treatments": []}', ("appears twice",)),
        (b'{"treatments": ["\xff"]}', ("JSON",)),
        ([], ("a problem is an object",)),
        ({}, ("no 'treatments'",)),
        ({"treatments": ["call"]}, ("no 'values'",)),
        ({**good, "treatments": []}, ("one name or more",)),
        ({**good, "treatments": "call"}, ("list",)),
        ({**good, "treatments": ["call", "call"]}, ("treatment 'call' is there twice",)),
        ({**good, "treatments": ["call", ""]}, ("empty name",)),
        ({**good, "treatments": ["call", 3]}, ("text in double quotes",)),
        ({**good, "treatments": ["call", "segment"]}, ("another column",)),
        ({**good, "treatments": [f"t{i}" for i in range(65)]}, ("more than 64",)),
        ({**good, "rows": {}}, ("'rows' is a list",)),
        ({**good, "row": []}, ("unknown key 'row'", "Did you mean 'rows'?")),
        ({**good, "rows": [calls] * 129}, ("129 rows",)),
        ({**good, "cost": {"cal": 1}}, ("'cal' is not in 'treatments'", "Did you mean 'call'?")),
        ({**good, "cost": {"call": -1}}, ("from 0 to",)),
        ({**good, "cost": {"call": "1"}}, ("a number from 0",)),
        ({**good, "cost": [1]}, ("an object",)),
        ({**good, "cost_rate": {"call": 1e10}}, ("from 0 to",)),
        ({**good, "measures": {"m": {"costs": {}}}}, ("unknown key 'costs'",)),
        ({**good, "max_per_customer": 0}, ("from 1 to 8",)),
        ({**good, "max_per_customer": 1.5}, ("whole number",)),
        ({**good, "max_per_customer": 9}, ("from 1 to 8",)),
        ({**good, "max_per_group": 0}, ("from 1 to 255",)),
        ({**good, "exclusions": [["call"]]}, ("pairs",)),
        ({**good, "exclusions": [["call", "call"]]}, ("excludes itself",)),
        ({**good, "exclusions": [["call", "smz"]]}, ("Did you mean 'sms'?",)),
        (with_rows({"kind": "capacity", "limit": 1}), ("no 'name'",)),
        (with_rows({"name": "", "kind": "capacity", "limit": 1}), ("empty name",)),
        (with_rows({"name": "x", "limit": 1}), ("row 'x' has no 'kind'",)),
        (with_rows({"name": "x", "kind": "capacity"}), ("row 'x' has no 'limit'",)),
        (with_rows(row("x", "capcity", 1)), ("no kind 'capcity'", "Did you mean 'capacity'?")),
        (with_rows(row("x", "capacity", -1)), ("row 'x': 'limit' is -1", "from 0")),
        (with_rows(row("x", "capacity", "2")), ("row 'x': 'limit'", "a number")),
        (with_rows(row("x", "capacity", True)), ("row 'x': 'limit'",)),
        (with_rows(row("x", "capacity", 1e13)), ("from 0 to 1000000000000",)),
        (with_rows(row("x", "share_max", 1.5, segment="n")), ("from 0 to 1",)),
        (with_rows(calls, calls), ("row 'calls' is there twice",)),
        (with_rows(row("x", "capacity", 1, "cal")), ("row 'x': 'cal'", "Did you mean 'call'?")),
        (with_rows(row("x", "capacity", 1, "call", "call")), ("names treatment 'call' twice",)),
        (with_rows({**row("x", "capacity", 1), "treatments": []}), ("one name or more", "Leave it out")),
        (with_rows(row("x", "capacity", 1, units={"call": 2})), ("which has no 'units'",)),
        (with_rows(row("x", "capacity", 1, segment="n")), ("which has no 'segment'",)),
        (with_rows(row("x", "shared", 1, units={"call": -2})), ("from 0",)),
        (with_rows(row("x", "shared", 1, measure="m")), ("which has no 'measure'",)),
        (with_rows(row("x", "budget", 1, measure="m")), ("'m' is not in 'measures'",)),
        (with_rows(row("x", "segment_min", 1)), ("row 'x' has no 'segment'",)),
        (with_rows(row("x", "reserve", 1)), ("exactly one",)),
        (with_rows(row("x", "reserve", 1, "call")), ("capacity that is not there",)),
        (with_rows(calls, row("x", "reserve", 3, "call")), ("reserves 3 of a capacity of 2",)),
        (with_rows({**calls, "limits": 1}), ("unknown key 'limits'", "Did you mean 'limit'?")),
        ({**good, "values": "nothing.csv"}, ("nothing.csv", "relative to that file")),
        ({**good, "values": ""}, ("'values' is empty",)),
        ({**good, "values": "."}, ("cannot read",)),
    ):
        is_text = isinstance(problem, (str, bytes))
        world.write("problem.json", problem if is_text else json.dumps(problem, indent=1))
        error = world.fails(*words)
        expect(error["where"] or "cannot" in error["message"], f"no place: {error}")
    os.remove(world.path("problem.json"))
    same(world.fails("problem.json")["status"], "not_found", "no file")


def mistakes_in_the_values_name_line_column_and_remedy(world):
    lines = VALUES.split("\n")
    segment = row("s", "segment_max", 1, segment="north")

    def changed(number, text):
        return "\n".join(lines[:number] + [text] + lines[number + 1 :])

    for values, words in (
        ("", ("is empty", "customer_id")),
        ("\n\n", ("is empty",)),
        ("customer_id,call\nA,1\n", ("no column of treatment 'sms'", "values.csv:1")),
        ("call,sms\n1,2\n", ("no column 'customer_id'",)),
        ("customer_id,call,sms,call\n", ("column 'call' is there twice",)),
        ("customer_id,call,sms,gruop\n", ("column 'gruop'", "Did you mean 'group'?")),
        ("customer_id,call,sms,age\n", ("column 'age'", "Take it out")),
        (changed(2, "B,north,0,50,9"), ("5 fields where the header has 6", "values.csv:3")),
        (changed(2, "B,north,0,50,9,3,1"), ("7 fields",)),
        (changed(2, "B,north,0,50,nine,3"), ("column 'call': 'nine' is not a number", "values.csv:3")),
        (changed(2, "B,north,0,50,nan,3"), ("'nan' is not a number",)),
        (changed(2, "B,north,0,50,inf,3"), ("'inf' is not a number",)),
        (changed(2, 'B,north,0,50,"1,5",3'), ("'1,5' is not a number", "decimal point")),
        (changed(2, "B,north,0,50,1e13,3"), ("column 'call'", "10^12")),
        (changed(2, "B,north,0,50,1e999,3"), ("column 'call'",)),
        (changed(2, "B,north,2,50,9,3"), ("column 'high_value': '2' is not 0 or 1",)),
        (changed(2, "B,north,yes,50,9,3"), ("column 'high_value'",)),
        (changed(2, "B,north,0,-1,9,3"), ("column 'amount': '-1'",)),
        (changed(2, "B,north,0,1e10,9,3"), ("column 'amount'",)),
        (changed(2, ",north,0,50,9,3"), ("customer_id is empty", "values.csv:3")),
        (changed(2, "x" * 256 + ",north,0,50,9,3"), ("256 bytes",)),
        (changed(2, '"B\nC",north,0,50,9,3'), ("control characters",)),
        (changed(4, "B,north,0,50,9,3"), ("customer 'B' is there twice, in lines 3 and 5", "values.csv:5")),
        (changed(2, 'B,"north,0,50,9,3'), ("never closed", "values.csv:3")),
        (changed(2, 'B,no"rth,0,50,9,3'), ("stray quote",)),
        (changed(2, "B,no\0rth,0,50,9,3"), ("NUL",)),
        (changed(2, "B,north,0,50,9,3").encode() + b"\xff\xfe,,,,,\n", ("UTF-8",)),
    ):
        world.problem(values=values)
        world.fails(*words)
    world.problem([segment], "customer_id,call,sms\nA,1,2\n")
    world.fails("row 's' needs the column 'segment'", "problem.json:8")
    world.problem([row("c", "capacity", 1, "call"), row("r", "reserve", 1, "call")], "customer_id,call,sms\nA,1,2\n")
    world.fails("row 'r' needs the column 'high_value'")
    names = [f"s{i}" for i in range(13)]
    header = "customer_id," + ",".join("seg:" + n for n in names) + ",call,sms\n"
    lines = "".join(f"C{i}," + ",".join(f"{i >> k & 1}" for k in range(13)) + ",1,1\n" for i in range(1 << 13))
    world.problem([row(n, "segment_max", 9, segment=n + "=1") for n in names], header + lines)
    world.fails("more than 4096 kinds of customers")


def a_problem_that_only_warns_goes_through(world):
    world.problem(max_per_group=2)
    result = world.cvm(world.path("problem.json"), "--json")
    expect("max_per_group" in result.err and result.document["value"] == 34, str(result))
    same(world.cvm(world.path("problem.json"), "--json", "--quiet").err, "", "quiet")


# ---- the command ----


def what_is_read_is_never_written_over(world):
    world.problem()
    for name in ("problem.json", "values.csv"):
        before = open(world.path(name), "rb").read()
        world.cvm(world.path("problem.json"), "--plan", world.path(name), allowed=(2,))
        same(open(world.path(name), "rb").read(), before, name)
    world.cvm(world.path("problem.json"), "--plan", "", allowed=(2,))
    world.cvm(allowed=(2,))
    world.cvm(world.path("problem.json"), "--threads", "-1", allowed=(2,))


def a_plan_goes_to_files_pipes_and_devices(world):
    world.problem()
    world.cvm(world.path("problem.json"), "--plan", "/dev/null")
    expect(stat.S_ISCHR(os.stat("/dev/null").st_mode), "/dev/null is a device")
    lines = "customer_id,treatment\nA,call\nB,call\nC,call\nD,call\nE,sms\n"
    same(world.cvm(world.path("problem.json"), "--plan", "-").out, lines, "the plan alone")
    world.cvm(world.path("problem.json"), "--plan", "-", "--json", allowed=(2,))
    world.cvm(world.path("problem.json"), "--plan", world.path("p.csv"))
    same(open(world.path("p.csv"), encoding="utf-8").read(), lines, "a file")
    error = world.cvm(world.path("problem.json"), "--plan", world.path("no", "plan.csv"), "--json", allowed=(1,)).document["error"]
    same(error["status"], "not_found", str(error))


def people_get_a_table_and_the_next_step(world):
    world.problem([row("calls", "capacity", 2, "call"), row("money", "budget", 100)], cost={"call": 1})
    text = world.cvm(world.path("problem.json")).out
    for words in ("5 customers, 4 treated.", "Value 28.00;", "price of one more", "calls", "2.00", "binding", "Next:", "--plan"):
        expect(words in text, f"no '{words}' in {text}")
    expect("\033" not in text, "no colour in a file")
    text = world.cvm(world.path("problem.json"), "--plan", world.path("p.csv")).out
    expect("Who gets what is in" in text, text)


def no_store_is_needed_and_none_is_made(world):
    world.problem()
    before = sorted(os.listdir(world.folder))
    world.cvm(world.path("problem.json"), "--json")
    same(sorted(os.listdir(world.folder)), before, "files")


HELPERS = {"expect", "same", "row", "generate", "answer_of_seed", "main"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-allocate-") as folder:
        rules = cvm_program.rules_of(globals(), HELPERS)
        return cvm_program.run_rules(rules, lambda: World(program, os.path.join(folder, "work")), words)


if __name__ == "__main__":
    sys.exit(main())
