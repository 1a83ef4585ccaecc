#!/bin/sh
# Every commit of every command cut off on a base of its own, every failure at every table: CVM [CUSTOMERS].
set -eu
here=$(dirname "$0")
CVM_THOROUGH=1 CVM_FAULT_CUSTOMERS="${2:-2000}" \
    exec "$here/../support/postgres_server.sh" python3 "$here/../cli/postgres_faults_test.py" "$1"
