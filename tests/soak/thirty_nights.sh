#!/bin/sh
# Thirty nights of run, release, contacts and outcomes on a base with a known truth: CVM [CUSTOMERS] [--seed S] ...
set -eu
exec python3 "$(dirname "$0")/thirty_nights.py" "$@"
