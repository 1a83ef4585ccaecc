#!/usr/bin/env python3
"""`cvm bench allocate` over sizes and numbers of rows, as tables: CVM [--customers N,...] [--seeds N] [--json OUT].

--seeds N solves the million, 33 rows, on that many bases too, and tells the worst.
"""

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "support"))
import cvm_program  # noqa: E402

SOLVES = {"cold": "cold", "warm": "warm", "values_changed": "1 % of values changed", "capacity_changed": "a capacity changed"}


def bench(cvm, customers, rows, *more):
    result = cvm_program.run([cvm, "bench", "allocate", "--customers", customers, "--rows", rows, "--json", *more])
    return {r["name"]: r["value"] for r in result.document["results"]}


def milliseconds(figures, name):
    best, median, worst = (1000.0 * figures[f"{name}_seconds_{which}"] for which in ("best", "median", "worst"))
    return f"{median:,.1f} ({best:,.1f} to {worst:,.1f})"


def print_solves(cases):
    print("| customers | rows | solve | ms, median (best to worst) | gap | passes |")
    print("|---|---|---|---|---|---|")
    for case in cases:
        for i, (name, words) in enumerate(SOLVES.items()):
            head = f"{case['customers']:,.0f} | {case['rows']:.0f}" if i == 0 else " | "
            print(
                f"| {head} | {words} | {milliseconds(case, name)} | {case[name + '_gap']:.1e} | "
                f"{case[name + '_passes']:.0f} |"
            )
    print()
    print("| customers | rows | verification, ms | plain pass, ms | GB/s | bare read, GB/s | cold solve in passes | "
          "bytes a customer: data | peak |")
    print("|---|---|---|---|---|---|---|---|---|")
    for case in cases:
        print(
            f"| {case['customers']:,.0f} | {case['rows']:.0f} | {1000 * case['verify_seconds_median']:,.1f} | "
            f"{1000 * case['plain_pass_seconds_median']:,.2f} | {case['plain_pass_rate']:.1f} | "
            f"{case['memory_read_rate']:.1f} | {case['cold_to_plain_pass']:,.0f} | {case['data_per_customer']:.0f} | "
            f"{case['peak_memory'] / case['customers']:,.0f} |"
        )
    print()


def print_seeds(cases):
    gaps = sorted(case["cold_gap"] for case in cases)
    times = sorted(1000.0 * case["cold_seconds_median"] for case in cases)
    print(
        f"{len(cases)} bases of {cases[0]['customers']:,.0f}, {cases[0]['rows']:.0f} rows: gap {gaps[len(gaps) // 2]:.1e} in the "
        f"median, {gaps[-1]:.1e} at worst (seed {max(cases, key=lambda c: c['cold_gap'])['seed']:.0f}); "
        f"{times[0]:,.0f} to {times[-1]:,.0f} ms.\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cvm")
    parser.add_argument("--customers", default="10000,100000,1000000")
    parser.add_argument("--rows", default="13,33")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--json")
    options = parser.parse_args()
    cases = [
        bench(options.cvm, customers, rows, "--repeat", options.repeat)
        for customers in options.customers.split(",") for rows in options.rows.split(",")
    ]
    print_solves(cases)
    seeds = [bench(options.cvm, 1000000, 33, "--repeat", 1, "--seed", seed) for seed in range(1, options.seeds + 1)]
    if seeds:
        print_seeds(seeds)
    failed = [c for c in cases + seeds if not c["feasible"]]
    if options.json:
        with open(options.json, "w", encoding="utf-8") as stream:
            json.dump({"allocate": cases, "allocate_seeds": seeds}, stream, indent=1)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except cvm_program.Failure as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
