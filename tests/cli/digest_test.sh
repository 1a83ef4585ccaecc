#!/bin/sh
# The same records give the same plan, whatever the threads, chunk size and import order: CVM.
set -eu
exec "$(dirname "$0")/../soak/digest_matrix.sh" "$1" 2000 1 --this-build-only
