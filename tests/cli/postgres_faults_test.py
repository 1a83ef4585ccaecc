#!/usr/bin/env python3
"""What a server does to a command, and that the same command again makes it right: CVM [WORD...]

CVM_THOROUGH=1 tries each fault on a base of its own. Connections that end at a commit, failures of statements and commits, and settings of roles and databases. Runs under
tests/support/postgres_server.sh. Rules are functions whose names state them; WORDs choose among them.
"""

import json
import os
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cvm_program  # noqa: E402
import store_check  # noqa: E402
from cvm_program import expect, same  # noqa: E402
from postgres_proxy import PostgresProxy  # noqa: E402

CUSTOMERS = int(os.environ.get("CVM_FAULT_CUSTOMERS", "200"))
DAY = "2024-03-20"
DAY_NUMBER = 19802
CUTS_MAX = 60
SMS = ("treatments", "retention_sms.yaml")


class World:
    """A base after each step, made once; a rule works on copies."""

    def __init__(self, program, folder):
        self.folder = folder
        self.data = os.path.join(folder, "data")
        self.truth = os.path.join(folder, "truth.csv")
        self.outcomes = os.path.join(folder, "outcomes.ndjson")
        self.empty = cvm_program.Deployment.create(program, os.path.join(folder, "empty"), CUSTOMERS)
        self.empty.cvm(
            "generate", "--customers", CUSTOMERS, "--events", 10, "--seed", 3, "--until", DAY,
            "--out", self.data, "--truth", self.truth,
        )  # fmt: skip
        self.imported = self.empty.copy(os.path.join(folder, "imported"))
        self.imported.cvm("import", self.data)
        self.ran = self.imported.copy(os.path.join(folder, "ran"))
        self.digest = self.ran.json("run", "--as-of", DAY)["summary"]["plan_digest"]
        expect(store_check.plan(self.ran, DAY_NUMBER)["decisions"] > 0, "the undisturbed run decides something")
        self.ran.cvm("generate", "--respond", "latest", "--truth", self.truth, "--out", self.outcomes)
        self.is_thorough = os.environ.get("CVM_THOROUGH", "") not in ("", "0")
        self.catalogue = os.path.join(folder, "catalogue")
        shutil.copytree(os.path.join(self.empty.folder, "catalogue"), self.catalogue)
        with open(os.path.join(self.catalogue, *SMS), "a", encoding="utf-8") as out:
            out.write("# edited\n")
        self.steps = self.make_steps()
        self.wanted = {}
        self.proxy = PostgresProxy(self.empty.url)

    def copy(self, base):
        return base.copy(os.path.join(self.folder, "work"))

    def make_steps(self):
        """Commands that write, each with the base that it starts from."""
        (customer,) = self.ran.query("SELECT customer_id FROM decision WHERE ghost = 0 ORDER BY 1 LIMIT 1")[0]
        (other,) = self.ran.query(
            "SELECT customer_id FROM customer WHERE customer_id NOT IN (SELECT customer_id FROM decision) "
            "ORDER BY 1 LIMIT 1"
        )[0]
        return {
            "import": (self.empty, ("import", self.data)),
            "run": (self.imported, ("run", "--as-of", DAY, "--threads", 2)),
            "outcomes": (self.ran, ("outcome", "import", self.outcomes)),
            "decide": (self.ran, ("decide", other, "--as-of", DAY)),
            "erase": (self.ran, ("customer", "erase", customer, "--reason", "asked for", "--yes")),
            "retract": (self.ran, ("batch", "retract", 1)),
            "recall": (self.ran, ("plan", "recall", "latest", "--why", "asked for")),
            "apply": (self.imported, ("apply", self.catalogue)),
        }


def state_of(base):
    """Everything that one command may change, without its times. Each import is a batch with its row in the audit, also
    one that died or brought nothing; each process that writes ends with a checkpoint of the audit. What is derived says
    how it was made (meta: rebuilt, or written by the import). A run that broke off leaves its workflow, which has
    ended, and what agents wrote on the way."""
    apart = ["batch", "audit", "audit_chain", "audit_checkpoint", "meta"]
    apart += ["workflow", "step", "step_failure", "inbox", "outbox", "lease"]
    tables = base.query(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
        f"AND NOT relispartition AND relname NOT IN ({', '.join(repr(name) for name in apart)}) ORDER BY 1"
    )
    return {
        "totals": store_check.totals(base),
        "decisions": base.query(cvm_program.LIVE_DECISIONS, (DAY_NUMBER,)),
        "ledger": base.query(store_check.LEDGER),
        "rows": base.query(" UNION ALL ".join(f"SELECT '{t}' AS name, count(*) FROM {t}" for (t,) in tables)),
        "audit": base.query("SELECT action, count(*) FROM audit WHERE action <> 'import' GROUP BY action"),
        "outcomes": base.query("SELECT state, count(*) FROM outcome GROUP BY state ORDER BY 1"),
        "open workflows": base.query("SELECT count(*) FROM workflow WHERE finished_at IS NULL"),
    }


def same_state(base, wanted, what):
    found = state_of(base)
    for name, value in wanted.items():
        if isinstance(value, list):
            value, found[name] = sorted(set(value) - set(found[name])), sorted(set(found[name]) - set(value))
        same(found[name], value, f"{what}: {name}")
    base.cvm("audit", "verify")


def begin(world, step):
    """A base where the step is to come, its command, and the state that it must end in, undisturbed."""
    start, command = world.steps[step]
    if step not in world.wanted:
        base = world.copy(start)
        base.cvm(*command)
        repeat(world, base, command)
        world.wanted[step] = state_of(base)
    return world.copy(start), command, world.wanted[step]


def repeat(world, base, command):
    """The same command again. What is taken back once says that it was; what is derived is made by the next import."""
    result = base.cvm(*command, "--json", allowed=(0, 1))
    if result.code == 1:
        expect(command[1] in ("retract", "recall"), f"{result}")
        same(result.document["error"]["status"], "conflict", f"{result.out}")
    if command[1] == "retract":
        base.cvm("import", world.data)


def check_error(result, what):
    """One line that says what failed, and one that says what to do."""
    error = result.document["error"]
    same(error["status"], "unavailable", f"{what}: status of {error}")
    expect("connection to the server was lost" in error["message"], f"{what}: {error}")
    expect("run the command again" in error["hint"] or "next command" in error["hint"], f"{what}: {error}")
    return error


def cut_everywhere(world, step, fault, is_reader=False):
    """The n-th commit fails at the n-th try of the same command, until it ends before that commit; where the test is
    thorough, at the first try on a base as it was. What the errors advised."""
    base, command, wanted = begin(world, step)
    hints = set()
    for at in range(1, CUTS_MAX):
        if at > 1 and world.is_thorough:
            base, _, _ = begin(world, step)
        world.proxy.arm(at, fault, is_reader)
        result = base.cvm(*command, "--json", "--store", world.proxy.url(base.url), allowed=(0, 1))
        was_hit, what = world.proxy.was_hit, f"{step}, {fault} commit {at}"
        world.proxy.arm(0, None)
        if result.code == 1 and was_hit:
            hints.add(check_error(result, what)["hint"])
        if not was_hit or world.is_thorough:
            repeat(world, base, command)
            same_state(base, wanted, what)
        if not was_hit:
            expect(at > 1, f"{what}: nothing was cut")
            return hints
    raise AssertionError(f"{step}: more than {CUTS_MAX} commits")


def a_commit_that_the_server_never_got_is_made_up_for_by_the_same_command(world):
    for step in world.steps if world.is_thorough else ("import", "run"):
        cut_everywhere(world, step, "before")


def a_commit_whose_reply_is_lost_is_neither_lost_nor_done_twice(world):
    for step in world.steps:
        hints = cut_everywhere(world, step, "after")
        expect(any("is not known" in hint for hint in hints), f"{step}: {hints}")


def a_catalogue_edit_whose_reply_is_lost_is_brought_to_the_folder_by_the_next(world):
    base = world.copy(world.imported)
    command = ("treatment", "update", "retention_sms", "limit 17", "--yes")
    world.proxy.arm(1, "after")
    result = base.cvm(*command, "--json", "--store", world.proxy.url(base.url), allowed=(1,))
    world.proxy.arm(0, None)
    check_error(result, "update")
    base.cvm(*command)
    diff = base.cvm("catalogue", "diff").out
    expect("says what is in force" in diff, diff)
    with open(os.path.join(base.folder, "catalogue", *SMS), encoding="utf-8") as file:
        expect("max_per_day: 17" in file.read(), "the folder says it")


def a_reader_that_is_cut_off_costs_nothing(world):
    for fault in ("before", "after"):
        cut_everywhere(world, "run", fault, is_reader=True)


def a_reply_that_never_comes_is_left_by_a_second_interrupt(world):
    base, command, wanted = begin(world, "run")
    world.proxy.arm(2, "hang")
    child = subprocess.Popen(
        base.command(*command, "--store", world.proxy.url(base.url)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    world.proxy.hit.wait()
    while child.poll() is None:
        child.send_signal(signal.SIGINT)
    expect(child.returncode != 0, "interrupted")
    repeat(world, base, command)
    same_state(base, wanted, "after the interrupt")


def replies_in_small_pieces_change_nothing(world):
    base, command, wanted = begin(world, "run")
    world.proxy.arm(0, "trickle")
    base.cvm(*command, "--store", world.proxy.url(base.url))
    world.proxy.arm(0, None)
    same_state(base, wanted, "in pieces")


def a_pooler_that_gives_connections_away_is_refused(world):
    for fault in ("discard", "switch"):
        base, command, wanted = begin(world, "run")
        world.proxy.arm(2, fault)
        error = base.cvm(*command, "--json", "--store", world.proxy.url(base.url), allowed=(1,)).document["error"]
        world.proxy.arm(0, None)
        same(error["status"], "unavailable", f"{fault}: {error}")
        expect("pool by session" in error["hint"], f"{fault}: {error}")
        repeat(world, base, command)
        same_state(base, wanted, fault)


# ---- failures of statements and commits ----

STATES = {
    "40001": "try again",
    "40P01": "try again",
    "53100": "disk",
    "53200": "memory",
    "53300": "max_connections",
    "55P03": "locked",
    "57014": "statement_timeout",
}
# Where each step is made to fail.
TABLES = {
    "import": ("event", "audit"),
    "run": ("decision", "ledger", "plan"),
    "outcomes": ("outcome", "audit"),
    "erase": ("customer", "erased", "audit"),
    "apply": ("catalogue_file", "audit"),
}
FAIL = """
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'made to fail' USING ERRCODE = TG_ARGV[0]; END $$
"""


def fails(base, state, table, when, command):
    """While every change of the table fails with that state, at once or at the commit."""
    cvm_program.psql(
        base.url,
        f"CREATE CONSTRAINT TRIGGER fail AFTER INSERT OR UPDATE OR DELETE ON {table} DEFERRABLE INITIALLY {when} "
        f"FOR EACH ROW EXECUTE FUNCTION fail('{state}')",
    )
    result = base.cvm(*command, "--json", allowed=(0, 1))
    cvm_program.psql(base.url, f"DROP TRIGGER fail ON {table}")
    what = f"{command[0]} with {state} of {table}, {when}"
    same(result.code, 1, what)
    error = result.document["error"]
    same(error["status"], "unavailable", f"{what}: {error}")
    expect("made to fail" in error["message"] and STATES[state] in error["hint"], f"{what}: {error}")


def a_statement_or_commit_that_the_server_refuses_leaves_nothing_half_done(world):
    turn = 0
    for step, tables in TABLES.items():
        base, command, wanted = begin(world, step)
        cvm_program.psql(base.url, FAIL)
        for table in tables:
            for when in ("IMMEDIATE", "DEFERRED"):
                turn += 1
                states = list(STATES) if world.is_thorough else [list(STATES)[turn % len(STATES)]]
                for state in states:
                    fails(base, state, table, when, command)
        repeat(world, base, command)
        same_state(base, wanted, f"{step} after it failed")


def a_schema_change_that_fails_leaves_none_of_it(world):
    for when in ("IMMEDIATE", "DEFERRED"):
        base = cvm_program.Deployment(world.empty.program, world.empty.folder + f"-migrate-{when}")
        base.make_database()
        migrate = ("migrate", "--store", base.url, "--json")
        cvm_program.psql(base.url, FAIL)
        cvm_program.psql(
            base.url,
            "CREATE TABLE migration (number BIGINT PRIMARY KEY, name TEXT NOT NULL, "
            "checksum TEXT NOT NULL, applied_at BIGINT NOT NULL); "
            f"CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON migration DEFERRABLE INITIALLY {when} FOR EACH ROW "
            "WHEN (NEW.number = 3) EXECUTE FUNCTION fail('40P01')",
        )
        result = cvm_program.run([base.program, "init", base.folder, "--store", base.url, "--json"], allowed=(1,))
        expect("schema change 3" in result.document["error"]["message"], result.out)
        same(result.document["error"]["status"], "unavailable", when)
        same(base.query("SELECT count(*) FROM migration"), [(2,)], "changes that stand")
        cvm_program.psql(base.url, "DROP TRIGGER fail ON migration")
        same(cvm_program.run([base.program, *migrate]).document["from"], 2, "goes on from there")


class Session:
    """Somebody else at the same database, by psql."""

    def __init__(self, base):
        self.psql = subprocess.Popen(
            ["psql", "-X", "-q", "-A", "-t", base.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def send(self, sql):
        self.psql.stdin.write(sql + "\n")
        self.psql.stdin.flush()

    def do(self, sql):
        """Sent, and done."""
        self.send(sql + " \\echo done")
        while self.psql.stdout.readline() != "done\n":
            pass

    def end(self):
        self.psql.stdin.close()
        self.psql.wait()
        self.psql.stdout.close()


def a_table_that_somebody_keeps_locked_is_told(world):
    for step, table in (("import", "event"), ("run", "decision"), ("erase", "customer"), ("apply", "catalogue")):
        base, command, wanted = begin(world, step)
        other = Session(base)
        other.do(f"BEGIN; LOCK TABLE {table} IN SHARE MODE;")
        url = base.url + "&options=-clock_timeout%3D50ms"
        error = base.cvm(*command, "--json", "--store", url, allowed=(1,)).document["error"]
        other.end()
        same(error["status"], "unavailable", f"{step}: {error}")
        expect("locked" in error["hint"], f"{step}: {error}")
        repeat(world, base, command)
        same_state(base, wanted, step)


def a_deadlock_with_somebody_else_is_told_and_nothing_is_half_done(world):
    base, command, wanted = begin(world, "run")
    set_for(base, "deadlock_timeout", "100ms")
    other = Session(base)
    other.do("BEGIN; LOCK TABLE plan IN SHARE MODE;")
    child = subprocess.Popen(base.command(*command, "--json"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    while base.query("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'plan'::regclass")[0][0] == 0:
        expect(child.poll() is None, "the run waits for the table")
    other.send("LOCK TABLE run IN SHARE MODE;")
    out, _ = child.communicate()
    other.end()
    if child.returncode != 0:  # else the server ended the other one
        error = json.loads(out)["error"]
        same(error["status"], "unavailable", f"{error}")
        # Told at once, or after the command has tried again and found the table locked.
        words = ("deadlock", "lock timeout")
        expect(any(w in error["message"] for w in words) and "try again" in error["hint"], f"{error}")
    repeat(world, base, command)
    same_state(base, wanted, "after a deadlock")


# ---- settings of users and databases ----

# Each changes nothing.
HARMLESS = {
    "TimeZone": "Pacific/Auckland",
    "DateStyle": "German",
    "IntervalStyle": "iso_8601",
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "extra_float_digits": "-15",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "idle_in_transaction_session_timeout": "1ms",
    "transform_null_equals": "on",
    "enable_hashjoin": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit_above_cost": "0",
    "work_mem": "64kB",
}
# Each is refused, to writers or to everybody, with these words.
REFUSED = {
    ("default_transaction_read_only", "on"): ("denied", "default_transaction_read_only"),
    ("search_path", ""): ("not_found", "CREATE SCHEMA"),
    ("search_path", "pg_catalog"): ("conflict", "another database"),
    ("statement_timeout", "1ms"): ("unavailable", "statement_timeout"),
}


def set_for(base, name, value):
    cvm_program.psql(cvm_program.SERVER, f"ALTER DATABASE {base.database} SET {name} = '{value}'")


def reset_for(base, name):
    cvm_program.psql(cvm_program.SERVER, f"ALTER DATABASE {base.database} RESET {name}")


def settings_of_the_database_change_nothing(world):
    steps = ("import", "run", "outcomes", "decide", "erase") if world.is_thorough else ("import", "run")
    for names in [[name] for name in HARMLESS] if world.is_thorough else [list(HARMLESS)]:
        for step in steps:
            base, command, wanted = begin(world, step)
            for name in names:
                set_for(base, name, HARMLESS[name])
            base.cvm(*command)
            base.cvm("customer", "list")
            for name in names:
                reset_for(base, name)
            repeat(world, base, command)
            same_state(base, wanted, f"{step} with {names}")


def settings_that_cannot_be_are_refused_in_words(world):
    base, command, wanted = begin(world, "run")
    for (name, value), (status, words) in REFUSED.items():
        set_for(base, name, value)
        error = base.cvm(*command, "--json", allowed=(1,)).document["error"]
        reset_for(base, name)
        same(error["status"], status, f"{name}: {error}")
        expect(words in error["hint"], f"{name}: {error}")
    repeat(world, base, command)
    same_state(base, wanted, "without them")


def a_database_that_is_not_utf8_is_refused(world):
    for encoding in ("LATIN1", "SQL_ASCII"):
        base = cvm_program.Deployment(world.empty.program, os.path.join(world.folder, encoding))
        cvm_program.psql(
            cvm_program.SERVER, f"CREATE DATABASE {base.database} ENCODING '{encoding}' TEMPLATE template0"
        )
        arguments = [base.program, "init", base.folder, "--store", base.url, "--json"]
        error = cvm_program.run(arguments, allowed=(1,)).document["error"]
        same(error["status"], "invalid", f"{error}")
        expect(encoding in error["message"] and "createdb -E UTF8" in error["hint"], f"{error}")


def a_search_path_of_the_user_names_the_schema_of_the_store(world):
    base = cvm_program.Deployment(world.empty.program, os.path.join(world.folder, "tenant"))
    base.make_database()
    cvm_program.psql(base.url, "CREATE SCHEMA tenant7")
    set_for(base, "search_path", "tenant7")
    cvm_program.run([base.program, "init", base.folder, "--customers", CUSTOMERS, "--store", base.url])
    base.cvm("import", world.data)
    digest = base.json("run", "--as-of", DAY)["summary"]["plan_digest"]
    same(digest, world.digest, "plan_digest")
    same(base.query("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), [(0,)], "tables elsewhere")


HELPERS = {
    "same", "expect", "state_of", "same_state", "begin", "repeat", "check_error", "cut_everywhere", "fails", "set_for", "reset_for", "main",
    "World", "Session", "PostgresProxy",
}  # fmt: skip


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program = os.path.abspath(sys.argv[1])
    with cvm_program.scratch("cvm-faults-test-") as folder:
        world = World(program, folder)
        with world.proxy:
            return cvm_program.run_rules(cvm_program.rules_of(globals(), HELPERS), lambda: world, sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
