#!/usr/bin/env python3
"""Bulk exports: every row once, the same in both formats, in constant memory, of one moment: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import csv
import io
import json
import os
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

CUSTOMERS = 600
DAY = "2024-03-20"
NEXT = "2024-03-21"
KINDS = ("customers", "decisions", "audit")
NAME = "Zenobia Marchbanks"
MIB = 1 << 20
MANY = 50000 if cvm_program.SERVER else 200000  # a server is slow to make them


class World(cvm_program.World):
    def rows(self, what, *arguments):
        """As NDJSON on standard output."""
        return [json.loads(line) for line in self.cvm("export", what, *arguments, "--quiet").out.splitlines()]

    def write(self, name, records):
        with open(self.path(name), "w", encoding="utf-8") as stream:
            for record in records:
                stream.write(json.dumps(record) + "\n")
        return self.path(name)


def cell(value):
    """What CSV has of a value of JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def both_formats_have_the_same_fields_and_values(world):
    for what in KINDS:
        wanted = world.rows(what)
        text = world.cvm("export", what, "--format", "csv", "--quiet").out
        found = list(csv.reader(io.StringIO(text)))
        same(found[0], list(wanted[0]), f"names of {what}")
        same(len(found) - 1, len(wanted), f"lines of {what}")
        for line, row in zip(found[1:], wanted):
            for name, text in zip(found[0], line):
                value = row[name]
                if isinstance(value, (float, int)) and not isinstance(value, bool):
                    same(float(text), float(value), name)
                elif isinstance(value, (dict, list)) or (name in ("before", "after") and value is not None):
                    same(json.loads(text), value, name)
                else:
                    same(text, cell(value), name)


def every_row_of_the_store_is_there_once_and_in_order(world):
    keys = [k for (k,) in world.query("SELECT customer_id FROM customer ORDER BY customer_key")]
    same([r["customer_id"] for r in world.rows("customers")], keys, "customers")
    ids = [i for (i,) in world.query(
        "SELECT run_id || '.' || printf('%016x', customer_key) FROM decision ORDER BY run_id, customer_key")]
    same([r["decision_id"] for r in world.rows("decisions")], ids, "decisions")
    same([r["id"] for r in world.rows("audit")], [i for (i,) in world.query("SELECT audit_id FROM audit ORDER BY 1")], "audit")


def fields_are_those_of_the_single_commands(world):
    same(world.rows("audit"), world.json("audit", "list", "--limit", 10000)["audit"][::-1], "audit list")
    decisions = {}
    for row in world.rows("decisions"):
        decisions.setdefault(row["customer_id"], []).append(row)
    for row in world.rows("customers")[:5]:
        customer = row["customer_id"]
        shown = world.json("customer", "show", customer)
        same(row["attributes"], shown["attributes"], "attributes")
        same([row[k] for k in ("updated", "quiet_from", "quiet_to", "preferred_time")],
             [shown["consent"][k] for k in ("updated", "quiet_from", "quiet_to", "preferred_time")], "permissions")
        held = world.json("customer", "export", customer)
        same((row["granted"], row["denied"]), (held["consents"][-1]["granted"], held["consents"][-1]["denied"]), "bits")
        for mine, theirs in zip(decisions.get(customer, []), held["decisions"]):
            same({k: mine[k] for k in theirs if k != "state"}, {k: v for k, v in theirs.items() if k != "state"}, "decision")
            same(mine["state"], "released", "it follows its plan")


def attributes_are_those_of_the_version_in_force(world):
    customer = world.rows("customers", "--limit", 1)[0]["customer_id"]
    path = world.write("customers.ndjson", [{"customer_id": customer, "plan_type": "contract", "region": "here"}])
    world.json("import", path)
    batch = world.rows("audit")[-1]["after"]["batch"]
    row = world.rows("customers", "--limit", 1)[0]
    same(row["attributes"], world.json("customer", "show", customer)["attributes"], "attributes")
    same(row["attributes"]["customer.region"], "here", "the new one")
    world.json("batch", "retract", batch, "--reason", "x")
    expect(world.rows("customers", "--limit", 1)[0]["attributes"]["customer.region"] != "here", "taken back")


def parts_by_cursor_are_the_whole(world):
    for what, size in (("customers", 250), ("decisions", 100), ("audit", 3)):
        whole, parts, cursor = world.rows(what), [], None
        while True:
            path = world.path("part.ndjson")
            document = world.json("export", what, "--limit", size, "--out", path, *(["--after", cursor] if cursor else []))
            with open(path, encoding="utf-8") as stream:
                part = [json.loads(line) for line in stream]
            same(document["rows"], len(part), f"rows of a part of {what}")
            parts += part
            cursor = document["next_cursor"]
            if cursor is None:
                break
            same(len(part), size, f"a part of {what}")
        same(parts, whole, what)
        world.cvm("export", what, "--after", "nonsense", allowed=(2,))


def days_and_runs_narrow_what_is_exported(world):
    runs = {r["run_id"] for r in world.rows("decisions")}
    same(len(runs), 2, "runs")
    for run in runs:
        mine = world.rows("decisions", "--run", run)
        same({r["run_id"] for r in mine}, {run}, "of one run")
        same(world.rows("decisions", "--since", run[:10], "--until", run[:10]), mine, "of its day")
        cursor = mine[-1]["decision_id"]
        same(world.rows("decisions", "--run", run, "--after", cursor), [], "behind its last")
    same(world.rows("decisions", "--run", min(runs), "--after", max(r["decision_id"] for r in world.rows("decisions"))), [],
         "a run before the cursor")
    same({r["run_id"] for r in world.rows("decisions", "--run", "latest")}, {max(runs)}, "latest")
    world.json("export", "decisions", "--run", "nothing", "--out", world.path("x"), allowed=(1,))
    for what in ("customers", "audit"):
        same(world.rows(what, "--since", "2100-01-01"), [], f"{what} of the future")
        same(world.rows(what, "--until", "2000-01-01"), [], f"{what} of the past")
        same(world.rows(what, "--since", "2000-01-01", "--until", "2100-01-01"), world.rows(what), f"{what} of all days")
    world.cvm("export", "audit", "--since", "2024-03-21", "--until", "2024-03-20", allowed=(2,))


def what_is_no_plain_text_comes_back_from_csv_as_it_was(world):
    why = 'a "quoted", line\nand =SUM(A1) æ\r\n\'; 1'
    world.deployment.change("UPDATE audit SET why = ? WHERE audit_id = 1", parameters=(why,))
    out = world.path("audit.csv")
    same(world.json("export", "audit", "--out", out)["format"], "csv", "by the name of the file")
    with open(out, encoding="utf-8", newline="") as stream:
        same(next(csv.DictReader(stream))["why"], why, "why")


def nothing_personal_is_in_an_export(world):
    people = [{"customer_id": "PX-1", "date": DAY, "type": "call", "summary": f"{NAME} called", "account_name": NAME}]
    world.json("import", world.write("call_transcripts.ndjson", people))
    permissions = {"customer_id": "PX-1", "last_updated": DAY, "permissions": {"email": {"marketing": "Y"}},
                   "preferences": {"contact_name": NAME}}
    world.json("import", world.write("permissions.ndjson", [permissions]))
    world.json("run", "--as-of", "2024-03-22")
    expect(NAME in world.cvm("customer", "export", "PX-1").out, "the store has the name")
    expect("PX-1" in world.cvm("export", "customers").out, "the customer is in it")
    for what in KINDS:
        expect(NAME.split()[0] not in world.cvm("export", what).out, f"{what} have the name")


def a_file_is_there_whole_or_as_it_was(world):
    out = world.path("x.ndjson")
    world.cvm("export", "audit", "--out", out, "--quiet")
    same(stat.S_IMODE(os.stat(out).st_mode), 0o600, "rights of the file")
    with open(out, encoding="utf-8") as stream:
        before = stream.read()
    world.json("export", "decisions", "--run", "nothing", "--out", out, allowed=(1,))
    world.json("export", "audit", "--after", "nonsense", "--out", out, allowed=(2,))
    with open(out, encoding="utf-8") as stream:
        same(stream.read(), before, "the file")
    world.json("export", "audit", "--out", world.path("nowhere", "x"), allowed=(1,))
    world.cvm("export", "audit", "--json", allowed=(2,))
    world.cvm("export", "audit", "--format", "xml", allowed=(2,))
    if os.path.exists("/dev/full"):
        link = world.path("full.csv")
        os.symlink("/dev/full", link)
        world.json("export", "customers", "--out", link, allowed=(1,))
        expect(os.path.islink(link), "the link is there")


def a_reader_that_goes_away_ends_it_quietly(world):
    child = subprocess.Popen(
        world.deployment.command("export", "customers"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    expect(child.stdout.readline(), "a line")
    child.stdout.close()
    same((child.stderr.read(), child.wait(timeout=60)), (b"", 1), "what it says")
    child.stderr.close()


def a_slow_reader_sees_one_moment_of_the_store(world):
    """Longer than a pipe holds: the export waits in the middle while others write."""
    for what, day in (("customers", "2024-03-23"), ("decisions", "2024-03-24")):
        before = world.cvm("export", what, "--quiet").out
        expect(len(before) > 3 << 16, f"{len(before)} bytes")
        child = subprocess.Popen(world.deployment.command("export", what, "--quiet"), stdout=subprocess.PIPE, text=True)
        first = child.stdout.readline()
        new = [{"customer_id": f"{what}{i}", "plan_type": "contract"} for i in range(50)]
        world.json("import", world.write("customers.ndjson", new))
        world.json("run", "--as-of", day)
        with child.stdout:
            expect(first + child.stdout.read() == before, f"{what} are not of one moment")
        same(child.wait(), 0, "exit")
        expect(world.cvm("export", what, "--quiet").out != before, "something was written meanwhile")


def synthetic(world, first, last):
    """Customers with an undated record and a decision each, and audit rows, made by the database itself."""
    (run,), = world.query("SELECT run_id FROM run ORDER BY run_id LIMIT 1")
    (source,), = world.query("SELECT source FROM source WHERE name = 'customers'")
    numbers = f"WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})"
    key = "i * 9000000000000"
    pad = "x" * 300
    world.deployment.change(
        f"INSERT INTO customer (customer_key, customer_id, batch) {numbers} SELECT {key}, 'S' || i, 1 FROM n",
        "INSERT INTO event (customer_key, day, source, identity, version, second, batch, content, attributes, key_id) "
        f"{numbers} SELECT {key}, -2147483648, {source}, i, 1, 0, 1, i, '{{\"pad\":\"{pad}\"}}', 0 FROM n",
        "INSERT INTO decision (run_id, customer_key, customer_id, treatment, offer, value, sd, price, cost_micro, "
        f"incentive_micro, reason, arm, selection_probability, ghost, state) {numbers} "
        f"SELECT '{run}', {key}, 'S' || i, 'retention_sms', '{pad}', 1.5, 0.5, 0.0, 10000, 0, 0, 'treated', 1.0, 0, 0 FROM n",
        f"INSERT INTO audit (at, who, action, object, why, before, after) {numbers} "
        f"SELECT 1700000000000 + i, 'test', 'plan', 'plan ' || i, '{pad}', NULL, '{{\"n\":' || i || '}}' FROM n",
    )


def memory_is_the_same_for_many_rows_as_for_2000(world):
    synthetic(world, 1, 2000)
    peaks, counts = [], []
    for _ in range(2):
        results = [world.cvm("export", what, "--out", world.path("big.ndjson"), "--json") for what in KINDS]
        peaks.append([r.peak_bytes for r in results])
        counts.append([r.document["rows"] for r in results])
        if len(counts) == 1:
            synthetic(world, 2001, MANY)
    for few, many in zip(*counts):
        same(many - few, MANY - 2000, "rows")
    for what, few, many in zip(KINDS, *peaks):
        expect(many - few < 6 * MIB, f"{what}: {few / MIB:.1f} MiB for few rows, {many / MIB:.1f} MiB for many")


HELPERS = {"expect", "same", "cell", "synthetic", "main"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-export-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), 10 * CUSTOMERS)
        template.cvm("generate", "--customers", CUSTOMERS, "--events", 10, "--seed", 3, "--until", DAY, "--quiet")
        for day in (DAY, NEXT):
            template.cvm("run", "--as-of", day, "--quiet")
        return cvm_program.run_rules(
            cvm_program.rules_of({k: v for k, v in globals().items() if not isinstance(v, type)}, HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
