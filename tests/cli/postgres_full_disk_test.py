#!/usr/bin/env python3
"""A PostgreSQL whose disk is full, under its tables and under its log: CVM [WORD...]

The same words as with SQLite, nothing of a transaction stays, and with room again the same command goes on. Small disks
are mounted in a namespace of the test's own, which needs root; skipped (77) without.
"""

import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cvm_program  # noqa: E402
import store_check  # noqa: E402
from cvm_program import expect, same  # noqa: E402

CUSTOMERS = 1000
DAY = "2024-03-20"
DAY_NUMBER = 19802
KIB = 1024
MIB = 1024 * KIB
SEGMENT = 16 * MIB  # of the log


class SmallDisk:
    """A tmpfs that belongs to the user of the server."""

    def __init__(self, path, owner):
        self.path = path
        os.makedirs(path, exist_ok=True)
        options = f"size={300 * MIB},uid={owner.st_uid},gid={owner.st_gid},mode=700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)

    def leave(self, room):
        """So many bytes are free from now on."""
        found = os.statvfs(self.path)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        subprocess.run(["mount", "-o", f"remount,size={used + room}", self.path], check=True)

    def end(self):
        subprocess.run(["umount", "-l", self.path], check=True)


class World:
    def __init__(self, program, folder):
        self.folder = folder
        self.data = os.path.join(folder, "data")
        self.server = re.search(r"host=([^&]+)", cvm_program.SERVER).group(1)
        self.owner = os.stat(os.path.join(self.server, "data"))
        self.empty = cvm_program.Deployment.create(program, os.path.join(folder, "empty"), CUSTOMERS)
        self.empty.cvm("generate", "--customers", CUSTOMERS, "--events", 25, "--seed", 3, "--until", DAY, "--out", self.data)
        done = self.copy("done")
        done.cvm("import", self.data)
        self.totals = store_check.totals(done)
        done.cvm("run", "--as-of", DAY)
        self.plan = store_check.plan(done, DAY_NUMBER)

    def copy(self, name):
        return self.empty.copy(os.path.join(self.folder, name))


def check_full(result, what):
    """The words that a full disk under SQLite has too; where the server fell, that it did."""
    error = result.document["error"]
    same(error["status"], "unavailable", f"{what}: {error}")
    if "connection to the server was lost" not in error["message"]:
        expect("No space left" in error["message"] or "could not write" in error["message"], f"{what}: {error}")
        same(error["hint"], "Free space on the disk that holds the store; nothing was changed.", what)


def check_import(world, base):
    for name, value in store_check.totals(base).items():
        same(value, world.totals[name], name)


def check_run(world, base):
    same(store_check.plan(base, DAY_NUMBER), world.plan, "plan")
    base.cvm("audit", "verify")


def fill_until_done(disk, base, command):
    """With ever more room until it ends well. How often it did not."""
    failures = 0
    for room in (0, 256 * KIB, MIB, 2 * MIB, 100 * MIB):
        disk.leave(room)
        result = base.cvm(*command, "--json", allowed=(0, 1))
        if result.code == 0:
            return failures
        check_full(result, f"{command[0]} with {room} bytes")
        failures += 1
    raise AssertionError(f"{command[0]}: {result}")


def a_full_disk_under_the_tables_is_told_and_costs_one_transaction(world):
    base = world.copy("tables")
    disk = SmallDisk(os.path.join(world.server, "small"), world.owner)
    cvm_program.psql(cvm_program.SERVER, f"CREATE TABLESPACE small LOCATION '{disk.path}'")
    cvm_program.psql(cvm_program.SERVER, f"ALTER DATABASE {base.database} SET TABLESPACE small")
    expect(fill_until_done(disk, base, ("import", world.data)) > 1, "the import met a full disk")
    check_import(world, base)
    expect(fill_until_done(disk, base, ("run", "--as-of", DAY)) > 0, "the run met a full disk")
    check_run(world, base)
    cvm_program.psql(cvm_program.SERVER, f"DROP DATABASE {base.database} WITH (FORCE)")
    cvm_program.psql(cvm_program.SERVER, "DROP TABLESPACE small")
    disk.end()


def restart():
    cvm_program.run([os.environ["CVM_TEST_RESTART"]])


def use_up_the_log(base, folder, room):
    """The last segment has so many bytes left, and there is no room for another one."""
    while True:
        segment, left = base.query(
            f"SELECT pg_walfile_name(pg_current_wal_insert_lsn()) AS s, "
            f"{SEGMENT} - mod(pg_current_wal_insert_lsn() - '0/0'::pg_lsn, {SEGMENT}) AS n"
        )[0]
        is_last = all(name <= segment for name in os.listdir(folder) if len(name) == len(segment))
        if is_last and left < room:
            return
        if is_last:
            size = min(left - room // 2, MIB)
            cvm_program.psql(base.url, f"SELECT pg_logical_emit_message(false, 'x', repeat('x', {size}))")
        else:
            cvm_program.psql(base.url, "SELECT pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()")


def a_full_disk_under_the_log_stops_the_server_and_nothing_is_lost(world):
    base = world.copy("log")
    folder = os.path.join(world.server, "data", "pg_wal")
    cvm_program.psql(cvm_program.SERVER, "CHECKPOINT")
    kept = folder + "-before"
    shutil.copytree(folder, kept)
    disk = SmallDisk(folder, world.owner)
    subprocess.run(["cp", "-a", f"{kept}/.", folder], check=True)
    shutil.rmtree(kept)
    subprocess.run(["chown", "-R", f"{world.owner.st_uid}:{world.owner.st_gid}", folder], check=True)
    restart()
    for command, check, room in (
        (("import", world.data), check_import, 600 * KIB),
        (("run", "--as-of", DAY), check_run, 80 * KIB),
    ):
        disk.leave(0)
        use_up_the_log(base, folder, room)
        check_full(base.cvm(*command, "--json", allowed=(1,)), f"{command[0]}, log")
        disk.leave(150 * MIB)
        restart()
        base.cvm(*command)
        check(world, base)
    disk.end()


HELPERS = {
    "same", "expect", "check_full", "check_import", "check_run", "fill_until_done", "restart", "use_up_the_log", "main",
    "World", "SmallDisk",
}  # fmt: skip


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program, words = os.path.abspath(sys.argv[1]), sys.argv[2:]
    server = os.path.join(HERE, "..", "support", "postgres_server.sh")
    if "STORE_URL" in os.environ:
        with cvm_program.scratch("cvm-full-disk-test-") as folder:
            world = World(program, folder)
            return cvm_program.run_rules(cvm_program.rules_of(globals(), HELPERS), lambda: world, words)
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        print("skip: a small disk needs root and mount namespaces", file=sys.stderr)
        return 77
    return subprocess.run(["unshare", "-m", server, sys.executable, __file__, program, *words]).returncode


if __name__ == "__main__":
    sys.exit(main())
