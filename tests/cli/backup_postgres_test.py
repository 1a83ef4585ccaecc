#!/usr/bin/env python3
"""A store on PostgreSQL: base backup with log archiving back to a moment, and a dump: CVM [WORD...]

Run by tests/support/postgres_server.sh, with archive_mode on. The commands are those of docs/concepts/backup.md. Rules are
functions whose names state them; WORDs choose those whose names contain one.
"""

import os
import pwd
import shutil
import subprocess
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, psql, same  # noqa: E402

CUSTOMERS = 400
DAY = "2024-03-20"


def host_of(url):
    return urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["host"][0]


class Servers:
    """Folders and commands of the user that runs the server: it refuses to be root."""

    def __init__(self):
        found = [os.path.join("/usr/lib/postgresql", v, "bin") for v in os.listdir("/usr/lib/postgresql")]
        self.programs = sorted(p for p in found if os.path.exists(os.path.join(p, "initdb")))[-1]
        self.first = host_of(cvm_program.SERVER)
        self.owner = os.stat(self.first).st_uid
        self.started = []

    def run(self, program, *arguments):
        group = pwd.getpwuid(self.owner).pw_gid
        as_owner = {} if os.getuid() == self.owner else {"user": self.owner, "group": group, "extra_groups": []}
        done = subprocess.run([os.path.join(self.programs, program), *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, cwd=self.first, text=True, **as_owner, check=False)
        expect(done.returncode == 0, f"{program} {arguments}: {done.stdout}")
        return done.stdout

    def folder(self, name):
        path = os.path.join(self.first, name)
        os.mkdir(path, 0o700)
        os.chown(path, self.owner, -1)
        return path

    def start(self, data, socket):
        options = (f"-c listen_addresses='' -c unix_socket_directories='{socket}' -c fsync=off "
                   "-c max_connections=70 -c archive_mode=off")
        self.started.append(data)
        self.run("pg_ctl", "-D", data, "-w", "-t", "300", "-l", os.path.join(socket, "server.log"), "-o", options,
                 "start")

    def stop_all(self):
        for data in self.started:
            self.run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        self.started = []


class World(cvm_program.World):
    servers = None

    def digest(self):
        return self.json("run", "--as-of", DAY, "--dry-run")["summary"]["plan_digest"]

    def generate(self, customers, seed):
        self.cvm("generate", "--customers", customers, "--events", 20, "--seed", seed, "--until", DAY)

    def at(self, host, database=None):
        """The same deployment, with its store on another server or in another database."""
        folder = self.folder + "-elsewhere"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder)
        path = os.path.join(folder, "cvm.yaml")
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        mine = self.deployment.database
        text = text.replace(host_of(cvm_program.SERVER), host).replace(mine, database or mine)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        return World(cvm_program.Deployment(self.program, folder))

    def sql(self, sql):
        return psql(self.deployment.url, sql).strip()


def archived(world):
    """All of the log so far; looking is all the waiting there is."""
    last = world.sql("SELECT pg_walfile_name(pg_switch_wal())")
    while (world.sql("SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver") or "") < last:
        expect(world.sql("SELECT failed_count FROM pg_stat_archiver") == "0", "the archive refuses a file")


def check_is_whole(store, digest, batches):
    same(store.digest(), digest, "plan_digest")
    same(len(store.json("batch", "list")["batches"]), batches, "batches")
    same(store.json("audit", "verify")["intact"], True, "the audit log")


def a_base_backup_and_the_log_bring_back_a_moment(world):
    servers = world.servers
    archive = servers.folder("archive")
    base = servers.folder("base")
    socket = servers.folder("restored")
    world.sql(f"ALTER SYSTEM SET archive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f'")
    world.sql("SELECT pg_reload_conf()")
    servers.run("pg_basebackup", "-h", servers.first, "-U", "cvm", "-D", base, "-X", "stream", "-c", "fast")

    world.generate(CUSTOMERS + 50, 4)
    run = world.json("run", "--as-of", DAY)
    wanted = world.digest()
    moment = world.sql("SELECT clock_timestamp()")
    world.generate(CUSTOMERS + 150, 5)
    world.json("run", "--as-of", DAY)
    expect(world.digest() != wanted, "the last import changes nothing: the test is too weak")
    archived(world)

    with open(os.path.join(base, "postgresql.auto.conf"), "a", encoding="utf-8") as stream:
        stream.write(f"restore_command = 'cp {archive}/%f %p'\n"
                     f"recovery_target_time = '{moment}'\n"
                     "recovery_target_action = 'promote'\n")
    with open(os.path.join(base, "recovery.signal"), "w", encoding="utf-8"):
        pass
    servers.start(base, socket)
    try:
        there = world.at(socket)
        url = cvm_program.SERVER.replace(servers.first, socket)
        while psql(url, "SELECT pg_is_in_recovery()").strip() == "t":
            pass
        check_is_whole(there, wanted, 2)
        plans = {p["run_id"] for p in there.json("plan", "list")["plans"]}
        same(plans, {run["run_id"]}, "plans")
        there.generate(CUSTOMERS + 150, 5)  # what came after the moment
        same(there.digest(), world.digest(), "plan_digest once it is imported again")
        same(there.json("audit", "verify")["intact"], True, "the audit log")
    finally:
        servers.stop_all()


def journeys_that_a_crash_took_are_built_again(world):
    """They are written without waiting for the disk: what the server had not written yet is found missing."""
    wanted = world.digest()
    world.sql("UPDATE meta SET value = '0' WHERE name = 'batch'; DELETE FROM packed WHERE customer_key % 3 = 0")
    result = world.cvm("run", "--as-of", DAY, "--dry-run")
    expect("Building journeys anew" in result.err, result.err)
    same(world.digest(), wanted, "plan_digest")


def a_dump_is_a_store_in_another_database(world):
    wanted = world.digest()
    batches = len(world.json("batch", "list")["batches"])
    path = os.path.join(world.servers.folder("dump"), "cvm.dump")
    url = world.deployment.url
    world.servers.run("pg_dump", "-Fc", "--schema=public", "-f", path, url)
    other = world.deployment.database + "x"
    psql(cvm_program.SERVER, f"CREATE DATABASE {other}")
    world.servers.run("pg_restore", "--clean", "--if-exists", "--single-transaction", "-d",
                      url.replace(world.deployment.database, other), path)
    check_is_whole(world.at(world.servers.first, other), wanted, batches)


def a_server_is_not_copied_by_cvm(world):
    for command in (("backup", world.path("x.db")), ("restore", world.path("x.db"))):
        error = world.json(*command, allowed=(1,))["error"]
        same(error["status"], "invalid", "status")
        expect("pg_basebackup" in error["hint"], error)


HELPERS = {"expect", "same", "psql", "main", "World", "Servers", "host_of", "archived", "check_is_whole"}


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    rules = cvm_program.rules_of(globals(), HELPERS)
    World.servers = Servers()
    with cvm_program.scratch("cvm-backup-test-") as folder:
        base = cvm_program.Deployment.create(os.path.abspath(sys.argv[1]), os.path.join(folder, "base"), CUSTOMERS)
        world = World(base)
        world.generate(CUSTOMERS, 3)
        return cvm_program.run_rules(rules, lambda: world, sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
