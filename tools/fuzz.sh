#!/bin/sh
# Run every fuzz target for SECONDS on a copy of its corpus: FOLDER SECONDS. Findings fail and are kept.
set -eu
folder=$1 seconds=$2
found=0
for target in "$folder"/tests/fuzz/*_fuzz; do
    [ -x "$target" ] || continue
    name=$(basename "$target" _fuzz)
    work="$folder/fuzz-work/$name"
    mkdir -p "$work"
    corpus="tests/fuzz/corpus/$name"
    [ -d "$corpus" ] || corpus=""
    # shellcheck disable=SC2086
    if "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$work/" \
        "$work" $corpus > "$work.log" 2>&1; then
        echo "fuzz $name: $(grep -o 'Done [0-9]* runs' "$work.log" | tail -n 1)"
    else
        tail -n 30 "$work.log"
        echo "fuzz $name: FAILED, input kept in $work/" >&2
        found=1
    fi
done
exit $found
