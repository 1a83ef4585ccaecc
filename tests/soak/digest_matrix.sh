#!/bin/sh
# The same plan from every build, thread count, chunk size and import order: CVM CUSTOMERS SEEDS [--this-build-only].
set -eu
exec python3 "$(dirname "$0")/digest_matrix.py" "$@"
