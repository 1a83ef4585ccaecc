#!/bin/sh
# `cvm bench broker` in the process, on a RabbitMQ and on a Kafka of their own: BUILD [REPEATS]. A server that is not there is
# left out with a word.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
repeats=${2:-5}
for server in rabbitmq kafka; do
    # shellcheck disable=SC2016
    tests/support/"$server"_server.sh sh -c '"$1" bench broker --broker "$BROKER_URL" --repeat "$2"' - \
        "$build/cvm" "$repeats" || [ $? = 77 ]
done
