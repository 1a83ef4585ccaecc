#!/usr/bin/env python3
"""A store in a file: backups while it is in use, and what comes of putting them back: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import glob
import json
import os
import shutil
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

CUSTOMERS = 300
DAY = "2024-03-20"


class World(cvm_program.World):
    def digest(self):
        return self.json("run", "--as-of", DAY, "--dry-run")["summary"]["plan_digest"]

    def fails(self, *arguments):
        return self.json(*arguments, allowed=(1,))["error"]

    def generate(self, customers, seed):
        self.cvm("generate", "--customers", customers, "--events", 20, "--seed", seed, "--until", DAY)

    def bring_note(self):
        """A sealed text of a customer of its own; its id."""
        path = self.path("call_transcripts.ndjson")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(json.dumps({"customer_id": "Quill", "date": "2024-03-01", "sentiment": "negative",
                                     "summary": "secret-of-quill"}) + "\n")
        self.json("import", path)
        os.remove(path)
        return "Quill"

    def verify(self):
        same(self.json("audit", "verify")["intact"], True, "the audit log")

    def store_bytes(self):
        with open(self.path("cvm.db"), "rb") as stream:
            return stream.read()


def a_restored_store_is_the_one_that_was_copied(world):
    world.json("run", "--as-of", DAY)
    before = world.digest()
    copy = world.path("copy.db")
    report = world.json("backup", copy)
    same((report["backup"], report["bytes"], report["keys"]), (copy, os.path.getsize(copy), None), "report")
    same(os.stat(copy).st_mode & 0o777, 0o600, "who may read it")
    same(sqlite3.connect(copy).execute("SELECT count(*) FROM event").fetchone(),
         world.query("SELECT count(*) FROM event")[0], "events")
    world.generate(CUSTOMERS + 100, 8)
    expect(world.digest() != before, "the second import changes nothing: the test is too weak")
    mode = os.stat(world.path("cvm.db")).st_mode
    restored = world.json("restore", copy, "--replace", "--reason", "a test")
    same((restored["last_batch"], restored["customers"], restored["erased_and_back"]), (1, CUSTOMERS, 0), "restored")
    same(os.stat(world.path("cvm.db")).st_mode, mode, "who may read the store")
    expect(os.path.exists(restored["kept"]), "the store that was there is kept")
    same(world.digest(), before, "plan_digest")
    row = world.json("audit", "list", "--limit", 1)["audit"][0]
    same((row["action"], row["why"]), ("restore", "a test"), "audit")
    world.verify()
    expect(not glob.glob(world.path("*.part")) and not os.path.exists(world.path("cvm.db.restored")), "left behind")


def what_came_after_a_backup_is_imported_again(world):
    """Point in time for a store in a file: the backup, and the files since."""
    copy = world.path("copy.db")
    world.json("backup", copy)
    world.generate(CUSTOMERS + 100, 8)
    after = world.digest()
    world.json("restore", copy, "--replace")
    world.generate(CUSTOMERS + 100, 8)
    same(world.digest(), after, "plan_digest")
    world.verify()


def a_backup_while_others_write_and_read_is_one_moment(world):
    reader = sqlite3.connect(f"file:{world.path('cvm.db')}?mode=ro", uri=True)
    reader.execute("BEGIN")
    seen = reader.execute("SELECT count(*) FROM event").fetchone()
    command = world.deployment.command("generate", "--customers", 4000, "--events", 20, "--seed", 9, "--until", DAY)
    writer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    copies = []
    while writer.poll() is None or not copies:
        copies.append(world.path(f"copy-{len(copies)}.db"))
        world.json("backup", copies[-1])
    same(writer.returncode, 0, "the writer")
    same(reader.execute("SELECT count(*) FROM event").fetchone(), seen, "what the reader sees")
    reader.close()
    for path in (copies[0], copies[-1]):
        copy = sqlite3.connect(path)
        same(copy.execute("PRAGMA integrity_check").fetchone(), ("ok",), path)
        closed = copy.execute("SELECT count(*) FROM batch WHERE state = 'closed'").fetchone()[0]
        counted = copy.execute("SELECT count(*) FROM event JOIN batch USING (batch) WHERE state = 'closed'").fetchone()
        expect(closed == 2 or counted == seen, f"{counted} events count, {seen} are those of the first import")
        copy.close()


def a_store_in_use_is_not_replaced(world):
    copy = world.path("copy.db")
    world.json("backup", copy)
    world.generate(CUSTOMERS + 100, 8)
    same(world.fails("restore", copy)["status"], "conflict", "without --replace")
    before = world.store_bytes()
    reader = sqlite3.connect(f"file:{world.path('cvm.db')}?mode=ro", uri=True)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM event").fetchone()
    error = world.fails("restore", copy, "--replace")
    same(error["status"], "unavailable", "while a reader has it")
    expect("has the store open" in error["hint"], error)
    reader.close()
    same(len(world.store_bytes()), len(before), "the store")
    same(world.json("customer", "list", "--limit", 1000)["customers"].__len__(), CUSTOMERS + 100, "customers")
    world.json("restore", copy, "--replace")


def what_is_no_good_backup_is_refused_and_nothing_changes(world):
    copy = world.path("copy.db")
    world.json("backup", copy)
    before = world.digest()
    same(world.fails("backup", copy)["status"], "conflict", "a file that is there")
    same(world.fails("backup", world.path("no", "folder", "x.db"))["status"], "denied", "no folder")
    same(world.fails("restore", world.path("nothing.db"), "--replace")["status"], "not_found", "no file")
    with open(copy, "r+b") as stream:
        stream.seek(os.path.getsize(copy) // 2)
        stream.write(b"\xff" * 20000)
    same(world.fails("restore", copy, "--replace")["status"], "corrupt", "a damaged copy")
    with open(copy, "w", encoding="utf-8") as stream:
        stream.write("no database at all, but long enough to be looked at as one" * 20)
    same(world.fails("restore", copy, "--replace")["status"], "corrupt", "a text")
    os.remove(copy)
    other = sqlite3.connect(copy)
    other.execute("CREATE TABLE x (y)")
    other.commit()
    other.close()
    same(world.fails("restore", copy, "--replace")["status"], "conflict", "another database")
    os.remove(copy)
    world.json("backup", copy)
    newer = sqlite3.connect(copy)
    newer.execute("INSERT INTO migration VALUES (999, 'later', 'x', 0)")
    newer.commit()
    newer.close()
    expect("newer" in world.fails("restore", copy, "--replace")["message"], "of a newer program")
    same(world.digest(), before, "plan_digest")


def a_store_that_can_not_be_read_is_replaced(world):
    copy = world.path("copy.db")
    before = world.digest()
    world.json("backup", copy)
    with open(world.path("cvm.db"), "r+b") as stream:
        stream.write(b"\0" * 8192)
    world.json("restore", copy, "--replace")
    same(world.digest(), before, "plan_digest")


def a_log_that_was_left_behind_does_not_come_into_the_backup(world):
    copy = world.path("copy.db")
    before = world.digest()
    world.json("backup", copy)
    rows = world.query("SELECT count(*) FROM event")
    left = sqlite3.connect(world.path("cvm.db"))
    left.execute("PRAGMA wal_autocheckpoint = 0")
    left.execute("DELETE FROM event")
    left.commit()
    for name in ("cvm.db", "cvm.db-wal"):  # as a process leaves them that is killed
        shutil.copy(world.path(name), world.path(name + ".killed"))
    left.close()
    for name in ("cvm.db", "cvm.db-wal"):
        os.replace(world.path(name + ".killed"), world.path(name))
    same(world.query("SELECT count(*) FROM event"), [(0,)], "the log counts")
    world.json("restore", copy, "--replace")
    same(world.query("SELECT count(*) FROM event"), rows, "events")
    same(world.digest(), before, "plan_digest")


def an_erased_customer_stays_sealed_in_a_backup_and_is_erased_again(world):
    customer = world.bring_note()
    copy, keys = world.path("copy.db"), world.path("apart", "keys.db")
    os.mkdir(world.path("apart"))
    world.json("backup", copy, "--keys", keys)
    expect("secret-of-quill" in world.cvm("customer", "export", customer).out, "the test is too weak")
    world.json("customer", "erase", customer, "--reason", "asked", "--yes")
    restored = world.json("restore", copy, "--replace")
    same(restored["erased_and_back"], 1, "who is back")
    shown = world.cvm("customer", "export", customer).out
    expect("secret-of-quill" not in shown and '"attributes"' in shown, shown)
    world.json("customer", "erase", "--restored", "--reason", "a backup was restored", "--yes")
    same(world.cvm("customer", "export", customer, allowed=(1,)).code, 1, "gone again")
    same(world.query("SELECT count(*) FROM erased"), [(1,)], "erased")
    world.verify()
    # Why copies of the keys are few and short-lived: an old one opens what was erased since.
    world.json("restore", copy, "--replace")
    for path in glob.glob(world.path("cvm-keys.db*")):
        os.remove(path)
    shutil.copy(keys, world.path("cvm-keys.db"))
    expect("secret-of-quill" in world.cvm("customer", "export", customer).out, "old keys")


def keys_are_copied_when_asked_and_missing_ones_are_told(world):
    result = world.cvm("backup", world.path("a.db"))
    expect("keys of personal data are not in it" in result.out, result.out)
    result = world.cvm("backup", world.path("b.db"), "--keys", world.path("keys.db"))
    expect("one folder" in result.err, result.err)
    same(os.stat(world.path("keys.db")).st_mode & 0o777, 0o600, "who may read the keys")
    for path in glob.glob(world.path("cvm-keys.db*")):
        os.remove(path)
    restored = world.json("restore", world.path("a.db"), "--replace")
    same(restored["erased_and_back"], None, "nobody knows")


HELPERS = {"expect", "same", "main", "World"}


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    rules = cvm_program.rules_of(globals(), HELPERS)
    with cvm_program.scratch("cvm-backup-test-") as folder:
        base = cvm_program.Deployment.create(os.path.abspath(sys.argv[1]), os.path.join(folder, "base"), CUSTOMERS)
        World(base).generate(CUSTOMERS, 3)
        return cvm_program.run_rules(rules, lambda: World(base.copy(os.path.join(folder, "copy"))), sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
