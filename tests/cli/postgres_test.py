#!/usr/bin/env python3
"""One base on SQLite and on PostgreSQL: the same answers; and what a server does to a run: CVM [WORD...]

Runs under tests/support/postgres_server.sh. Rules are functions whose names state them; WORDs choose among them.
"""

import difflib
import json
import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

CUSTOMERS = 3000
DAY = "2024-03-20"
# What differs between two runs of one thing.
TIMES = {"seconds", "timestamp", "created", "created_at", "at", "at_ms", "finished_at", "imported_at",
         "made_at", "server"}


class World:
    def __init__(self, sqlite, postgres):
        self.sqlite = sqlite
        self.postgres = postgres


def lasting(value):
    """A document without its times."""
    if isinstance(value, dict):
        return {key: lasting(v) for key, v in value.items() if key not in TIMES}
    return [lasting(v) for v in value] if isinstance(value, list) else value


def both(world, *arguments):
    """The same document from both."""
    on_file, on_server = (
        lasting(base.json(*arguments, allowed=(0, 3))) for base in (world.sqlite, world.postgres)
    )
    if on_server != on_file:
        parts = [json.dumps(d, indent=1, sort_keys=True).splitlines() for d in (on_file, on_server)]
        raise AssertionError("\n".join([" ".join(map(str, arguments)), *difflib.unified_diff(*parts, n=2)][:60]))
    return on_file


def every_question_has_the_same_answer(world):
    customers = both(world, "customer", "list", "--limit", 50)["customers"]
    ids = [c["customer_id"] for c in customers]
    for customer in ids[:5]:
        both(world, "journey", customer)
        both(world, "customer", "show", customer)
    document = both(world, "run", "--as-of", DAY)
    expect(document["summary"]["treated"] > 100, "customers are treated")
    for customer in ids[:5]:
        both(world, "explain", "latest", customer)
    treated = world.sqlite.query_rows("SELECT customer_id FROM decision WHERE ghost = 0 ORDER BY 1 LIMIT 2")
    for (customer,) in treated:
        both(world, "explain", "latest", customer)
        both(world, "decide", customer, "--as-of", "2024-03-21")
    both(world, "trigger", "match", "billing_disputes", "--as-of", DAY)
    both(world, "capacity", "show", "--as-of", DAY)
    both(world, "catalogue", "show")
    both(world, "doctor", "--as-of", DAY)
    both(world, "simulate", "--set", "retention_email.max_per_day=10")
    both(world, "report")


def a_changed_permission_is_audited_in_the_same_words(world):
    (key,) = world.sqlite.query_rows(
        "SELECT c.customer_id FROM consent JOIN customer c USING (customer_key) ORDER BY 1 LIMIT 1"
    )[0]
    path = os.path.join(os.path.dirname(world.sqlite.folder), "permissions.ndjson")
    with open(path, "w", encoding="utf-8") as out:
        permissions = {"email": {"marketing": "N"}, "sms": {"marketing": "N"}}
        out.write(json.dumps({"customer_id": key, "last_updated": DAY, "permissions": permissions}) + "\n")
    both(world, "import", path)
    document = both(world, "audit", "list")
    expect('"consent"' in json.dumps(document), "the change of consent is in the audit")


def a_store_that_is_there_is_not_made_again(world):
    folder = world.postgres.folder + "-again"
    result = cvm_program.run(
        [world.postgres.program, "init", folder, "--store", world.postgres.url, "--json"], allowed=(1,)
    )
    same(result.document["error"]["status"], "conflict", "status")
    expect(not os.path.exists(folder), "nothing was written")


def a_password_is_not_printed(world):
    base = cvm_program.Deployment(world.postgres.program, world.postgres.folder + "-secret")
    base.make_database()
    url = base.url.replace("cvm@", "cvm:secret@") + "&password=secret2"
    result = cvm_program.run([base.program, "init", base.folder, "--store", url])
    expect("secret" not in (result.out + result.err).replace(base.folder, ""), result.out)
    expect("secret" not in base.cvm("migrate", "--json").out, "migrate")
    base.cvm("customer", "list")


def wait_for_writer(base, table="pg_locks"):
    """Until somebody else holds the writer's lock; looking is all the waiting there is."""
    while base.query(f"SELECT count(*) AS n FROM {table} WHERE locktype = 'advisory' AND granted")[0][0] == 0:
        pass


def ended(world, seed, kill):
    """A run that is ended in its middle by kill(child), then run again."""
    command = world.postgres.command("run", "--as-of", DAY, "--seed", seed)
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not world.postgres.query(f"SELECT run_id FROM run WHERE seed = {seed} LIMIT 1"):
        if child.poll() is not None:
            break
    kill(child)
    out, err = child.communicate()
    if child.returncode == 1:
        expect(b"cvm" in err and b"Traceback" not in err, err)
    digest = world.postgres.json("run", "--as-of", DAY, "--seed", seed)["summary"]["plan_digest"]
    same(digest, world.sqlite.json("run", "--as-of", DAY, "--seed", seed)["summary"]["plan_digest"], "plan_digest")
    twice = world.postgres.query(
        "SELECT run_id, customer_key FROM decision GROUP BY run_id, customer_key HAVING count(*) > 1"
    )
    same(twice, [], "decisions made twice")
    held = world.postgres.query("SELECT coalesce(sum(held), 0) AS n FROM ledger")
    same(held, [(0,)], "held after the run")


def a_run_whose_process_is_killed_is_taken_up_by_the_next(world):
    ended(world, 77, lambda child: child.send_signal(signal.SIGKILL))


def a_run_whose_server_crashes_is_taken_up_by_the_next(world):
    ended(world, 78, lambda child: cvm_program.run([os.environ["CVM_TEST_RESTART"]]))


def a_second_writer_is_told_to_wait(world):
    folder = world.postgres.folder
    import_one = world.postgres.command("generate", "--customers", 20000, "--events", 25, "--seed", 9, "--until", DAY)
    first = subprocess.Popen(import_one, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_writer(world.postgres)
        result = world.postgres.cvm("apply", os.path.join(folder, "catalogue"), "--json", allowed=(0, 1))
        if result.code == 1:  # else the first one was quicker than its lock's wait
            expect("is being written by process" in result.document["error"]["message"], result.out)
    finally:
        first.kill()
        first.wait()


def make_bases(program, folder):
    cvm_program.SERVER, server = "", cvm_program.SERVER
    sqlite = cvm_program.Deployment.create(program, os.path.join(folder, "sqlite"), CUSTOMERS)
    cvm_program.SERVER = server
    postgres = cvm_program.Deployment.create(program, os.path.join(folder, "postgres"), CUSTOMERS)
    for base in (sqlite, postgres):
        base.cvm("generate", "--customers", CUSTOMERS, "--events", 25, "--seed", 3, "--until", DAY)
    return sqlite, postgres


class OnFile(cvm_program.Deployment):
    """Looks into SQLite although a server is named."""

    def query_rows(self, sql):
        cvm_program.SERVER, server = "", cvm_program.SERVER
        try:
            return self.query(sql)
        finally:
            cvm_program.SERVER = server


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program = os.path.abspath(sys.argv[1])
    own = {"same", "expect", "both", "lasting", "ended", "wait_for_writer", "make_bases", "main", "World", "OnFile"}
    rules = cvm_program.rules_of(globals(), own)
    with cvm_program.scratch("cvm-postgres-test-") as folder:
        sqlite, postgres = make_bases(program, folder)
        world = World(OnFile(program, sqlite.folder), postgres)
        return cvm_program.run_rules(rules, lambda: world, sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
