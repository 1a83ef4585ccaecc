#!/usr/bin/env python3
"""The solver beside others on the same problems in the same run: CVM [--parts lp,rules,truth] ...

- lp: Clp (dual simplex, barrier), HiGHS (simplex, interior point) and OR-Tools PDLP solve the linear program whose
  optimum our dual bound claims to be; a time-out is a result, a bound that differs is a failure (exit status 1).
- rules: what simpler rules, and random chunks with divided capacity, lose of the value.
- truth: the same on the problems of runs over generated bases, counted by what treatments are really worth there.

Needs numpy, scipy, highspy and ortools, and Debian's coinor-clp: bench/run_all.sh sees to them. Tables go to standard
output in Markdown, figures to --json, the picture to --picture.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "support"))
import cvm_program  # noqa: E402
import peers_picture  # noqa: E402
import problem_file  # noqa: E402
import run_problem  # noqa: E402
import simple_rules  # noqa: E402

PEERS = {
    "clp-dual": ("Clp dual simplex", 1e-7),
    "clp-barrier": ("Clp barrier", 1e-7),
    "highs-simplex": ("HiGHS simplex", 1e-7),
    "highs-ipm": ("HiGHS interior point", 1e-7),
    "pdlp": ("OR-Tools PDLP", 1e-4),
}
GRACE = 300  # seconds to read and hand over the model, and to notice the limit
DAY = "2024-03-20"
STUDENT_95 = {5: 2.776, 10: 2.262, 20: 2.093, 30: 2.045}  # two-sided, by number of seeds


def say(text):
    print(f"peers: {text}", file=sys.stderr, flush=True)


# ---- linear programs ----


def bench(options, customers, rows, folder):
    """Our solve of one instance, which is left in the folder."""
    result = cvm_program.run([
        options.cvm, "bench", "allocate", "--customers", customers, "--rows", rows, "--seed", options.seed,
        "--threads", options.threads, "--repeat", 7, "--write", folder, "--json",
    ])
    return {r["name"]: r["value"] for r in result.document["results"]}


def ask_peer(options, name, path):
    arguments = [
        sys.executable, os.path.join(HERE, "linear_solver.py"), name, path, "--limit", str(options.limit),
        "--threads", str(options.threads),
    ]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          start_new_session=True) as child:
        try:
            out, _ = child.communicate(timeout=options.limit + GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            child.communicate()
            return {"status": "Time limit", "objective": None, "seconds": options.limit}
    try:
        return json.loads(out.strip().split("\n")[-1])
    except ValueError:
        return {"status": f"ended with {child.returncode}", "objective": None, "seconds": None}


def case_of(figures, customers, rows):
    """The figures of one case, which may know some peers already."""
    cases = figures.setdefault("lp", [])
    for case in cases:
        if (case["customers"], case["rows"]) == (customers, rows):
            return case
    cases.append({"customers": customers, "rows": rows, "peers": {}})
    cases.sort(key=lambda case: (case["customers"], case["rows"]))
    return case_of(figures, customers, rows)


def compare_lp(options, name, folder, figures):
    customers, rows = (int(n) for n in name.split("x"))
    say(f"{customers:,} customers, {rows} rows")
    case = case_of(figures, customers, rows)
    ours = bench(options, customers, rows, folder)
    program = problem_file.LinearProgram(problem_file.read(folder))
    path = os.path.join(folder, "lp.npz")
    program.save(path)
    case.update(ours=ours, columns=len(program.cost))
    del program
    for peer in options.peers:
        say(f"  {peer} ...")
        answer = ask_peer(options, peer, path)
        if answer["objective"]:  # a solver that was stopped may say 0
            answer["difference"] = ours["dual_bound"] / answer["objective"] - 1.0
        answer["is_optimal"] = answer["status"] == "Optimal"
        answer["agrees"] = not answer["is_optimal"] or abs(answer["difference"]) <= PEERS[peer][1]
        case["peers"][peer] = answer
        say(f"  {peer}: {answer}")
        save(options.json, figures)  # hours of work are not lost with the last case


def print_lp(cases):
    print("| customers | rows | columns | solver | seconds | bound | our bound is |")
    print("|---|---|---|---|---|---|---|")
    for case in cases:
        ours = case["ours"]
        print(
            f"| {case['customers']:,} | {case['rows']} | {case['columns']:,} | cvm, integral plan, gap "
            f"{ours['cold_gap']:.1e} | {ours['cold_seconds_median']:.3f} | {ours['dual_bound']:,.4f} | |"
        )
        for name, answer in case["peers"].items():
            seconds = "" if answer["seconds"] is None else f"{answer['seconds']:,.1f}"
            if answer["is_optimal"]:
                far = "" if answer["agrees"] else ": NOT THE SAME"
                bound, difference = f"{answer['objective']:,.4f}", f"{answer['difference']:+.1e}{far}"
            else:
                bound, difference = answer["status"].lower(), ""
            print(f"| | | | {PEERS[name][0]} | {seconds} | {bound} | {difference} |")
    print()


# ---- rules ----


RULES = {
    "in_order": "first come, first served",
    "by_value": "best value first",
    "by_priority": "treatments by priority",
    "chunks_1000": "our solver on random chunks of 1,000",
    "chunks_10000": "our solver on random chunks of 10,000",
}


def plans_of(options, problem, priorities, folder):
    """Our plan and those of the rules."""
    plan, answer = simple_rules.solve(cvm_program.run, options.cvm, problem, folder)
    plans = {
        "plan": plan,
        "in_order": simple_rules.in_order(problem),
        "by_value": simple_rules.by_value(problem),
        "by_priority": simple_rules.by_priority(problem, priorities),
    }
    for size in (1000, 10000):
        if len(problem.customers) > size:
            plans[f"chunks_{size}"] = simple_rules.in_chunks(cvm_program.run, options.cvm, problem, size, folder)
    return plans, answer


def compare_rules(options, customers, folder):
    say(f"rules on {customers:,} customers")
    bench(options, customers, 13, folder)
    problem = problem_file.read(folder)
    plans, answer = plans_of(options, problem, range(len(problem.treatments)), folder)
    ours = simple_rules.value_of(problem, plans["plan"])
    lost = {name: 100.0 * (1.0 - simple_rules.value_of(problem, plan) / ours) for name, plan in plans.items()}
    return {"customers": customers, "value": ours, "gap": answer["gap"], "lost": lost}


def print_rules(cases):
    print("| rule | " + " | ".join(f"{case['customers']:,}" for case in cases) + " |")
    print("|---|" + "---|" * len(cases))
    for name, words in RULES.items():
        cells = [f"{case['lost'][name]:.2f}" if name in case["lost"] else "" for case in cases]
        print(f"| {words} | " + " | ".join(cells) + " |")
    print()


# ---- truth ----


def one_world(options, seed, folder):
    store = cvm_program.Deployment.create(options.cvm, os.path.join(folder, f"world{seed}"), options.world_customers)
    path = os.path.join(folder, "truth.csv")
    store.cvm("generate", "--customers", options.world_customers, "--seed", seed, "--until", DAY, "--truth", path,
              "--quiet")
    run_id = store.json("run", "--as-of", DAY)["run_id"]
    problem, priorities = run_problem.read(store, run_id, DAY)
    worth = run_problem.truth(path, problem)
    plans, answer = plans_of(options, problem, priorities, os.path.join(folder, "problem"))
    store.remove()
    return {
        "seed": seed,
        "gap": answer["gap"],
        "expected": {n: simple_rules.value_of(problem, p) for n, p in plans.items()},
        "realised": {n: simple_rules.value_of(problem, p, worth) for n, p in plans.items()},
    }


def interval(values):
    """Mean and half the width of its 95 % interval."""
    count = len(values)
    mean = sum(values) / count
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / max(1, count - 1))
    return mean, STUDENT_95.get(count, 2.0) * deviation / math.sqrt(count)


def compare_truth(options, folder):
    worlds = []
    for seed in range(1, options.seeds + 1):
        say(f"world {seed} of {options.seeds}")
        worlds.append(one_world(options, seed, folder))
    figures = {"customers": options.world_customers, "seeds": options.seeds, "worlds": worlds, "rules": {}}
    for name in worlds[0]["realised"]:
        value, width = interval([w["realised"][name] for w in worlds])
        lost, lost_width = interval(
            [100.0 * (1.0 - w["realised"][name] / w["realised"]["plan"]) for w in worlds]
        )
        expected, _ = interval([100.0 * (1.0 - w["expected"][name] / w["expected"]["plan"]) for w in worlds])
        figures["rules"][name] = {
            "value": value, "value_width": width, "lost": lost, "lost_width": lost_width, "expected_lost": expected,
        }
    return figures


def print_truth(figures):
    print("| rule | realised value a night | lost of it, % | expected to be lost, % |")
    print("|---|---|---|---|")
    for name, row in figures["rules"].items():
        words = RULES.get(name, "cvm: one solve over everybody")
        lost = "" if name == "plan" else f"{row['lost']:.1f} ± {row['lost_width']:.1f}"
        expected = "" if name == "plan" else f"{row['expected_lost']:.2f}"
        print(f"| {words} | {row['value']:,.0f} ± {row['value_width']:,.0f} | {lost} | {expected} |")
    print()


# ---- all ----


def words(text):
    return [word for word in text.split(",") if word]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cvm")
    parser.add_argument("--parts", type=words, default=["lp", "rules", "truth"])
    parser.add_argument("--cases", type=words, default=["10000x13", "10000x33", "100000x13", "100000x33", "1000000x13"],
                        help="customers x rows of the linear programs")
    parser.add_argument("--peers", type=words, default=list(PEERS))
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for each solver and case")
    parser.add_argument("--rule-customers", type=words, default=["100000"])
    parser.add_argument("--seeds", type=int, default=20, help="generated worlds")
    parser.add_argument("--world-customers", type=int, default=20000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", help="figures of all parts; what is not asked for keeps what stands there")
    parser.add_argument("--picture")
    options = parser.parse_args()
    unknown = [name for name in options.peers if name not in PEERS]
    if unknown:
        parser.error(f"there is no peer {unknown[0]}: {', '.join(PEERS)} are there")
    options.cvm = os.path.abspath(options.cvm)
    return options


def load(path):
    if path is None or not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def save(path, figures):
    if path is not None:
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(figures, stream, indent=1)


def main():
    options = parse()
    figures = load(options.json)
    started = time.monotonic()
    with cvm_program.scratch("cvm-peers-") as folder:
        if "lp" in options.parts:
            for case in options.cases:
                compare_lp(options, case, os.path.join(folder, "lp"), figures)
            print_lp(figures["lp"])
        if "rules" in options.parts:
            figures["rules"] = [compare_rules(options, int(n), os.path.join(folder, "r")) for n in options.rule_customers]
            print_rules(figures["rules"])
        if "truth" in options.parts:
            figures["truth"] = compare_truth(options, folder)
            print_truth(figures["truth"])
    save(options.json, figures)
    if options.picture:
        peers_picture.write(options.picture, figures, {name: words for name, (words, _) in PEERS.items()}, RULES)
    say(f"{time.monotonic() - started:,.0f} s")
    wrong = [
        f"{case['customers']:,} customers, {case['rows']} rows, {PEERS[name][0]}: our bound differs by "
        f"{answer['difference']:+.1e}"
        for case in figures.get("lp", []) for name, answer in case["peers"].items() if not answer["agrees"]
    ]
    for line in wrong:
        say(f"FAIL {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except cvm_program.Failure as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
