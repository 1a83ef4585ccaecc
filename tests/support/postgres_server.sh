#!/bin/sh
# tests/support/postgres_server.sh COMMAND... - run a command beside a PostgreSQL of its own.
#
# The server lives in a temporary folder, listens on a socket there and nowhere else, runs as an unprivileged user when
# this is root, and is stopped at the end. The command finds
#   STORE_URL            the database, made and empty
#   CVM_TEST_RESTART     a program that ends the server as a crash does, and starts it again
# and its exit status is that of this script; 77 (skip) where the package postgresql is not installed.
set -eu

programs=""
for folder in $(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -rV); do
    [ ! -x "$folder/initdb" ] || { programs=$folder; break; }
done
if [ -z "$programs" ] && command -v initdb > /dev/null; then
    programs=$(dirname "$(command -v initdb)")
fi
if [ -z "$programs" ]; then
    echo "skip: the package postgresql is not installed" >&2
    exit 77
fi

folder=$(mktemp -d /tmp/cvm-pg-XXXXXX)
as=""
if [ "$(id -u)" = 0 ]; then
    user=postgres
    id "$user" > /dev/null 2>&1 || user=nobody
    chown "$user" "$folder"
    as="setpriv --reuid=$user --regid=$(id -g "$user") --clear-groups --"
fi
stop() {
    $as "$programs/pg_ctl" -D "$folder/data" -m immediate -w stop > /dev/null 2>&1 || true
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 1' INT TERM

# A crash of the server loses nothing without fsync; only one of the machine would.
options="-c listen_addresses='' -c unix_socket_directories='$folder' -c fsync=off -c full_page_writes=off"
options="$options -c max_wal_size=4GB -c max_connections=70 -c shared_buffers=${CVM_TEST_SHARED_BUFFERS:-128MB} ${CVM_TEST_POSTGRES_OPTIONS:-}"
cd "$folder"
$as "$programs/initdb" -D data -U cvm -A trust -E UTF8 --locale=C --no-sync > "$folder/initdb.log" 2>&1 || {
    cat "$folder/initdb.log" >&2
    exit 1
}
cat > "$folder/restart" <<END
#!/bin/sh
cd "$folder"
$as "$programs/pg_ctl" -D data -m immediate -w stop > /dev/null 2>&1
exec $as "$programs/pg_ctl" -D data -w -l server.log -o "$options" start > /dev/null
END
chmod +x "$folder/restart"
"$folder/restart" || {
    cat "$folder/server.log" >&2
    exit 1
}
$as "$programs/createdb" -h "$folder" -U cvm cvm
cd "$OLDPWD"

status=0
STORE_URL="postgresql://cvm@/cvm?host=$folder" CVM_TEST_RESTART="$folder/restart" "$@" || status=$?
exit $status
