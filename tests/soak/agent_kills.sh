#!/bin/sh
# kill -9 of random processes of agents during runs on PostgreSQL, COUNT over RabbitMQ and COUNT over Kafka:
# CVM COUNT [--help for more]. A broker that can not be had is skipped, and said so.
set -eu
folder=$(dirname "$0")
support=$folder/../support
failed=0
for broker in rabbitmq kafka; do
    status=0
    CVM_PATIENCE=${CVM_PATIENCE:-600} "$support/postgres_server.sh" "$support/${broker}_server.sh" \
        python3 "$folder/agent_kills.py" "$@" || status=$?
    [ $status -eq 0 ] || [ $status -eq 77 ] || failed=1
done
exit $failed
