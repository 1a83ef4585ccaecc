#!/bin/sh
# tools/check_sql.sh - prepare every statement of src/storage/sql against a freshly migrated SQLite.
#
# A statement must prepare on the store, on the journey file or on the database of keys, one of the three.
# PostgreSQL's statements must have the same names and migrations of the same numbers; that they prepare is
# tests/storage/db_test.c's work.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sql=src/storage/sql

# The same names and migrations in every dialect.
names() {
    cat "$sql/$1"/*.sql "$sql/$1_journeys"/*.sql | sed -n 's/^-- name: //p' | sort
    ls "$sql/$1" | grep '^[0-9]'
}
names sqlite > "$folder/sqlite.names"
names postgres > "$folder/postgres.names"
diff "$folder/sqlite.names" "$folder/postgres.names" || {
    echo "check_sql: the dialects sqlite (<) and postgres (>) differ" >&2
    exit 1
}

# The table that records migrations is a statement itself.
awk '/^-- name: /{ on = $3 == "migration_table"; next } on' $sql/sqlite/store.sql > "$folder/first.sql"
echo ';' >> "$folder/first.sql"
for schema in sqlite sqlite_journeys sqlite_keys; do
    cat "$folder/first.sql" $sql/$schema/[0-9]*.sql | sqlite3 -bail "$folder/$schema.db"
done

# One file per statement, "EXPLAIN" before it: SQLite prepares and does not run it.
cat $(ls $sql/sqlite/*.sql $sql/sqlite_journeys/*.sql $sql/sqlite_keys/*.sql | grep -v '/[0-9][0-9]*_') |
    awk -v folder="$folder" '
        /^-- name: / { if (file) close(file); file = folder "/" $3 ".explain"; print "EXPLAIN" > file; next }
        /^--/ || !file { next }
        { print > file }'

count=0
failed=0
for file in "$folder"/*.explain; do
    count=$((count + 1))
    echo ';' >> "$file"
    if ! sqlite3 -bail "$folder/sqlite.db" < "$file" > /dev/null 2> "$folder/store.err" &&
        ! sqlite3 -bail "$folder/sqlite_journeys.db" < "$file" > /dev/null 2> "$folder/journeys.err" &&
        ! sqlite3 -bail "$folder/sqlite_keys.db" < "$file" > /dev/null 2> "$folder/keys.err"; then
        echo "check_sql: $(basename "$file" .explain): $(head -1 "$folder/store.err")" >&2
        echo "check_sql: $(basename "$file" .explain): $(head -1 "$folder/journeys.err")" >&2
        echo "check_sql: $(basename "$file" .explain): $(head -1 "$folder/keys.err")" >&2
        failed=1
    fi
done
[ $failed -eq 0 ] && echo "check_sql: $count statements prepare"
exit $failed
