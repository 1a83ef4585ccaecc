#!/bin/sh
# Format, layers, sizes, banned calls, headers that stand alone, SQL that prepares: BUILD.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
failed=0
step() {
    name=$1
    shift
    if "$@"; then echo "lint $name: ok"; else echo "lint $name: FAILED" >&2; failed=1; fi
}

check_format() {
    git ls-files -co --exclude-standard 'src/*.[ch]' 'src/*.cc' 'tests/*.[ch]' 'bench/*.[ch]' |
        xargs clang-format --dry-run -Werror
}
check_headers() {
    for header in $(git ls-files -co --exclude-standard 'src/*.h'); do
        gcc -std=c17 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -Isrc -I"$build/src" \
            $(pkg-config --cflags libpq) -x c "$header" || return 1
    done
}
check_documents() {
    # every relative link of a document leads to a file
    for document in $(git ls-files -co --exclude-standard '*.md'); do
        folder=$(dirname "$document")
        grep -o '](\([^)#]*\))' "$document" | sed 's/^](//; s/)$//' | grep -v '^http' | while read -r link; do
            [ -z "$link" ] || [ -e "$folder/$link" ] || { echo "$document: no file '$link'"; exit 1; }
        done || return 1
    done
}

step format check_format
step layers tools/check_layers.sh
step tidy python3 tools/tidy.py
step headers check_headers
step documents check_documents
[ ! -x tools/check_sql.sh ] || step sql tools/check_sql.sh "$build"
exit $failed
