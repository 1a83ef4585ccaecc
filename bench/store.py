#!/usr/bin/env python3
"""The store: what an import, journeys, a run and single reads cost on SQLite and on PostgreSQL, beside bare libraries.

With STORE_URL naming a PostgreSQL database (bench/store.sh starts a server) both stores are measured by turns, without
it SQLite alone. Beside the wall clock stands processor time, of cvm and of all processes of the server, which says what
work costs when something else has the machine; peak memory of cvm is split into its own and mapped files.

    store.py CVM [--sizes 10000,100000] [--readers 8] [--audit-rows 500000] [--parts ingest,scale,read,audit] [--json FILE]
"""

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import cvm_program  # noqa: E402

DAY = "2024-03-20"
NEXT_DAY = "2024-03-21"
URL = cvm_program.SERVER


# ---- what a command costs ----


class Server:
    """Processor time of a PostgreSQL whose socket folder holds its data, as tests/support/postgres_server.sh makes it."""

    def __init__(self, url):
        path = os.path.join(url.partition("host=")[2].partition("&")[0], "data", "postmaster.pid")
        self.pid = None
        if url and os.path.exists(path):
            with open(path, encoding="ascii") as stream:
                self.pid = int(stream.readline())

    @staticmethod
    def times(pid):
        """Its parent, and ticks: user, system, and of children that have ended."""
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as stream:
                text = stream.read()
        except OSError:
            return 0, [0] * 4
        fields = text[text.rindex(")") + 2 :].split()
        return int(fields[1]), [int(field) for field in fields[11:15]]

    def seconds(self):
        if self.pid is None:
            return 0.0
        ticks = sum(self.times(self.pid)[1])
        for name in os.listdir("/proc"):
            if name.isdigit():
                parent, own = self.times(name)
                ticks += own[0] + own[1] if parent == self.pid else 0
        return ticks / os.sysconf("SC_CLK_TCK")

    def settled(self):
        """The same once it stands still: a process that ends while it is counted may be missed."""
        seconds = -1.0
        for _ in range(25):
            last, seconds = seconds, self.seconds()
            if seconds == last or self.pid is None:
                break
            time.sleep(0.2)
        return seconds


def memory_of(pid, peaks):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as stream:
            for line in stream:
                if line.startswith(("RssAnon", "RssFile")):
                    name, value = line.split(":")
                    peaks[name] = max(peaks.get(name, 0), int(value.split()[0]))
    except OSError:
        pass  # it has ended


def measured(server, arguments):
    """The document that a command prints, and what it cost."""
    before, start, peaks = server.settled(), time.monotonic(), {}
    out_path = os.path.join(os.environ["CVM_STORE_BENCH"], "out.json")
    with open(out_path, "wb") as out:
        child = subprocess.Popen([str(a) for a in arguments], stdout=out, stdin=subprocess.DEVNULL)
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid != 0:
                break
            memory_of(child.pid, peaks)
            time.sleep(0.01)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    if child.returncode != 0:
        raise cvm_program.Failure(f"`{' '.join(str(a) for a in arguments)}` ended with {child.returncode}")
    with open(out_path, encoding="utf-8") as stream:
        document = json.load(stream)
    return document, {
        "seconds": seconds,
        "cpu": usage.ru_utime + usage.ru_stime,
        "server_cpu": max(0.0, server.settled() - before),
        "peak_mib": usage.ru_maxrss / 1024,
        "anonymous_mib": peaks.get("RssAnon", 0) / 1024,
        "mapped_mib": peaks.get("RssFile", 0) / 1024,
    }


# ---- the parts ----


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.server = Server(URL)
        self.stores = ["SQLite", "PostgreSQL"] if URL else ["SQLite"]
        self.figures = {}

    def cvm_bench(self, store, *arguments):
        where = ["--postgres", URL] if store == "PostgreSQL" else []
        document, cost = measured(self.server, [self.options.cvm, "bench", *arguments, "--as-of", DAY, "--json", *where])
        return {r["name"]: r["value"] for r in document["results"]}, cost

    def ingest(self):
        size = self.options.sizes[-1]
        print(f"NDJSON of {size:,} customers into the store (`cvm bench ingest`), beside the same rows bare:\n")
        print("| | records/s | parse s | store s | of it: sort | insert | pack | cpu s | bare, same key: rows/s | ratio | without key | ratio |")
        print("|" + "---|" * 12)
        for store in self.stores:
            values, _ = self.cvm_bench(store, "ingest", "--customers", size, "--repeat", 1)
            self.figures.setdefault("ingest", {})[store] = values
            stages = " | ".join(f"{values[f'{s}_seconds_median']:.1f}" for s in ("parse", "store", "sort", "insert", "pack"))
            print(
                f"| {store} | {values['records_per_second']:,.0f} | {stages} | {values['cpu_seconds_median']:.1f} | "
                f"{values['bare_load_rows_per_second']:,.0f} | {values['to_bare_load']:.2f} | "
                f"{values['bare_load_without_key_rows_per_second']:,.0f} | {values['to_bare_load_without_key']:.2f} |"
            )

    def deployment(self, store, size):
        folder = os.path.join(self.folder, f"{store}-{size}")
        cvm_program.SERVER = URL if store == "PostgreSQL" else ""
        return cvm_program.Deployment.create(self.options.cvm, folder, size)

    def scale_one(self, store, size):
        deployment = self.deployment(store, size)
        costs = {}
        generated, costs["import"] = measured(
            self.server,
            deployment.command("generate", "--customers", size, "--events", 25, "--seed", 1, "--until", DAY, "--json"),
        )
        journey = [self.options.cvm, "bench", "journey", "--store", deployment.url, "--as-of", DAY, "--repeat", 1, "--json"]
        document, costs["journeys"] = measured(self.server, journey)
        values = {r["name"]: r["value"] for r in document["results"]}
        digests = []
        for day in (DAY, NEXT_DAY):
            document, costs["run"] = measured(self.server, deployment.command("run", "--as-of", day, "--json"))
            digests.append(document["summary"]["plan_digest"])
        if store == "PostgreSQL":
            cvm_program.psql(URL, f"DROP DATABASE {deployment.database} WITH (FORCE)")
        deployment.remove()
        return {
            "customers": size, "records": generated["read"], "costs": costs, "journey": values, "digests": digests,
            "stages": document["summary"]["seconds"],
        }

    def scale(self):
        """Cost per customer at each size; the plans of the stores must be the same."""
        print("\nCost per customer in us: wall clock / processor of cvm + processor of the server; peak MiB own + mapped:\n")
        print("| customers | store | import | memory | features/s | run | memory | point read p50, p99 us | bare |")
        print("|" + "---|" * 9)
        different = 0
        for size in self.options.sizes:
            digests = set()
            for store in self.stores:
                row = self.scale_one(store, size)
                self.figures.setdefault("scale", []).append({"store": store, **row})
                digests.add(tuple(row["digests"]))
                cells = [f"{size:,}", store]
                for name in ("import", "run"):
                    cost = row["costs"][name]
                    if name == "run":
                        cells.append(f"{row['journey']['customers_per_second']:,.0f}")
                    cells.append(" / ".join(f"{cost['seconds'] / size * 1e6:.1f}" if i == 0 else
                                            f"{cost['cpu'] / size * 1e6:.1f} + {cost['server_cpu'] / size * 1e6:.1f}" for i in (0, 1)))
                    cells.append(f"{cost['anonymous_mib']:.0f} + {cost['mapped_mib']:.0f}")
                reads = row["journey"]
                cells.append(f"{reads['point_read_p50']:.0f}, {reads['point_read_p99']:.0f}")
                cells.append(f"{reads['point_read_bare_p50']:.0f}, {reads['point_read_bare_p99']:.0f}")
                print("| " + " | ".join(cells) + " |", flush=True)
            different += len(digests) != 1
        print(f"\nPlans of two days, the stores against each other: {different} of {len(self.options.sizes)} sizes differ.")
        return different

    def read(self):
        readers, size = self.options.readers, min(self.options.sizes[-1], 20000)
        print(f"\nOne customer with 90 days of events, {size:,} customers (`cvm bench read`), us, beside the bare question:\n")
        print("| | one reader p50, p99 | bare | " + f"{readers} readers | bare | the same during an import | bare | its records/s |")
        print("|" + "---|" * 8)
        for store in self.stores:
            values, _ = self.cvm_bench(store, "read", "--customers", size, "--readers", readers)
            self.figures.setdefault("read", {})[store] = values
            cells = []
            for phase in ("one_reader", "readers", "during_import"):
                for kind in ("", "bare_"):
                    cells.append(f"{values[f'{phase}_{kind}p50']:.0f}, {values[f'{phase}_{kind}p99']:.0f}")
            print(f"| {store} | " + " | ".join(cells) + f" | {values['during_import_records_per_second']:,.0f} |", flush=True)

    def audit(self):
        rows = self.options.audit_rows
        deployment = self.deployment("SQLite", 1000)
        text = json.dumps({"recorded": 255, "granted": 17, "quiet_start_min": 1260, "quiet_end_min": 480, "note": "x" * 60})
        with sqlite3.connect(os.path.join(deployment.folder, "cvm.db")) as connection:
            connection.executemany(
                "INSERT INTO audit (at, who, action, object, why, before, after) VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((1700000000000 + i, "ada@example", "consent", f"C{i:07d}", "import, batch 12", text, text) for i in range(rows)),
            )
        connection.close()
        _, seal = measured(self.server, deployment.command("audit", "seal", "--json"))
        best = None
        for _ in range(3):
            _, cost = measured(self.server, deployment.command("audit", "verify", "--json"))
            best = cost if best is None or cost["seconds"] < best["seconds"] else best
        self.figures["audit"] = {"rows": rows, "seal": seal, "verify": best}
        print(f"\nAudit log, {rows:,} rows, SQLite; the best of three to verify (goal: 500,000 rows/s):\n")
        print("| | rows/s | rows per s of the processor |\n|---|---|---|")
        for name, cost in (("seal", seal), ("verify", best)):
            print(f"| {name} | {rows / cost['seconds']:,.0f} | {rows / cost['cpu']:,.0f} |")
        deployment.remove()


def main():
    parser = argparse.ArgumentParser(description="what the store costs, on both databases")
    parser.add_argument("cvm")
    parser.add_argument("--sizes", default="10000,100000", help="customers, ascending")
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--audit-rows", type=int, default=500000)
    parser.add_argument("--parts", default="ingest,scale,read,audit")
    parser.add_argument("--json", help="write the figures there")
    options = parser.parse_args()
    options.sizes = [int(size) for size in options.sizes.split(",")]
    options.cvm = os.path.abspath(options.cvm)
    with cvm_program.scratch("cvm-store-") as folder:
        os.environ["CVM_STORE_BENCH"] = folder
        bench = Bench(options, folder)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start.\n")
        results = [getattr(bench, part)() for part in options.parts.split(",")]
        print(f"\nLoad {os.getloadavg()[0]:.1f} at the end.")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as stream:
            json.dump({"store": bench.figures}, stream, indent=1)
    return 1 if any(results) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except cvm_program.Failure as failure:
        print(f"store: {failure}", file=sys.stderr)
        sys.exit(1)
