#!/bin/sh
# Every measurement beside its peer: BUILD. Tables go to standard output, figures to BUILD/bench/measurements.json.
#
#   BENCH_CUSTOMERS  biggest base, default 100000; 1000000 for the figures of docs/
#   BENCH_ROUNDS     interleaved rounds, default 5 (15 for the figures of docs/)
#   BENCH_KILLS      kills of the baseline and beside it, default 200
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
customers=${BENCH_CUSTOMERS:-100000}
rounds=${BENCH_ROUNDS:-5}
kills=${BENCH_KILLS:-200}
out="$build/bench"
failed=0
mkdir -p "$out"

venv="$build/bench-venv"
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c "import duckdb" 2> /dev/null; then
    if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check duckdb; } \
        > "$out/venv.log" 2>&1; then
        tail -n 5 "$out/venv.log" >&2
        echo "bench: the Python package duckdb could not be installed; its comparison is left out" >&2
    fi
fi

# NAME COMMAND...: its table into the report, its exit code into ours.
part() {
    name=$1
    shift
    echo "bench: $name ..." >&2
    if ! "$@" > "$out/$name.md"; then
        failed=1
        echo "bench: $name FAILED" >&2
    fi
    cat "$out/$name.md"
    echo
}

# Ten rules over a million customers, and the shipped catalogue's checks and values.
rules_and_values() {
    "$build/cvm" bench rules --customers 1000000 --threads 2 --repeat "$rounds" | sed 's/^/    /'
    echo
    "$build/cvm" bench recommend --customers "$customers" --threads 2 --repeat "$rounds" | sed 's/^/    /'
}

solve_sizes() {
    for size in 10000 100000 1000000; do
        [ "$size" -gt "$customers" ] || "$build/bench/solver_bench" "$size" | sed 's/^/    /'
    done
}

echo "# Measurements"
echo
model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
commit=$(git rev-parse --short HEAD 2> /dev/null || echo unknown)
echo "$(nproc) cores, $model, $(uname -sr), $(date -u +%Y-%m-%d), commit $commit"
echo
echo "## Scale"
echo
part scale python3 bench/scale.py "$build/cvm" --customers "$customers" --rounds "$rounds" --json "$out/scale.json"
if "$venv/bin/python" -c "import duckdb" 2> /dev/null; then
    echo "## DuckDB, the same features"
    echo
    peers=$customers
    [ "$peers" -le 200000 ] || peers=200000
    part duckdb "$venv/bin/python" bench/duckdb_features.py "$build/cvm" --customers "$peers" --rounds "$rounds" \
        --json "$out/duckdb.json"
fi
echo "## The proof of concept's way"
echo
part poc python3 bench/poc_baseline.py "$build/cvm" --kills "$kills" --json "$out/poc.json"
echo "## Rules, and values with consent and policy"
echo
part rules rules_and_values
if ninja -C "$build" -t query bench/solver_bench > /dev/null 2>&1; then
    ninja -C "$build" --quiet bench/solver_bench
    echo "## The solver alone"
    echo
    part solver solve_sizes
fi

python3 - "$out" "$build" << 'END'
import json, os, sys
out, figures = sys.argv[1], {}
for name in ("scale", "duckdb", "poc"):
    path = os.path.join(out, name + ".json")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as stream:
            figures.update(json.load(stream))
for name in ("rules", "solver"):
    path = os.path.join(out, name + ".md")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as stream:
            figures[name] = stream.read().splitlines()
figures["cores"] = os.cpu_count()
with open(os.path.join(out, "measurements.json"), "w", encoding="utf-8") as stream:
    json.dump(figures, stream, indent=1)
END
echo "bench: figures in $out/measurements.json" >&2
exit $failed
