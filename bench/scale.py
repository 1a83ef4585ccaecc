#!/usr/bin/env python3
"""Cost per customer from 1,000 customers up: import, features, values and whole runs, beside the targets.

Every size is generated to files (25 events a customer), imported into an empty store, and then measured in rounds
that take the sizes by turns, so that a slow moment of the machine falls on all of them. A run is the real one, from
the store to a released plan; each takes another as-of date, so that none is answered from an earlier one.

    scale.py CVM [--customers 100000] [--rounds 5] [--imports 3] [--json FILE]
"""

import argparse
import datetime
import json
import os
import shutil
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import cvm_program  # noqa: E402

UNTIL = datetime.date(2024, 3, 20)
SIZES = (1000, 10000, 100000, 1000000)
STAGES = ("journey", "recommend", "run")
MIB = 1 << 20


class Size:
    """One base in its store, with what was measured on it."""

    def __init__(self, program, folder, customers):
        self.program = program
        self.folder = os.path.join(folder, str(customers))
        self.customers = customers
        self.data = os.path.join(folder, f"data-{customers}")
        self.figures = {stage: [] for stage in STAGES}
        self.peaks = {}
        self.stages = {}  # of the last run
        self.memory = {}  # what journey and run are bounded by

    def prepare(self, imports):
        """Generate to files and import; a big base is imported once."""
        self.deployment = cvm_program.Deployment.create(self.program, self.folder, self.customers)
        self.generate_seconds = self.deployment.cvm(
            "generate",
            "--customers",
            self.customers,
            "--events",
            25,
            "--seed",
            1,
            "--until",
            UNTIL.isoformat(),
            "--out",
            self.data,
            "--quiet",
        ).seconds
        results = []
        for number in range(imports if self.customers < 500000 else 1):
            if number > 0:
                self.deployment.remove()
                self.deployment = cvm_program.Deployment.create(self.program, self.folder, self.customers)
            results.append(self.deployment.cvm("import", self.data, "--json"))
        self.records = results[0].document["read"]
        self.data_bytes = sum(os.path.getsize(path) for path in cvm_program.data_files(self.data))
        self.import_seconds = cvm_program.median([result.seconds for result in results])
        self.peaks["import"] = max(result.peak_bytes for result in results)
        self.store_bytes = self.deployment.bytes_on_disk()
        self.events = self.deployment.query("SELECT count(*) FROM event WHERE day > -2147483648")[0][0]
        shutil.rmtree(self.data)

    def round(self, number):
        for stage in STAGES:
            if stage == "run":
                day = UNTIL + datetime.timedelta(days=number)
                result = self.deployment.cvm("run", "--as-of", day.isoformat(), "--json")
                self.stages = result.document["summary"]["seconds"]
                seconds, peak = result.seconds, result.peak_bytes
            else:
                result = self.deployment.bench(stage, "--as-of", UNTIL.isoformat(), "--repeat", 1)
                seconds, peak = result["seconds_median"], int(result["peak_memory"])
                self.memory.update({name: result[name] for name in ("value_matrix", "chunks_in_flight") if name in result})
            self.figures[stage].append(seconds)
            self.peaks[stage] = max(self.peaks.get(stage, 0), peak)

    def microseconds(self, stage):
        return cvm_program.median(self.figures[stage]) / self.customers * 1e6

    def document(self):
        return {
            "customers": self.customers,
            "events": self.events,
            "records": self.records,
            "data_bytes": self.data_bytes,
            "generate_seconds": self.generate_seconds,
            "import_seconds": self.import_seconds,
            "import_events_per_second": self.events / self.import_seconds,
            "store_bytes": self.store_bytes,
            "seconds": {stage: cvm_program.median(self.figures[stage]) for stage in STAGES},
            "rounds": self.figures,
            "peak_mib": {stage: peak / MIB for stage, peak in self.peaks.items()},
            "last_stages": self.stages,
            "bounded_by_mib": {name: bytes_ / MIB for name, bytes_ in self.memory.items()},
        }


def cost_table(sizes):
    print(
        "| customers | events | import s | M events/s | us per customer: "
        + " | ".join(STAGES)
        + " | run s | store MiB | peak MiB: import | journey | recommend | run |"
    )
    print("|" + "---|" * (6 + len(STAGES) + 4))
    for size in sizes:
        peaks = " | ".join(f"{size.peaks[stage] / MIB:.0f}" for stage in ("import", *STAGES))
        costs = " | ".join(f"{size.microseconds(stage):.2f}" for stage in STAGES)
        print(
            f"| {size.customers:,} | {size.events:,} | {size.import_seconds:.2f} | "
            f"{size.events / size.import_seconds / 1e6:.3f} | {costs} | "
            f"{cvm_program.median(size.figures['run']):.3f} | "
            f"{size.store_bytes / MIB:.0f} | {peaks} |"
        )


def flatness_table(sizes):
    """Cost per customer against that at 10,000, round by round, so that both sides saw the same machine."""
    base = next((size for size in sizes if size.customers == 10000), sizes[0])
    if sizes[-1].customers <= base.customers:
        return
    print(
        f"\nCost per customer against {base.customers:,} customers, "
        f"median of {len(base.figures['run'])} interleaved pairs "
        "(range):\n"
    )
    print("| customers | " + " | ".join(STAGES) + " |\n|" + "---|" * (1 + len(STAGES)))
    for size in sizes:
        if size.customers <= base.customers:
            continue
        cells = []
        for stage in STAGES:
            ratios = [
                (a / size.customers) / (b / base.customers)
                for a, b in zip(size.figures[stage], base.figures[stage])
            ]
            cells.append(f"{cvm_program.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        print(f"| {size.customers:,} | " + " | ".join(cells) + " |")
    print(
        "\nSmall bases pay the start of a process over few customers: below 1 is that share, not a gain."
    )


def target_table(sizes):
    print("\n| target | goal | here |\n|---|---|---|")
    biggest = sizes[-1]
    rate = biggest.events / biggest.import_seconds / 1e6
    print(f"| NDJSON into the store, durable, M events/s at {biggest.customers:,} | 0.25, 0.4 good | {rate:.3f} |")
    for size in sizes:
        if size.customers == 100000:
            peak = max(size.peaks["journey"], size.peaks["run"]) / MIB
            print(f"| peak memory of journey and run at 100,000, MiB | 256 | {peak:.0f} |")
        if size.customers == 1000000:
            print(f"| run on 1,000,000 to a released plan, s | 5 | {cvm_program.median(size.figures['run']):.2f} |")


def main():
    parser = argparse.ArgumentParser(description="cost per customer from 1,000 customers up")
    parser.add_argument("cvm")
    parser.add_argument("--customers", type=int, default=100000, help="the biggest size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--imports", type=int, default=3)
    parser.add_argument("--json", help="write the figures there")
    options = parser.parse_args()
    with cvm_program.scratch("cvm-scale-") as folder:
        sizes = [Size(options.cvm, folder, n) for n in SIZES if n <= options.customers]
        for size in sizes:
            size.prepare(options.imports)
            print(f"scale: {size.customers} customers imported in {size.import_seconds:.2f} s", file=sys.stderr)
        for number in range(options.rounds):
            for size in sizes:
                size.round(number)
            print(f"scale: round {number + 1} of {options.rounds}", file=sys.stderr)
    cost_table(sizes)
    flatness_table(sizes)
    target_table(sizes)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as stream:
            json.dump({"scale": [size.document() for size in sizes]}, stream, indent=1)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except cvm_program.Failure as failure:
        print(f"scale: {failure}", file=sys.stderr)
        sys.exit(1)
