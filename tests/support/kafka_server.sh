#!/bin/sh
# tests/support/kafka_server.sh COMMAND... - run a command beside a Kafka of its own.
#
# One node without ZooKeeper, in a temporary folder, on free ports of this machine's loopback, stopped at the end. Debian has
# no Kafka: its artifacts come with Maven, once, into $XDG_CACHE_HOME/cvm (else ~/.cache/cvm). The command finds
#   BROKER_URL       kafka://...
#   BROKER_CONTROL   a program: settle, kill (as a crash does), start, restart, pause (SIGSTOP), resume
# and its exit status is that of this script; 77 (skip) where there is no Java, no Maven, or nothing can be fetched.
set -eu

# The newest that librdkafka 2.0.2 can form consumer groups with is 3.9.
version=3.9.1
skip() {
    echo "skip: $1" >&2
    exit 77
}
command -v java > /dev/null || skip "there is no Java for Kafka (package default-jre-headless)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/cvm/kafka-$version"
if [ ! -e "$cache/complete" ]; then
    command -v mvn > /dev/null || skip "Kafka is not in '$cache', and there is no Maven to fetch it with (package maven)"
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/fetch-XXXXXX")
    cat > "$work/pom.xml" <<END
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>cvm.test</groupId>
  <artifactId>kafka-server</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$version</version>
    </dependency>
  </dependencies>
</project>
END
    if ! (cd "$work" && mvn -q -B dependency:copy-dependencies -DoutputDirectory="$work/jars" > "$work/log" 2>&1); then
        tail -n 5 "$work/log" >&2
        rm -rf "$work"
        skip "Kafka $version can not be fetched from here"
    fi
    # Two of us may fetch at once: the jars are the same.
    mkdir -p "$cache/jars"
    mv -f "$work"/jars/*.jar "$cache/jars/"
    rm -rf "$work"
    touch "$cache/complete"
fi

folder=$(mktemp -d /tmp/cvm-kafka-XXXXXX)
# shellcheck disable=SC2046
set -- $(python3 -c '
import socket
probes = [socket.socket() for _ in range(2)]
for probe in probes:
    probe.bind(("127.0.0.1", 0))
print(*(probe.getsockname()[1] for probe in probes))') "$@"
port=$1 controller_port=$2
shift 2

cat > "$folder/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
controller.listener.names=CONTROLLER
log.dirs=$folder/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
default.replication.factor=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.enable=false
END
cat > "$folder/control" <<END
#!/bin/sh
cd "$folder"
run() {
    exec java -Xms256m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$cache/jars/*" "\$@"
}
case "\$1" in
format) run kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c server.properties > format.log 2>&1 ;;
start)
    (run kafka.Kafka server.properties < /dev/null >> server.log 2>&1) &
    echo \$! > pid
    # Ready once it answers a client; the log is silent without a logger.
    exec python3 -c '
import socket, sys, time
for _ in range(1200):
    try:
        with socket.create_connection(("127.0.0.1", $port), 1) as s:
            s.settimeout(5)
            s.sendall(bytes.fromhex("0000000a00120000000000010000"))
            if s.recv(4):
                sys.exit(0)
    except OSError:
        time.sleep(0.1)
sys.exit(1)'
    ;;
settle) ;;
kill) kill -9 "\$(cat pid)" ;;
restart) "\$0" kill; exec "\$0" start ;;
pause) kill -STOP "\$(cat pid)" ;;
resume) kill -CONT "\$(cat pid)" ;;
esac
END
chmod +x "$folder/control"
stop() {
    "$folder/control" kill 2> /dev/null || true
    rm -rf "$folder" || { sleep 1; rm -rf "$folder"; }
}
trap stop EXIT
trap 'exit 1' INT TERM
"$folder/control" format && "$folder/control" start || {
    tail -n 40 "$folder"/*.log >&2
    exit 1
}

status=0
BROKER_URL="kafka://127.0.0.1:$port" BROKER_CONTROL="$folder/control" "$@" || status=$?
exit $status
