#!/bin/sh
# The main job on an example: 10,000 generated customers, from an empty folder to explained decisions.
set -eu
build=$1
cvm="$build/cvm"
example="$build/example"
customers=${CVM_EXAMPLE_CUSTOMERS:-10000}

rm -rf "$example"
"$cvm" init "$example" --customers "$customers" --quiet
echo "Generating $customers customers ..."
"$cvm" generate --customers "$customers" --seed 1 --config "$example/cvm.yaml" --quiet
"$cvm" run --config "$example/cvm.yaml" --out "$example/results.json"
