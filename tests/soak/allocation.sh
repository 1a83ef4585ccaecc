#!/bin/sh
# Random bases of 20k to 1M customers with rows of every kind against the certificate's promises:
# BUILD [COUNT [FIRST_SEED [CUSTOMERS]]].
set -eu
build=$1
shift
exec "$build/tests/soak/allocation_soak" "$@"
