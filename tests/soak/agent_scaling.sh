#!/bin/sh
# Workers that come with work and go without it, over RabbitMQ and PostgreSQL; some minutes: CVM.
set -eu
tests=$(dirname "$0")/..
CVM_AGENT_SCALE_DOWN=1 exec "$tests/support/postgres_server.sh" "$tests/support/rabbitmq_server.sh" \
    python3 "$tests/integration/scaling_test.py" "$1"
