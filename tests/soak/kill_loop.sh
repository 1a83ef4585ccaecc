#!/bin/sh
# kill -9 at random moments of import and run; the store must come back whole: CVM COUNT [--help for more].
set -eu
exec python3 "$(dirname "$0")/kill_loop.py" "$@"
