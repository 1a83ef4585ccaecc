# The front door. Meson and ninja do the work; nobody needs to know either.
#
#   make run     installs what is missing, builds, generates an example base and decides for it
#   make test    installs what the tests need, builds, runs all tests

BUILD := build
MESON_OPTIONS ?=
NINJA := ninja -C
# How many times its limit a test may take: a machine that is busy elsewhere is no failure.
PATIENCE := 10
export CVM_SHARED ?= $(abspath ../shared)

.DEFAULT_GOAL := all
.PHONY: all run test check lint layers sql postgres asan tsan fuzz cover bench soak format install clean help

all: packages-build $(BUILD)/build.ninja
	@$(NINJA) $(BUILD) --quiet

packages-%:
	@tools/install_packages.sh $*

$(BUILD)/build.ninja:
	@meson setup $(BUILD) $(MESON_OPTIONS) > $(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

run: all
	@tools/run_example.sh $(BUILD)

test: packages-test all
	@meson test -C $(BUILD) --no-rebuild --print-errorlogs --suite cvm -t $(PATIENCE)

# Everything that a merge must pass: the tests, and every other gate. Sanitizers see all tests but those whose time is
# spent in servers, the other compiler those in C.
check: packages-check test gates
	@echo "check passed"

.PHONY: gates
gates: packages-check lint gcc-clang asan tsan kills fuzz

# Every script that drives cvm over a store, on PostgreSQL; skipped where there is none.
ON_POSTGRES := $(filter-out $(addprefix tests/cli/,allocate% backup% bench% copy% postgres% terminal%),$(wildcard tests/cli/*_test.py))
postgres: packages-check all
	@tests/support/postgres_server.sh python3 tests/cli/on_postgres.py $(BUILD)/cvm $(ON_POSTGRES) || [ $$? = 77 ]

lint: packages-check all
	@tools/lint.sh $(BUILD)

format: packages-check
	@git ls-files -co --exclude-standard 'src/*.[ch]' 'src/*.cc' 'tests/*.[ch]' 'bench/*.[ch]' | xargs clang-format -i

# One more build per compiler and sanitizer, each in its own folder.
gcc-clang: packages-check
	@tools/build_variant.sh $(BUILD)-clang clang ""
	@meson test -C $(BUILD)-clang --no-rebuild --quiet --print-errorlogs --suite cvm --no-suite servers --no-suite cli -t $(PATIENCE)

asan: packages-check
	@tools/build_variant.sh $(BUILD)-asan gcc "-Db_sanitize=address,undefined -Doptimization=1"
	@meson test -C $(BUILD)-asan --no-rebuild --quiet --print-errorlogs --suite cvm --no-suite servers -t $(PATIENCE)

# What starts threads.
THREADED_TESTS := 'base threads' 'messaging broker' 'storage cache' 'storage state' 'storage store_pool' 'storage import_table' 'agents host' 'base metrics' 'base log' 'engine run' 'storage import' 'allocation solver'
tsan: packages-check
	@tools/build_variant.sh $(BUILD)-tsan gcc "-Db_sanitize=thread -Doptimization=1"
	@meson test -C $(BUILD)-tsan --no-rebuild --quiet --print-errorlogs -t $(PATIENCE) $(THREADED_TESTS)

# FUZZ_SECONDS per target.
FUZZ_SECONDS ?= 5
fuzz: packages-check
	@tools/build_variant.sh $(BUILD)-fuzz clang "-Dfuzzer=true -Db_sanitize=address -Db_lundef=false -Doptimization=1"
	@tools/fuzz.sh $(BUILD)-fuzz $(FUZZ_SECONDS)

# kill -9 at random moments of import and run.
KILLS ?= 10
.PHONY: kills gcc-clang
kills: all
	@tests/soak/kill_loop.sh $(BUILD)/cvm $(KILLS)

cover: packages-check
	@tools/build_variant.sh $(BUILD)-cover gcc "-Db_coverage=true -Doptimization=0"
	@meson test -C $(BUILD)-cover --no-rebuild --quiet --suite cvm
	@$(NINJA) $(BUILD)-cover coverage-text > /dev/null && tail -n 5 $(BUILD)-cover/meson-logs/coverage.txt

# The figures in docs/measurements.md.
bench: packages-bench all
	@bench/run_all.sh $(BUILD)

# The long figures: kills of commands and of agents, every commit cut off, ten minutes of fuzzing per target, many seeds, 200
# allocations, 2000 simulated stories, thirty nights.
soak: packages-check all postgres
	@tests/soak/kill_loop.sh $(BUILD)/cvm 200
	@tests/soak/postgres_faults.sh $(BUILD)/cvm 2000
	@tests/soak/agent_kills.sh $(BUILD)/cvm 200
	@tests/soak/agent_scaling.sh $(BUILD)/cvm
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=600
	@tests/soak/digest_matrix.sh $(BUILD)/cvm 20000 5
	@tests/soak/allocation.sh $(BUILD) 200
	@$(BUILD)/tests/simulator/simulator_test --seeds 2000 --from 1000
	@tests/soak/thirty_nights.sh $(BUILD)/cvm 20000 --picture docs/pictures/thirty_nights.svg

install: all
	@meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) $(BUILD)-*

help:
	@echo "make run      install what is missing, build, decide for an example base"
	@echo "make test     install what the tests need, build, run all tests"
	@echo "make          build: the program is $(BUILD)/cvm"
	@echo "make check    lint, tests, clang build, sanitizers, short fuzzing, a few kills"
	@echo "make lint     format, layers, sizes, banned calls, SQL"
	@echo "make postgres every script over a store, on PostgreSQL"
	@echo "make asan     tests under AddressSanitizer and UBSan"
	@echo "make tsan     threaded tests under ThreadSanitizer"
	@echo "make fuzz     FUZZ_SECONDS=5 per fuzz target"
	@echo "make cover    test coverage"
	@echo "make bench    measurements beside the peers"
	@echo "make soak     the long figures"
	@echo "make format   clang-format on everything"
	@echo "make install  into the prefix of Meson (default /usr/local)"
