#!/bin/sh
# tests/support/rabbitmq_server.sh COMMAND... - run a command beside a RabbitMQ of its own.
#
# The node lives in a temporary folder (data, cookie, home), listens on free ports of this machine's loopback, has an
# epmd of its own, runs as an unprivileged user when this is root, and is stopped at the end. The command finds
#   BROKER_URL       amqp://...
#   BROKER_TLS_URL   amqps://...?ca=..., where openssl is there
#   BROKER_CONTROL   a program: settle, kill (as a crash does), start, restart, pause (SIGSTOP), resume, queues, publish, alarm,
#                    calm
# and its exit status is that of this script; 77 (skip) where the package rabbitmq-server is not installed.
set -eu

programs=/usr/lib/rabbitmq/bin
if [ ! -x "$programs/rabbitmq-server" ]; then
    echo "skip: the package rabbitmq-server is not installed" >&2
    exit 77
fi

folder=$(mktemp -d /tmp/cvm-rabbit-XXXXXX)
as=""
if [ "$(id -u)" = 0 ]; then
    user=rabbitmq
    id "$user" > /dev/null 2>&1 || user=nobody
    as="setpriv --reuid=$user --regid=$(id -g "$user") --clear-groups --"
fi
# shellcheck disable=SC2046
set -- $(python3 -c '
import socket
probes = [socket.socket() for _ in range(4)]
for probe in probes:
    probe.bind(("127.0.0.1", 0))
print(*(probe.getsockname()[1] for probe in probes))') "$@"
port=$1 tls_port=$2 dist_port=$3 epmd_port=$4
shift 4

cat > "$folder/rabbitmq.conf" <<END
listeners.tcp.1 = 127.0.0.1:$port
disk_free_limit.absolute = 1MB
log.file = false
log.console = true
log.console.level = warning
END
tls_url=""
if command -v openssl > /dev/null; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout "$folder/key.pem" -out "$folder/cert.pem" 2> /dev/null
    cat >> "$folder/rabbitmq.conf" <<END
listeners.ssl.1 = 127.0.0.1:$tls_port
ssl_options.cacertfile = $folder/cert.pem
ssl_options.certfile = $folder/cert.pem
ssl_options.keyfile = $folder/key.pem
ssl_options.verify = verify_none
END
    tls_url="amqps://guest:guest@localhost:$tls_port?ca=$folder/cert.pem"
fi
echo "[]." > "$folder/enabled_plugins"
cat > "$folder/environment" <<END
export HOME="$folder"
export RABBITMQ_CONF_ENV_FILE="$folder/none"
export RABBITMQ_NODENAME="cvm-$port@localhost"
export RABBITMQ_BASE="$folder"
export RABBITMQ_MNESIA_BASE="$folder/data"
export RABBITMQ_LOG_BASE="$folder/log"
export RABBITMQ_PID_FILE="$folder/pid"
export RABBITMQ_CONFIG_FILE="$folder/rabbitmq.conf"
export RABBITMQ_ADVANCED_CONFIG_FILE="$folder/advanced.config"
export RABBITMQ_ENABLED_PLUGINS_FILE="$folder/enabled_plugins"
export RABBITMQ_DIST_PORT=$dist_port
export ERL_EPMD_PORT=$epmd_port
export ERL_EPMD_ADDRESS=127.0.0.1
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
END
cat > "$folder/control" <<END
#!/bin/sh
. "$folder/environment"
cd "$folder"
case "\$1" in
start)
    rm -f "$folder/pid"
    if [ ! -f "$folder/epmd.pid" ]; then # else the node would start one that outlives it
        $as epmd -relaxed_command_check < /dev/null > /dev/null 2>&1 &
        echo \$! > "$folder/epmd.pid"
    fi
    $as "$programs/rabbitmq-server" < /dev/null >> "$folder/server.log" 2>&1 &
    exec $as "$programs/rabbitmqctl" --quiet wait --timeout 300 "$folder/pid" > "$folder/wait.log" 2>&1
    ;;
kill) kill -9 "\$(cat "$folder/pid")" ;;
restart) "\$0" kill; exec "\$0" start ;;
pause) kill -STOP "\$(cat "$folder/pid")" ;;
resume) kill -CONT "\$(cat "$folder/pid")" ;;
settle)
    # RabbitMQ 3.10 writes the register of its quorum queues out after up to three minutes: a queue that is younger than
    # that when its node is killed stands still afterwards. Here the register is written at once.
    exec $as "$programs/rabbitmqctl" --quiet eval '[dets:sync(Table) || Table <- dets:all()].' > /dev/null
    ;;
queues) exec $as "$programs/rabbitmqctl" --quiet list_queues --no-table-headers name messages ;;
alarm) exec $as "$programs/rabbitmqctl" --quiet set_vm_memory_high_watermark absolute 1MB > /dev/null ;;
publish) # QUEUE TEXT: bytes as they are
    exec $as "$programs/rabbitmqctl" --quiet eval "rabbit_basic:publish(rabbit_misc:r(<<\"/\">>, exchange, <<>>), <<\"\$2\">>,
        [], <<\"\$3\">>)." > /dev/null
    ;;
calm) exec $as "$programs/rabbitmqctl" --quiet set_vm_memory_high_watermark 0.6 > /dev/null ;;
end)
    "\$0" resume 2> /dev/null
    "\$0" kill 2> /dev/null
    kill "\$(cat "$folder/epmd.pid")" 2> /dev/null
    ;;
esac
END
chmod +x "$folder/control"
[ -z "$as" ] || chown -R "$user" "$folder"

stop() {
    "$folder/control" end || true
    rm -rf "$folder" || { sleep 1; rm -rf "$folder"; }
}
trap stop EXIT
trap 'exit 1' INT TERM
"$folder/control" start || {
    tail -n 40 "$folder/server.log" "$folder/wait.log" >&2
    exit 1
}

status=0
BROKER_URL="amqp://guest:guest@127.0.0.1:$port" BROKER_TLS_URL=$tls_url BROKER_CONTROL="$folder/control" \
    "$@" || status=$?
exit $status
