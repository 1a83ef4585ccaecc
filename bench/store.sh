#!/bin/sh
# bench/store.sh [BUILD [ARGUMENTS OF store.py]] - what the store costs on SQLite and, where the package postgresql is
# installed, on a PostgreSQL of its own: some 5 minutes on two quiet cores.
#
#   bench/store.sh build                              all parts at 10,000 and 100,000 customers
#   bench/store.sh build --parts audit                one of them
#   bench/store.sh build --parts scale --sizes 10000,100000,1000000      20 GB of disk, half an hour
#
#   BENCH_SHARED_BUFFERS  of the server, default 1GB
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
[ $# -eq 0 ] || shift
status=0
# The same features by DuckDB, where bench/run_all.sh has installed it: BENCH_DUCKDB=no leaves it out.
duckdb="$build/bench-venv/bin/python"
if [ $# -eq 0 ] && [ "${BENCH_DUCKDB:-yes}" = yes ] && "$duckdb" -c "import duckdb" 2> /dev/null; then
    "$duckdb" bench/duckdb_features.py "$build/cvm" --customers 100000 --rounds 3
fi
CVM_TEST_SHARED_BUFFERS=${BENCH_SHARED_BUFFERS:-1GB} \
    tests/support/postgres_server.sh python3 bench/store.py "$build/cvm" "$@" || status=$?
if [ "$status" = 77 ]; then # no server here
    python3 bench/store.py "$build/cvm" "$@"
else
    exit "$status"
fi
