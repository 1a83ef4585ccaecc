#!/usr/bin/env python3
"""The same features by DuckDB and by cvm, on the same generated records: results compared, times side by side.

DuckDB computes the features below (counts, sums, last, max, trend, windows, filters; names as in
config/features.yaml) straight from NDJSON with typed columns, and from a flat table of its own with whole numbers for
words, sorted by customer.
cvm computes all features of its catalogue, these among them, from its store. Rounds alternate between the peers.

    duckdb_features.py CVM [--customers 200000] [--rounds 5] [--sample 200] [--json FILE]   (needs package duckdb)
"""

import argparse
import datetime
import json
import os
import sys
import time

import duckdb

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import cvm_program  # noqa: E402

UNTIL = datetime.date(2024, 3, 20)
AS_OF = f"DATE '{UNTIL}'"

# Columns that each source reads from its files, and what it gives to the flat table.
SENTIMENT = {"sentiment": "CASE sentiment WHEN 'negative' THEN 0 WHEN 'neutral' THEN 1 WHEN 'positive' THEN 2 END"}
SOURCES = {
    "call_transcripts": (
        "sentiment VARCHAR, duration_minutes DOUBLE",
        {**SENTIMENT, "minutes": "duration_minutes"},
    ),
    "web_transcripts": ("sentiment VARCHAR, duration_minutes DOUBLE", {**SENTIMENT, "minutes": "duration_minutes"}),
    "web_clicks": ("", {}),
    "network_data": (
        "connection_quality VARCHAR, latency_ms DOUBLE",
        {"is_poor": "connection_quality = 'poor'", "latency": "latency_ms"},
    ),
    "fault_tickets": ("", {}),
    "offer_recommendations": (
        "recommended_offers STRUCT(type VARCHAR)[], outcome STRUCT(status VARCHAR)",
        {"offers": "len(recommended_offers)", "is_accepted": "outcome.status = 'accepted'"},
    ),
    "churn_score": (
        "churn_probability DOUBLE, recent_satisfaction_score DOUBLE",
        {"churn": "churn_probability", "satisfaction": "recent_satisfaction_score"},
    ),
    "usage_data": (
        "data_usage_gb DOUBLE, roaming_data_gb DOUBLE",
        {"data_gb": "data_usage_gb", "roaming_gb": "roaming_data_gb"},
    ),
    "billing_data": (
        "monthly_charge DOUBLE, additional_charges DOUBLE, payment_status VARCHAR",
        {
            "bill": "monthly_charge + additional_charges",
            "extra": "additional_charges",
            "is_overdue": "payment_status = 'overdue'",
        },
    ),
    "contact_history": ("purpose VARCHAR", {"is_marketing": "purpose = 'marketing'"}),
}
FLAT = {
    "sentiment": "TINYINT",
    "minutes": "DOUBLE",
    "is_poor": "BOOLEAN",
    "latency": "DOUBLE",
    "offers": "INTEGER",
    "is_accepted": "BOOLEAN",
    "churn": "DOUBLE",
    "satisfaction": "DOUBLE",
    "data_gb": "DOUBLE",
    "roaming_gb": "DOUBLE",
    "bill": "DOUBLE",
    "extra": "DOUBLE",
    "is_overdue": "BOOLEAN",
    "is_marketing": "BOOLEAN",
}
CALLS, CHATS, VISITS = 0, 1, 2


def within(days):
    """A window is the last n dates, the as-of date included."""
    return f"day > {AS_OF} - {days}"


FEATURES = {
    "events": "count(*)",
    "events_30d": f"count(*) FILTER ({within(30)})",
    "days_since_event": f"{AS_OF} - max(day)",
    "calls": f"count(*) FILTER (source = {CALLS})",
    "calls_90d": f"count(*) FILTER (source = {CALLS} AND {within(90)})",
    "contacts_negative": "count(*) FILTER (sentiment = 0)",
    "negative_contacts_90d": f"count(*) FILTER (sentiment = 0 AND {within(90)})",
    "positive_contacts_90d": f"count(*) FILTER (sentiment = 2 AND {within(90)})",
    "contact_minutes_90d": f"coalesce(sum(minutes) FILTER ({within(90)}), 0)",
    "churn_90d": f"arg_max(churn, day) FILTER (churn IS NOT NULL AND {within(120)})",
    "churn_trend": f"30 * regr_slope(churn, day - {AS_OF}) FILTER ({within(180)})",
    "satisfaction": "arg_max(satisfaction, day) FILTER (satisfaction IS NOT NULL)",
    "bill_total": "arg_max(bill, day) FILTER (bill IS NOT NULL)",
    "bill_trend": f"30 * regr_slope(bill, day - {AS_OF}) FILTER ({within(180)})",
    "extra_charges_max_90d": f"max(extra) FILTER ({within(90)})",
    "extra_charges_90d": f"coalesce(sum(extra) FILTER ({within(90)}), 0)",
    "overdue_bills_90d": f"count(*) FILTER (is_overdue AND {within(90)})",
    "data_gb": f"arg_max(data_gb, day) FILTER (data_gb IS NOT NULL AND {within(60)})",
    "data_gb_max_90d": f"max(data_gb) FILTER ({within(90)})",
    "roaming_gb_90d": f"coalesce(sum(roaming_gb) FILTER ({within(90)}), 0)",
    "poor_network_90d": f"count(*) FILTER (is_poor AND {within(90)})",
    "latency_max_90d": f"max(latency) FILTER ({within(90)})",
    "visits_30d": f"count(*) FILTER (source = {VISITS} AND {within(30)})",
    "offers_90d": f"coalesce(sum(offers) FILTER ({within(90)}), 0)",
    "offers_accepted": "count(*) FILTER (is_accepted)",
    "marketing_contacts_30d": f"count(*) FILTER (is_marketing AND {within(30)})",
}


def select_source(number, name, data):
    columns, gives = SOURCES[name]
    columns = "customer_id VARCHAR, date DATE" + (", " + columns if columns else "")
    typed = "{" + ", ".join(f"'{c.split(' ', 1)[0]}': '{c.split(' ', 1)[1]}'" for c in split_columns(columns)) + "}"
    given = ", ".join(f"CAST({gives.get(column, 'NULL')} AS {kind}) AS {column}" for column, kind in FLAT.items())
    return (
        f"SELECT CAST(substr(customer_id, 2) AS INTEGER) AS customer, date AS day, {number}::TINYINT AS source, "
        f"{given} FROM read_json('{data}/{name}*', format = 'newline_delimited', columns = {typed})"
    )


def split_columns(columns):
    """At commas outside parentheses."""
    parts, depth = [""], 0
    for c in columns:
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return [part.strip() for part in parts]


def features_of(table):
    listed = ",\n    ".join(f"{sql} AS {name}" for name, sql in FEATURES.items())
    return f"SELECT customer,\n    {listed}\nFROM {table} WHERE day <= {AS_OF} GROUP BY customer"


def timed(connection, sql):
    start = time.monotonic()
    connection.execute(sql)
    return time.monotonic() - start


class Peer:
    """DuckDB with the records as files and as a flat table."""

    def __init__(self, data, folder, threads):
        self.connection = duckdb.connect(os.path.join(folder, "peer.duckdb"))
        self.connection.execute(f"SET threads = {threads}")
        union = "\nUNION ALL ".join(select_source(i, name, data) for i, name in enumerate(SOURCES))
        self.connection.execute(f"CREATE VIEW files AS {union}")
        self.flat_seconds = timed(
            self.connection, "CREATE TABLE flat AS SELECT * FROM files ORDER BY customer, day"
        )
        self.events = self.connection.execute("SELECT count(*) FROM flat").fetchone()[0]

    def features(self, table):
        return timed(self.connection, f"CREATE OR REPLACE TEMP TABLE result AS {features_of(table)}")

    def of(self, customer):
        self.connection.execute("SELECT * FROM result WHERE customer = ?", [customer])
        names = [column[0] for column in self.connection.description]
        row = self.connection.fetchone()
        return dict(zip(names, row)) if row else None


def is_equal(ours, theirs):
    """Missing is null with us; DuckDB says null, or NaN for the slope of one point."""
    if theirs is not None and theirs != theirs:
        theirs = None
    if ours is None or theirs is None:
        return ours is None and theirs is None
    return abs(ours - theirs) <= 1e-9 * max(1.0, abs(ours), abs(theirs))


def compare(deployment, peer, sample):
    """Differences between cvm's features and DuckDB's, for customers picked by the hash of their id."""
    ids = [
        row[0]
        for row in deployment.query("SELECT customer_id FROM customer ORDER BY customer_key LIMIT ?", (sample,))
    ]
    differences = []
    for customer in ids:
        ours = deployment.json("journey", customer, "--as-of", UNTIL.isoformat())["features"]
        theirs = peer.of(int(customer[1:]))
        for name in FEATURES:
            if name not in ours or not is_equal(ours[name], theirs[name] if theirs else None):
                differences.append(
                    f"{customer} {name}: cvm {ours.get(name, 'has none')}, DuckDB {theirs and theirs[name]}"
                )
    return len(ids), differences


def cvm_features(deployment, threads):
    """One measurement in a process of its own: seconds, bytes of memory."""
    result = deployment.bench("journey", "--as-of", UNTIL.isoformat(), "--threads", threads, "--repeat", 1)
    return result["seconds_median"], int(result["peak_memory"])


def main():
    parser = argparse.ArgumentParser(description="the same features by DuckDB and by cvm")
    parser.add_argument("cvm")
    parser.add_argument("--customers", type=int, default=200000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", help="write the figures there")
    options = parser.parse_args()
    with cvm_program.scratch("cvm-duckdb-") as folder:
        data = os.path.join(folder, "data")
        deployment = cvm_program.Deployment.create(options.cvm, os.path.join(folder, "cvm"), options.customers)
        deployment.cvm(
            "generate",
            "--customers",
            options.customers,
            "--events",
            25,
            "--seed",
            1,
            "--until",
            UNTIL.isoformat(),
            "--out",
            data,
            "--quiet",
        )
        deployment.cvm("import", data, "--quiet")
        peer = Peer(data, folder, options.threads)
        times = {"duckdb_ndjson": [], "duckdb_flat": [], "cvm": []}
        for _ in range(options.rounds):
            times["duckdb_ndjson"].append(peer.features("files"))
            seconds, peak = cvm_features(deployment, options.threads)
            times["cvm"].append(seconds)
            times["duckdb_flat"].append(peer.features("flat"))
        compared, differences = compare(deployment, peer, options.sample)
    medians = {name: cvm_program.median(series) for name, series in times.items()}
    report(options, peer, times, medians, compared, differences)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as stream:
            json.dump(
                {
                    "duckdb": {
                        "version": duckdb.__version__,
                        "customers": options.customers,
                        "events": peer.events,
                        "features": len(FEATURES),
                        "seconds": medians,
                        "rounds": times,
                        "cvm_peak_mib": peak / 2**20,
                        "flat_table_seconds": peer.flat_seconds,
                        "compared_customers": compared,
                        "differences": differences,
                    }
                },
                stream,
                indent=1,
            )
    return 1 if differences else 0


def report(options, peer, times, medians, compared, differences):
    def row(name, label):
        spread = f"{min(times[name]):.3f} to {max(times[name]):.3f}"
        print(f"| {label} | {medians[name]:.3f} | {spread} |")

    print(
        f"Features of {options.customers:,} customers with {peer.events:,} events, {options.threads} threads, rounds "
        f"alternating, {options.rounds} each; DuckDB {duckdb.__version__} computes {len(FEATURES)} features, "
        f"cvm all of its catalogue (target: 0.3 s at 200,000 customers):\n"
    )
    print("| from | median s | range s |\n|---|---|---|")
    row("duckdb_ndjson", "DuckDB, NDJSON with typed columns")
    row("duckdb_flat", f"DuckDB, flat table sorted by customer (made in {peer.flat_seconds:.1f} s)")
    row("cvm", "cvm, its store, a process of its own each time")
    print(f"\n{compared} customers x {len(FEATURES)} features compared: {len(differences)} differ")
    for difference in differences[:20]:
        print(f"- {difference}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except cvm_program.Failure as failure:
        print(f"duckdb features: {failure}", file=sys.stderr)
        sys.exit(1)
