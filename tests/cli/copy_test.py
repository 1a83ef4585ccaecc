#!/usr/bin/env python3
"""One base copied to another database and back: the same store, whatever breaks the copy off: CVM [WORD...]

Between two SQLite files; beside a server (tests/support/postgres_server.sh) between SQLite and PostgreSQL. Rules are
functions whose names state them; WORDs choose those whose names contain one.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

DAY = "2024-03-20"
CUSTOMERS = 3000
REASON = "request of 2024-03-20"
CALL = {"customer_id": "PX-880", "date": "2024-03-02", "type": "call", "duration_minutes": 3, "sentiment": "negative",
        "summary": "Zenobia Marchbanks called about a bill"}
# Where a copy is killed: the table that rows went to last, and how many of them.
POINTS = [("", 0), ("catalogue_file", 1), ("customer", 1), ("event", 1), ("event", 20001), ("event", 60001), ("consent", 1),
          ("value_block", 1), ("decision", 1), ("audit_chain", 1)]


class Store:
    """A store of the base's folder, with a cvm.yaml of its own."""

    def __init__(self, base, name, url):
        self.base = base
        self.name = name
        self.url = url
        self.config = os.path.join(base, name + ".yaml")
        with open(os.path.join(base, "cvm.yaml"), encoding="utf-8") as stream:
            text = stream.read()
        expect("store: sqlite:cvm.db\n" in text, "`cvm init` names the store")
        with open(self.config, "w", encoding="utf-8") as stream:
            stream.write(text.replace("store: sqlite:cvm.db\n", f"store: {json.dumps(url)}\n"))

    def cvm(self, *arguments, **options):
        return cvm_program.run([World.program, *arguments, "--config", self.config], **options)

    def json(self, *arguments, **options):
        return self.cvm(*arguments, "--json", **options).document

    @property
    def is_server(self):
        return self.url.startswith("postgres")

    def query(self, sql):
        """Rows; none while there is no such table yet."""
        try:
            if self.is_server:
                rows = cvm_program.psql(self.url, f"SELECT row_to_json(t) FROM ({sql}) t").splitlines()
                return [tuple(json.loads(row, object_pairs_hook=lambda pairs: [v for _, v in pairs])) for row in rows]
            connection = sqlite3.connect(f"file:{self.url[len('sqlite:'):]}?mode=ro", uri=True)
            try:
                return connection.execute(sql).fetchall()
            finally:
                connection.close()
        except (sqlite3.Error, cvm_program.Failure):
            return []

    def change(self, sql):
        """As somebody with an SQL prompt would."""
        if self.is_server:
            cvm_program.psql(self.url, sql)
            return
        connection = sqlite3.connect(self.url[len("sqlite:"):])
        connection.execute(sql)
        connection.commit()
        connection.close()


class World:
    """A base on SQLite with plans, sealed texts and an erased customer; and an empty target."""

    program = folder = template = None

    def __init__(self):
        self.folder = os.path.join(World.folder, "world")
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(World.template, self.folder)
        self.source = Store(self.folder, "source", "sqlite:" + self.path("cvm.db"))
        self.target = Store(self.folder, "target", self.target_url())
        self.back = Store(self.folder, "back", "sqlite:" + self.path("back.db"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def target_url(self):
        if not cvm_program.SERVER:
            return "sqlite:" + self.path("target.db")
        cvm_program.psql(cvm_program.SERVER, "DROP DATABASE IF EXISTS copied WITH (FORCE)")
        cvm_program.psql(cvm_program.SERVER, "CREATE DATABASE copied")
        return cvm_program.SERVER.replace("/cvm?", "/copied?")

    def command(self, source, target, *words):
        return ["copy", "--from", source.url, "--to", target.url, *words]

    def copy(self, source, target, *words, **options):
        return source.cvm(*self.command(source, target, *words), "--json", **options)

    def kill_at(self, table, rows):
        """A copy to the target, killed when so much is committed; False when it was quicker."""
        child = subprocess.Popen(
            [World.program, *self.command(self.source, self.target, "--quiet"), "--config", self.source.config],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while child.poll() is None:
                found = self.target.query("SELECT table_name, rows FROM store_copy")
                if found and (place(found[0][0]), found[0][1]) >= (place(table), rows):
                    break
        finally:
            child.kill()
            child.wait()
        return self.target.query("SELECT ended_at FROM store_copy") == [(None,)]


def place(table):
    """In the order of the copy."""
    return World.tables.index(table) if table in World.tables else -1


def digests(document):
    return {t["table"]: (t["rows"], t["digest"]) for t in document["tables"]}


def decided(store, day):
    document = store.json("run", "--as-of", day, allowed=(0, 3))
    return document["run_id"], document["summary"]["plan_digest"]


def a_copy_answers_as_its_source_and_comes_back_the_same(world):
    first = world.copy(world.source, world.target).document
    same((first["verified"], first["resumed"]), (True, False), "verified, resumed")
    same({t["table"] for t in first["tables"] if not t["equal"]}, set(), "tables that differ")
    expect({"event", "decision", "audit_chain", "erased"} <= set(digests(first)), "the tables are named")
    back = world.copy(world.target, world.back).document
    same(back["verified"], True, "verified on the way back")
    same(digests(back), digests(first), "digests there and back")
    for store in (world.target, world.back):
        same(decided(store, DAY), World.decided, "the run that there is, and its plan")
        same(store.json("audit", "verify")["fault"], None, "fault of the audit log")
    for sql in ("SELECT customer_key, period FROM packed ORDER BY 1, 2",):
        files = [sqlite3.connect(world.path(name)).execute(sql).fetchall() for name in ("cvm-journeys.db", "back-journeys.db")]
        expect(files[0] == files[1], "journeys were built in the copy")
    later = decided(world.source, "2024-03-21")[1]
    for store in (world.target, world.back):
        same(decided(store, "2024-03-21")[1], later, "the plan of the next day")
        expect(store.json("audit", "list")["audit"], "audit rows get numbers of their own")
        same(store.json("audit", "verify")["fault"], None, "fault of the audit log after more work")


def personal_data_are_read_on_the_copy_and_erased_customers_stay_erased(world):
    def exported(store):
        return {**store.json("customer", "export", "PX-880"), "exported_at": 0}

    before = exported(world.source)
    expect("Zenobia" in json.dumps(before), "the text is there")
    text = world.source.cvm(*world.command(world.source, world.target)).out
    expect("stay where they are" in text if world.target.is_server else "were copied to" in text, text)
    same(exported(world.target), before, "the export of a customer")
    world.copy(world.target, world.back)
    shutil.move(world.path("cvm-keys.db"), world.path("away"))  # the copy has keys of its own
    same(exported(world.back), before, "the export, copied back")
    for store in (world.target, world.back) if not world.target.is_server else (world.back,):
        result = store.cvm("import", World.notes, "--json", allowed=(3,))
        same(result.document["rejected"], 1, "records of an erased customer")
    elsewhere = "sqlite:" + world.path("elsewhere.db")
    document = world.copy(world.back, Store(world.folder, "third", "sqlite:" + world.path("third.db")), "--keys", elsewhere).document
    same(document["keys"], elsewhere, "where the keys went")
    expect(document["keys_copied"] > CUSTOMERS // 2 and os.path.exists(world.path("elsewhere.db")), "and that they did")


def killed_anywhere_nobody_uses_the_half_and_the_next_call_completes_it(_):
    resumed = 0
    for table, rows in POINTS[::2] if cvm_program.SERVER else POINTS:
        world = World()
        if not world.kill_at(table, rows):
            continue
        for arguments in (("customer", "list"), ("run", "--as-of", DAY), ("import", World.notes)):
            result = world.target.cvm(*arguments, "--json", allowed=None)
            error = result.document["error"]
            expect(result.code == 1 and "broken off" in error["message"] and "cvm copy" in error["hint"], f"{result}")
        document = world.copy(world.source, world.target).document
        same((document["verified"], document["resumed"]), (True, True), f"verified, resumed after {table} {rows}")
        same(decided(world.target, DAY), World.decided, f"the plan after {table} {rows}")
        resumed += 1
    expect(resumed > 2, f"only {resumed} copies were slow enough to be killed")


def half(world):
    """A copy broken off amid the events."""
    for _ in range(5):
        if world.kill_at("event", 1):
            return
        world.target = Store(world.folder, "target", world.target_url())
        for name in os.listdir(world.folder):
            if name.startswith("target") and ".db" in name:
                os.unlink(world.path(name))
    raise cvm_program.Skip("every copy ended before it could be killed")


def a_source_that_changed_is_copied_anew_and_never_mixed(world):
    half(world)
    world.source.cvm("import", World.more, "--quiet")
    error = world.copy(world.source, world.target, allowed=(1,)).document["error"]
    expect("has changed" in error["message"] and "--anew" in error["hint"], f"{error}")
    document = world.copy(world.source, world.target, "--anew").document
    same((document["verified"], document["resumed"]), (True, False), "verified, resumed")
    same(decided(world.target, "2024-03-22")[1], decided(world.source, "2024-03-22")[1], "the plan")


def a_row_changed_in_the_half_copy_is_found_and_its_table_named(world):
    half(world)
    world.target.change("UPDATE customer SET customer_id = 'changed' WHERE customer_key = (SELECT min(customer_key) FROM customer)")
    document = world.copy(world.source, world.target, allowed=(1,)).document
    same(document["verified"], False, "verified")
    same([t["table"] for t in document["tables"] if not t["equal"]], ["customer"], "tables that differ")
    text = world.source.cvm(*world.command(world.source, world.target), allowed=(1,)).out
    expect("Table 'customer' differs" in text, text)
    expect("broken off" in world.target.cvm("customer", "list", allowed=(1,)).err, "nobody can use it")
    same(world.copy(world.source, world.target, "--anew").document["verified"], True, "verified after --anew")


def a_target_that_holds_anything_else_is_refused_and_left_alone(world):
    other = os.path.join(World.folder, "other")
    shutil.rmtree(other, ignore_errors=True)
    cvm_program.run([World.program, "init", other, "--customers", 100, "--quiet"])
    for words in ((), ("--anew",)):
        error = world.source.cvm("copy", "--from", world.source.url, "--to", f"sqlite:{other}/cvm.db", *words, "--json",
                                 allowed=(1,)).document["error"]
        expect("a store already" in error["message"], f"{error}")
    foreign = world.path("foreign.db")
    sqlite3.connect(foreign).execute("CREATE TABLE mine (n)").connection.close()
    error = world.source.cvm("copy", "--from", world.source.url, "--to", f"sqlite:{foreign}", "--json", allowed=(1,)).document["error"]
    expect("not one of cvm" in error["message"], f"{error}")
    world.copy(world.source, world.target)
    error = world.copy(world.source, world.target, allowed=(1,)).document["error"]
    expect("has ended" in error["message"], f"{error}")
    same(decided(world.target, DAY), World.decided, "what was copied before")


def mistakes_are_named(world):
    for arguments, code, words in (
            (("copy",), 2, "--from"), (("copy", "--from", world.source.url), 2, "--to"),
            (("copy", "--from", world.source.url, "--to", world.source.url), 2, "same store"),
            (("copy", "--from", "sqlite:nowhere.db", "--to", world.target.url), 1, "nowhere.db"),
            (("copy", "--from", world.source.url, "--to", "mysql:x"), 1, "mysql")):
        result = world.source.cvm(*arguments, allowed=None)
        expect(result.code == code and words in result.err, f"{result}")
    same(world.target.query("SELECT count(*) FROM store_copy") in ([], [(0,)]), True, "nothing was begun")


def make_template(program, folder):
    server, cvm_program.SERVER = cvm_program.SERVER, ""
    base = cvm_program.Deployment.create(program, os.path.join(folder, "base"), CUSTOMERS)
    World.notes, World.more = (os.path.join(folder, name, "call_transcripts.ndjson") for name in ("notes", "more"))
    for path, calls in ((World.notes, [CALL, {**CALL, "customer_id": "PX-1", "summary": "Barnaby called"}]),
                        (World.more, [{**CALL, "date": "2024-03-05"}])):
        os.makedirs(os.path.dirname(path))
        with open(path, "w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(call) + "\n" for call in calls)
    base.cvm("generate", "--customers", CUSTOMERS, "--events", 25, "--seed", 5, "--until", DAY, "--quiet")
    base.cvm("import", World.notes, "--quiet")
    document = base.json("run", "--as-of", DAY, allowed=(0, 3))
    base.cvm("customer", "erase", "PX-1", "--reason", REASON, "--yes")
    World.decided = document["run_id"], document["summary"]["plan_digest"]
    World.template = base.folder
    cvm_program.SERVER = server


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    World.program = os.path.abspath(sys.argv[1])
    own = {"place", "digests", "decided", "half", "make_template", "main", "expect", "same", "Store", "World"}
    with cvm_program.scratch("cvm-copy-test-") as folder:
        World.folder = folder
        make_template(World.program, folder)
        world = World()
        World.tables = [t["table"] for t in world.copy(world.source, world.back).document["tables"]]
        return cvm_program.run_rules(cvm_program.rules_of(globals(), own), World, sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
