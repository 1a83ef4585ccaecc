#!/usr/bin/env python3
"""The proof of concept's way beside cvm: a plain Python loop over JSON files, one array a source.

Per customer it opens and filters every file, as the proof of concept did, and builds the journey and its analysis; a
second way loads all files once. Its state (remaining units and history) is one JSON file that it rewrites in place;
that worker is killed with -9 during writes, and what is left is read. Beside it cvm does the same work on the same
records.

    poc_baseline.py CVM [--customers 1000,10000] [--kills 200] [--sample 100] [--json FILE]
"""

import argparse
import collections
import datetime
import json
import os
import random
import signal
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import cvm_program  # noqa: E402

UNTIL = datetime.date(2024, 3, 20)
EVENT_SOURCES = (
    "call_transcripts",
    "web_transcripts",
    "web_clicks",
    "network_data",
    "offer_recommendations",
    "churn_score",
    "usage_data",
    "billing_data",
)
SOURCES = EVENT_SOURCES + ("permissions",)


# ---- the proof of concept's way; runs in a process of its own, so that its memory is its own ----


def load(folder, source):
    with open(os.path.join(folder, f"{source}.json"), encoding="utf-8") as stream:
        return json.load(stream)


def build_journey(by_source):
    """What the proof of concept's journey tool answered: events in order and their analysis."""
    events = [dict(record, source=source) for source in EVENT_SOURCES for record in by_source[source]]
    events.sort(key=lambda event: event["date"])
    sentiment = collections.Counter(e["sentiment"] for e in events if "sentiment" in e)
    channels = collections.Counter(
        e.get("channel", e.get("type")) for e in events if e["source"] in ("call_transcripts", "web_transcripts")
    )
    scores = [e["churn_probability"] for e in events if e["source"] == "churn_score"]
    permissions = by_source["permissions"][0]["permissions"] if by_source["permissions"] else {}
    return {
        "length": len(events),
        "sentiment": dict(sentiment),
        "channels": dict(channels),
        "recent": events[-1]["date"] if events else None,
        "churn": scores[-1] if scores else None,
        "may_call": permissions.get("call", {}).get("marketing") == "Y",
        "events": events,
    }


def per_customer(folder, customers):
    for customer in customers:
        build_journey({s: [r for r in load(folder, s) if r["customer_id"] == customer] for s in SOURCES})


def load_once(folder, customers):
    index = {source: collections.defaultdict(list) for source in SOURCES}
    for source in SOURCES:
        for record in load(folder, source):
            index[source][record["customer_id"]].append(record)
    for customer in customers:
        build_journey({source: index[source][customer] for source in SOURCES})


def decide_forever(path, customers):
    """Take a unit per customer and rewrite the state in place, saying each decision once it is written."""
    state = load(os.path.dirname(path), os.path.basename(path)[: -len(".json")])
    for number, customer in enumerate(customers):
        state["remaining"] -= 1
        state["history"].append(
            {
                "id": number,
                "customer_id": customer,
                "treatment": "retention_email",
                "priority": 2,
                "timestamp": "2024-03-20T02:00:00",
            }
        )
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(state, stream, indent=2)
        print(len(state["history"]), flush=True)


def child(options):
    if options.child == "decide":
        decide_forever(options.folder, [f"C{i}" for i in range(1000000)])
        return
    customers = [record["customer_id"] for record in load(options.folder, "permissions")]
    if options.child == "per-customer":
        per_customer(options.folder, random.Random(1).sample(customers, min(options.sample, len(customers))))
    else:
        load_once(options.folder, customers)


# ---- the parent ----


def to_arrays(data, folder):
    """The generator's NDJSON as the proof of concept's files: arrays with four spaces of indentation."""
    os.makedirs(folder)
    for source in SOURCES:
        records = []
        for path in cvm_program.data_files(data):
            if os.path.basename(path).startswith(source):
                with open(path, encoding="utf-8") as stream:
                    records += [json.loads(line) for line in stream if line.strip()]
        with open(os.path.join(folder, f"{source}.json"), "w", encoding="utf-8") as stream:
            json.dump(records, stream, indent=4)


def in_own_process(function, *arguments):
    """So that this process stays small: the peak memory of its children is never below its own."""
    pid = os.fork()
    if pid == 0:
        try:
            function(*arguments)
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(pid, 0)[1] != 0:
        raise cvm_program.Failure(f"{function.__name__} failed")


def run_child(mode, folder, sample):
    return cvm_program.run([sys.executable, __file__, "-", "--child", mode, "--folder", folder, "--sample", sample])


def measure_python(folder, customers, sample):
    floor = run_child("per-customer", folder, 0)  # starts Python and reads the list of customers
    sample = min(sample, customers)
    loop = run_child("per-customer", folder, sample)
    once = run_child("once", folder, sample)
    return {
        "per_customer_ms": (loop.seconds - floor.seconds) / sample * 1000,
        "sampled": sample,
        "per_customer_peak_mib": loop.peak_bytes / 2**20,
        "load_once_ms": once.seconds / customers * 1000,
        "load_once_peak_mib": once.peak_bytes / 2**20,
    }


def kill_one(path, generator, history_max):
    """One kill of the worker; returns 'whole', 'unreadable' or 'stale' (misses a decision that was announced)."""
    count = generator.randrange(history_max)
    state = {
        "remaining": 10**6,
        "history": [
            {
                "id": i,
                "customer_id": f"C{i}",
                "treatment": "retention_email",
                "priority": 2,
                "timestamp": "2024-03-20T02:00:00",
            }
            for i in range(count)
        ],
    }
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(state, stream, indent=2)
    worker = subprocess.Popen(
        [sys.executable, __file__, "-", "--child", "decide", "--folder", path], stdout=subprocess.PIPE, text=True
    )
    announced = int(worker.stdout.readline())
    time.sleep(generator.random() * 0.1)
    worker.send_signal(signal.SIGKILL)
    rest = worker.stdout.read().split()
    worker.wait()
    announced = int(rest[-1]) if rest else announced
    try:
        with open(path, encoding="utf-8") as stream:
            found = len(json.load(stream)["history"])
    except ValueError:
        return "unreadable"
    return "stale" if found < announced else "whole"


def measure_kills(folder, kills, history_max):
    generator = random.Random(1)
    path = os.path.join(folder, "state.json")
    found = collections.Counter(kill_one(path, generator, history_max) for _ in range(kills))
    os.unlink(path)
    return {"kills": kills, "unreadable": found["unreadable"], "stale": found["stale"], "whole": found["whole"]}


def measure_cvm(program, data, folder, customers, sample):
    deployment = cvm_program.Deployment.create(program, folder, customers)
    imported = deployment.cvm("import", data, "--quiet")
    # keys are hashes, so the first ones are a sample
    ids = [
        row[0]
        for row in deployment.query("SELECT customer_id FROM customer ORDER BY customer_key LIMIT ?", (sample,))
    ]
    journeys = [deployment.cvm("journey", customer, "--as-of", UNTIL.isoformat(), "--json") for customer in ids]
    decisions = [deployment.cvm("decide", customer, "--as-of", UNTIL.isoformat(), "--json") for customer in ids]
    run = deployment.cvm("run", "--as-of", UNTIL.isoformat(), "--json")
    deployment.remove()
    return {
        "import_seconds": imported.seconds,
        "import_peak_mib": imported.peak_bytes / 2**20,
        "journey_ms": cvm_program.median([r.seconds for r in journeys]) * 1000,
        "journey_peak_mib": max(r.peak_bytes for r in journeys) / 2**20,
        "decide_ms": cvm_program.median([r.seconds for r in decisions]) * 1000,
        "run_ms_per_customer": run.seconds / customers * 1000,
        "run_peak_mib": run.peak_bytes / 2**20,
    }


def measure_cvm_kills(program, customers, kills):
    result = cvm_program.run(
        [os.path.join(ROOT, "tests/soak/kill_loop.sh"), program, kills, "--customers", customers, "--json"],
        allowed=(0, 1),
    )
    sys.stderr.write(result.err)
    return result.document


def measure(program, customers, options):
    with cvm_program.scratch("cvm-poc-") as folder:
        data, arrays = os.path.join(folder, "data"), os.path.join(folder, "arrays")
        cvm_program.run(
            [
                program,
                "generate",
                "--customers",
                customers,
                "--events",
                25,
                "--seed",
                1,
                "--until",
                UNTIL.isoformat(),
                "--out",
                data,
                "--quiet",
            ]
        )
        in_own_process(to_arrays, data, arrays)
        return {
            "customers": customers,
            "python": measure_python(arrays, customers, options.sample),
            "python_kills": measure_kills(arrays, options.kills, customers),
            "cvm": measure_cvm(program, data, os.path.join(folder, "cvm"), customers, options.sample),
            "cvm_kills": measure_cvm_kills(program, customers, options.kills),
        }


def table(results):
    lines = [
        "| base | way | journey of one customer | whole base, per customer | peak memory | kill -9 |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        python, kills, cvm, ours = (result[k] for k in ("python", "python_kills", "cvm", "cvm_kills"))
        base = f"{result['customers']:,}"
        lines.append(
            f"| {base} | Python, opens every file per customer | {python['per_customer_ms']:.1f} ms "
            f"(sample of {python['sampled']}) | the same | {python['per_customer_peak_mib']:.0f} MiB | "
            f"{kills['kills']} kills: {kills['unreadable']} unreadable, {kills['stale']} stale |"
        )
        lines.append(
            f"| {base} | Python, loads all files once | | {python['load_once_ms']:.3f} ms | "
            f"{python['load_once_peak_mib']:.0f} MiB | as above |"
        )
        lines.append(
            f"| {base} | cvm | {cvm['journey_ms']:.1f} ms, decide {cvm['decide_ms']:.1f} ms (a process each) | "
            f"{cvm['run_ms_per_customer']:.4f} ms: run, values and plan included | "
            f"{cvm['journey_peak_mib']:.0f} MiB, run {cvm['run_peak_mib']:.0f} MiB | {ours['kills']} kills: {ours['lost']} lost, "
            f"{ours['duplicated']} duplicated, {ours['broken']} broken |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description="the proof of concept's way beside cvm")
    parser.add_argument("cvm")
    parser.add_argument("--customers", default="1000,10000")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--json", help="write the figures there")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return 0
    results = [measure(options.cvm, int(n), options) for n in options.customers.split(",")]
    if options.json:
        with open(options.json, "w", encoding="utf-8") as stream:
            json.dump({"poc": results}, stream, indent=1)
    print(table(results))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except cvm_program.Failure as failure:
        print(f"poc baseline: {failure}", file=sys.stderr)
        sys.exit(1)
