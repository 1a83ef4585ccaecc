#!/bin/sh
# Every measurement beside its peer: BUILD. Tables go to standard output, figures to BUILD/bench/measurements.json.
#
#   BENCH_CUSTOMERS  biggest base, default 100000; 1000000 for the figures of docs/
#   BENCH_ROUNDS     interleaved rounds, default 5 (15 for the figures of docs/)
#   BENCH_KILLS      kills of the baseline and beside it, default 200
#   BENCH_LIMIT      seconds for each solver of linear programs and problem, default 60 (600 for docs/)
#   BENCH_WORLDS     generated bases on which simpler rules are judged by the truth, default 5 (20 for docs/)
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
customers=${BENCH_CUSTOMERS:-100000}
rounds=${BENCH_ROUNDS:-5}
kills=${BENCH_KILLS:-200}
limit=${BENCH_LIMIT:-60}
worlds=${BENCH_WORLDS:-5}
out="$build/bench"
failed=0
mkdir -p "$out"

# Each comparison by itself: one that can not be installed takes no other with it.
venv="$build/bench-venv"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv" || echo "bench: no Python packages without python3-venv" >&2
has() {
    "$venv/bin/python" -c "import $1" 2> /dev/null
}
install() {
    if ! "$venv/bin/pip" install --quiet --disable-pip-version-check "$@" > "$out/venv.log" 2>&1; then
        tail -n 5 "$out/venv.log" >&2
        echo "bench: the Python packages $* could not be installed; their comparison is left out" >&2
    fi
}
solvers="numpy, scipy, highspy, ortools"
has duckdb || install duckdb
has "$solvers" || install numpy scipy highspy ortools

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

allocate() {
    sizes="10000,100000"
    seeds=0
    if [ "$customers" -ge 1000000 ]; then
        sizes="$sizes,$customers"
        seeds=20
    fi
    python3 bench/allocate.py "$build/cvm" --customers "$sizes" --seeds "$seeds" --json "$out/allocate.json"
}

peer_solvers() {
    cases=10000x13,10000x33,100000x13,100000x33
    [ "$customers" -lt 1000000 ] || cases="$cases,1000000x13"
    "$venv/bin/python" bench/peers.py "$build/cvm" --cases "$cases" --limit "$limit" --seeds "$worlds" \
        --json "$out/peers.json" --picture "$out/peers.svg"
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
echo "## The store, on both databases"
echo
part store env BENCH_DUCKDB=no bench/store.sh "$build" --json "$out/store.json"
if has duckdb; then
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
echo "## Allocation"
echo
part allocate allocate
if has "$solvers" && command -v clp > /dev/null; then
    echo "## Allocation beside others"
    echo
    part peers peer_solvers
fi

python3 - "$out" "$build" << 'END'
import json, os, sys
out, figures = sys.argv[1], {}
for name in ("scale", "store", "duckdb", "poc", "allocate", "peers"):
    path = os.path.join(out, name + ".json")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as stream:
            figures.update(json.load(stream))
for name in ("rules",):
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
