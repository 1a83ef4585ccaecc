#!/usr/bin/env python3
"""`cvm bench`: CVM [WORD...]; only rules with one of the words in their name."""

import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
import redis_server  # noqa: E402
from cvm_program import expect, same  # noqa: E402

CUSTOMERS = 3000


def bench(program, *arguments):
    result = cvm_program.run([program, "bench", "allocate", "--customers", CUSTOMERS, "--repeat", 2, *arguments, "--json"])
    same(result.document["bench"], "allocate", "bench")
    return {r["name"]: r["value"] for r in result.document["results"]}


def it_tells_cold_and_warm_solves_their_gap_and_a_plain_pass(program, folder):
    for rows in (13, 33):
        values = bench(program, "--rows", rows)
        same((values["customers"], values["rows"], values["feasible"]), (CUSTOMERS, rows, 1), "what was solved")
        for name in ("cold", "warm", "values_changed", "capacity_changed"):
            seconds = [values[f"{name}_seconds_{which}"] for which in ("best", "median", "worst")]
            expect(0 < seconds[0] <= seconds[1] <= seconds[2], f"{name}: {seconds}")
            expect(0 <= values[f"{name}_gap"] < 1e-2, f"{name}: gap {values[f'{name}_gap']}")
        expect(values["dual_bound"] >= values["value"] > 0, "value and bound")
        gap = values["regret"] + values["slack"]
        expect(abs(values["dual_bound"] - values["value"] - gap) < 1e-9 * values["value"], "where the gap lives")
        for name in ("plain_pass_rate", "memory_read_rate", "cold_to_plain_pass", "verify_seconds_best", "peak_memory"):
            expect(values[name] > 0, name)


def a_seed_is_a_base_and_threads_change_nothing(program, folder):
    first = bench(program, "--seed", 5, "--threads", 1)
    again = bench(program, "--seed", 5, "--threads", 2)
    other = bench(program, "--seed", 6)
    same(first["value"], again["value"], "value of the same seed")
    expect(first["value"] != other["value"], "another seed is another base")


def the_problem_is_written_as_files(program, folder):
    bench(program, "--rows", 33, "--write", folder)
    with open(os.path.join(folder, "problem.json"), encoding="utf-8") as stream:
        problem = json.load(stream)
    same((len(problem["treatments"]), len(problem["rows"])), (12, 33), "treatments and rows")
    same(len({row["name"] for row in problem["rows"]}), 33, "names of rows")
    with open(os.path.join(folder, problem["values"]), encoding="utf-8") as stream:
        lines = stream.read().splitlines()
    same(len(lines), CUSTOMERS + 1, "lines")
    same(lines[0].split(","), ["customer_id", "segment", "high_value", "amount", *problem["treatments"]], "columns")


def other_numbers_of_rows_are_a_mistake_of_use(program, folder):
    result = cvm_program.run([program, "bench", "allocate", "--rows", 14], allowed=None)
    same(result.code, 2, "exit status")
    expect("13 or 33" in result.err, result.err)


def the_cache_is_measured_in_memory_away_and_on_a_server_beside_a_bare_loop(program, folder):
    def results(*arguments):
        result = cvm_program.run([program, "bench", "cache", "--customers", 200, "--repeat", 1, *arguments, "--json"])
        return {r["name"]: r["value"] for r in result.document["results"]}

    values = results()
    for name in ("memory_get_1", "memory_get_2", "memory_put_1", "memory_put_2", "redis_away"):
        expect(values[f"{name}_per_second"] > 0, name)
        expect(values[f"{name}_p50"] <= values[f"{name}_p99"], name)
    expect(0.8 < values["memory_hit_rate"] < 1, f"hit rate {values['memory_hit_rate']}")
    expect("redis_get_per_second" not in values, "a server without --cache")
    if redis_server.is_there():
        with redis_server.RedisServer() as server:
            values = results("--cache", server.url)
        for name in ("redis_get_to_bare", "redis_put_to_bare", "customer_from_store", "customer_from_redis"):
            expect(values[name] > 0, name)


def durable_workflows_are_measured_many_at_once_and_alone_beside_the_disk(program, folder):
    result = cvm_program.run([program, "bench", "workflow", "--customers", 70, "--json"])
    values = {r["name"]: r["value"] for r in result.document["results"]}
    same(values["workflows"], 70, "workflows")
    for name in ("step", "workflow", "alone_step", "alone_workflow"):
        expect(0 < values[f"{name}_p50"] <= values[f"{name}_p99"], name)
    expect(values["steps_per_commit"] > 1, "turns share commits")
    for name in ("steps_per_second", "workflows_per_second", "alone_steps_per_second", "syncs_per_second_before",
                 "syncs_per_second_after"):
        expect(values[name] > 0, name)


def the_broker_is_measured_in_the_process(program, folder):
    result = cvm_program.run([program, "bench", "broker", "--repeat", 1, "--json"])
    values = {r["name"]: r["value"] for r in result.document["results"]}
    for name in ("local_1p1c", "local_2p2c"):
        expect(0 < values[f"{name}_median"] <= values[f"{name}_best"], name)
    expect(0 < values["local_round_trip_p50"] <= values["local_round_trip_p99"], "there and back")
    expect("rabbitmq_send_rate" not in values and "kafka_send_rate" not in values, "a server without --broker")


def agents_are_measured_by_single_questions_and_by_a_run(program, folder):
    values = store_bench(program, "agents")
    for name in ("treatment", "allocation", "run_shard_turn"):
        expect(0 < values[f"{name}_p50"] <= values[f"{name}_p99"], name)
    expect(values["run_shards"] >= 1 and values["run"] > 0, "the run")


def a_run_by_its_own_agents_is_measured_in_pairs_with_the_pipeline(program, folder):
    values = store_bench(program, "embedded")
    same(values["run_pairs"], 1, "pairs")
    expect(values["run_directly"] > 0 and values["run_by_workflow"] > 0, "times")
    expect(0 < values["run_ratio_best"] <= values["run_ratio_median"] <= values["run_ratio_worst"], "ratios")


def store_bench(program, *arguments):
    result = cvm_program.run([program, "bench", *arguments, "--customers", 200, "--repeat", 1, "--as-of", "2024-03-20", "--json"])
    document = result.document
    same(document["bench"], arguments[0], "bench")
    expect(document["machine"]["cores"] > 0 and document["machine"]["cpu"], "machine")
    for r in document["results"]:
        same(sorted(r), ["name", "unit", "value"], "fields of a result")
    return {r["name"]: r["value"] for r in document["results"]}


def store_is_measured(program, *where):
    """Each bench of the store has its figures, and those of the bare client library beside them."""
    values = store_bench(program, "ingest", *where)
    expect(values["events"] > 200 * 20, f"{values['events']} events")
    for name in ("parse", "store", "sort", "insert", "pack", "bare_load", "bare_load_without_key"):
        expect(values[f"{name}_seconds_median"] > 0, name)
    for name in ("records_per_second", "bare_load_rows_per_second", "to_bare_load", "cpu_seconds_median"):
        expect(values[name] > 0, name)
    values = store_bench(program, "journey", *where)
    same(values["customers"], 200, "customers")
    expect(values["customers_per_second"] > 0, "customers per second")
    reads = ["point_read"]
    values.update(store_bench(program, "read", "--readers", 2, *where))
    reads += ["one_reader", "readers", "during_import"]
    same(values["readers"], 2, "readers")
    for name in reads:
        expect(0 < values[f"{name}_p50"] <= values[f"{name}_p99"], f"{name}: {values[f'{name}_p50']}")
        expect(0 < values[f"{name}_bare_p50"] <= values[f"{name}_bare_p99"], f"{name} bare")
        expect(values[f"{name}_p50_to_bare"] > 0, f"{name} to bare")
    expect(values["during_import_records_per_second"] > 0, "the import")


def ingest_journeys_and_reads_are_measured_beside_the_bare_library(program, folder):
    store_is_measured(program)


def on_a_server_the_store_is_a_schema_that_is_dropped_again(program, folder):
    url = cvm_program.SERVER
    if not url:
        return  # this test runs a second time beside a server
    store_is_measured(program, "--postgres", url)
    same(cvm_program.psql(url, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'cvm_bench%'").strip(), "0", "schemas")


def a_named_store_is_no_place_for_a_bench_that_imports(program, folder):
    for arguments in (["read", "--store", "sqlite:x.db"], ["read", "--postgres", "sqlite:x.db"]):
        result = cvm_program.run([program, "bench", *arguments], allowed=None)
        same(result.code, 2, f"exit status of {arguments}")


def main():
    program = os.path.abspath(sys.argv[1])
    rules = cvm_program.rules_of(globals(), ("main", "bench", "store_bench", "store_is_measured", "expect", "same"))
    for name, rule in rules:
        if not sys.argv[2:] or any(word in name for word in sys.argv[2:]):
            with tempfile.TemporaryDirectory() as folder:
                rule(program, folder)
            print(f"ok {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
