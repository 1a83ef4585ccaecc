#!/bin/sh
# kill -9 of random agent processes during runs, over RabbitMQ and PostgreSQL: CVM COUNT.
set -eu
tests=$(dirname "$0")/..
CVM_AGENT_KILLS=$2 exec "$tests/support/postgres_server.sh" "$tests/support/rabbitmq_server.sh" \
    python3 "$tests/integration/agents_test.py" "$1" kills_of_random_agents
