#!/bin/sh
# tools/embed_sql.sh MODE DIALECT OUTPUT DEPFILE FOLDER... - run embed_sql.awk over every .sql file
# of the folders; the folders themselves are dependencies, so that a new file is noticed.
set -eu
mode=$1 dialect=$2 output=$3 depfile=$4
shift 4
tools=$(dirname "$0")

set -- "$@" --
while [ "$1" != -- ]; do
    folder=$1
    shift
    folders="${folders-} $folder"
    set -- "$@" "$folder"/*.sql
done
shift

printf '%s:%s' "$output" "$folders" > "$depfile"
printf ' %s' "$tools/embed_sql.awk" "$@" >> "$depfile"
printf '\n' >> "$depfile"
awk -v mode="$mode" -v dialect="$dialect" -f "$tools/embed_sql.awk" "$@" > "$output.tmp" || {
    rm -f "$output.tmp"
    exit 1
}
mv "$output.tmp" "$output"
