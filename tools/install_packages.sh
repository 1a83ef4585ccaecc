#!/bin/sh
# Install the Debian packages of one purpose that are missing: build, test, check, bench.
# As root, or with sudo; with neither it says what is missing. Fast when nothing is.
set -eu

build="gcc g++ make meson ninja-build pkg-config libsimdjson-dev libsqlite3-dev libpq-dev libyaml-dev libxxhash-dev libsodium-dev libhiredis-dev librabbitmq-dev librdkafka-dev"
runtime="tzdata"
test="libcmocka-dev python3 sqlite3 postgresql redis-server rabbitmq-server default-jre-headless maven openssl chromium"
check="clang clang-format clang-tidy libclang-rt-14-dev gcovr git mandoc zsh fish"
bench="python3 python3-venv python3-pip coinor-clp"

case "${1:-build}" in
build) wanted="$build $runtime" ;;
test) wanted="$build $runtime $test" ;;
check) wanted="$build $runtime $test $check" ;;
bench) wanted="$build $runtime $test $bench" ;;
*) echo "usage: $0 build|test|check|bench" >&2; exit 2 ;;
esac

# Tests are part of every build, so their library is too.
wanted="$wanted libcmocka-dev"

if ! command -v dpkg-query > /dev/null; then
    echo "cvm: this is no Debian system; these packages or their likes are needed: $wanted" >&2
    exit 0
fi

missing=""
for package in $wanted; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo > /dev/null && { sudo -n true 2> /dev/null || [ -t 0 ]; }; then
    as_root="sudo"
else
    echo "cvm: these packages are missing and can only be installed by root or with sudo:" >&2
    echo "    apt-get install$missing" >&2
    exit 1
fi

echo "Installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The tests start a RabbitMQ of their own; nobody asked for one that runs with the machine.
policy=/usr/sbin/policy-rc.d
case "$missing" in
*rabbitmq-server*)
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$log"; $as_root rm -f "$policy"' EXIT
        # shellcheck disable=SC2016
        $as_root sh -c 'printf "#!/bin/sh\nexit 101\n" > "$1" && chmod +x "$1"' - "$policy"
    fi
    ;;
esac
if ! { $as_root apt-get update -q && DEBIAN_FRONTEND=noninteractive $as_root \
    apt-get install -y -q --no-install-recommends $missing; } > "$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "cvm: apt-get could not install:$missing" >&2
    exit 1
fi
