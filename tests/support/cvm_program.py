"""Driving the cvm program from a script: run a command, time it, look into its store.

Used by bench/, tests/soak/ and tests/cli/. Keep this small and free of large imports: the peak memory that Linux
reports for a child is never below what this process had when it started the child.
"""

import functools
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import time


# A PostgreSQL of the tests' own (postgres_server.sh); "" = SQLite.
SERVER = os.environ.get("STORE_URL", "")


class Failure(Exception):
    """A command did not do what the script counts on."""


class Result:
    def __init__(self, arguments, code, out, err, seconds, usage):
        self.arguments = arguments
        self.code = code  # negative: ended by that signal
        self.out = out
        self.err = err
        self.seconds = seconds
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.peak_bytes = usage.ru_maxrss * 1024

    @property
    def document(self):
        """Standard output as the one JSON document that --json promises."""
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise Failure(f"{self}: standard output is not one JSON document: {error}") from error

    def __str__(self):
        return f"`{' '.join(self.arguments)}` ended with {self.code}: {self.err.strip()[-2000:]}"


def run(arguments, timeout=3600, allowed=(0,), stdin=None, environment=None):
    """Run to the end; allowed None = any exit code. Output goes through files, so that waiting is one wait4()."""
    arguments = [str(a) for a in arguments]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        child = subprocess.Popen(
            arguments,
            stdin=stdin or subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, **(environment or {})},
        )
        try:
            usage = wait(child, timeout)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"`{' '.join(arguments)}` did not end within {timeout} s") from error
        seconds = time.monotonic() - start
        out.seek(0)
        err.seek(0)
        result = Result(
            arguments,
            child.returncode,
            out.read().decode("utf-8", "replace"),
            err.read().decode("utf-8", "replace"),
            seconds,
            usage,
        )
    if allowed is not None and result.code not in allowed:
        raise Failure(f"{result} {result.out.strip()[-500:]}")
    return result


def wait(child, timeout=3600):
    """Wait for a Popen child and return its resource usage; on a timeout it is killed."""
    deadline = time.monotonic() + timeout
    pause = 0.0002
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid != 0:
            child.returncode = os.waitstatus_to_exitcode(status)
            return usage
        if time.monotonic() > deadline:
            child.kill()
            child.wait()
            raise subprocess.TimeoutExpired(child.args, timeout)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.005)


def psql(url, *statements):
    """What psql prints, unaligned; the server is the one of STORE_URL. Each statement is a transaction of its own."""
    asked = [word for sql in statements for word in ("-c", sql)]
    return run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", url, *asked]).out


@functools.lru_cache
def quick_copy():
    """From PostgreSQL 15 on a server logs each page that it copies unless told otherwise, which takes twice as long."""
    return " STRATEGY file_copy" if int(psql(SERVER, "SHOW server_version_num")) >= 150000 else ""


def for_psql(sql, parameters=()):
    """SQL of a test, written for SQLite: what PostgreSQL calls otherwise, and values in the place of question marks."""
    sql = re.sub(r"""json_extract\((\w+), '\$\."([^"]+)"'\)""", r"(\1::json ->> '\2')", sql)
    sql = re.sub(r"printf\('%016x', (\w+)\)", r"lpad(to_hex(\1), 16, '0')", sql)
    for value in parameters:
        text = str(value).replace("'", "''")
        sql = sql.replace("?", str(value) if isinstance(value, (int, float)) else f"'{text}'", 1)
    return sql


class Deployment:
    """A folder made by `cvm init`, with its store: SQLite, or a database of the server that STORE_URL names."""

    def __init__(self, program, folder):
        self.program = os.path.abspath(program)
        self.folder = os.path.abspath(folder)

    @classmethod
    def create(cls, program, folder, customers):
        made = cls(program, folder)
        store = []
        if SERVER:
            made.make_database()
            store = ["--store", made.url]
        run([program, "init", folder, "--customers", customers, "--quiet", *store])
        return made

    @property
    def database(self):
        return "t" + hashlib.sha256(self.folder.encode()).hexdigest()[:16]

    @property
    def url(self):
        """Of the store."""
        return SERVER.replace("/cvm?", f"/{self.database}?") if SERVER else f"sqlite:{self.databases[0]}"

    def make_database(self, template="template1"):
        create = f"CREATE DATABASE {self.database} TEMPLATE {template}{quick_copy()}"
        psql(SERVER, f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)", create)

    def copy(self, folder):
        """The same deployment elsewhere; nobody may have the store open."""
        shutil.rmtree(folder, ignore_errors=True)
        run(["cp", "-a", "--reflink=auto", self.folder, folder])
        copy = Deployment(self.program, folder)
        if SERVER:
            copy.make_database(self.database)
            path = os.path.join(folder, "cvm.yaml")
            with open(path, encoding="utf-8") as config:
                text = config.read()
            with open(path, "w", encoding="utf-8") as config:
                config.write(text.replace(self.database, copy.database))
        return copy

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_store(self):
        if SERVER:
            psql(SERVER, f"DROP DATABASE {self.database} WITH (FORCE)")
            return
        for path in self.databases:
            os.unlink(path)

    def is_written(self):
        """Somebody is at work in it, or has been: an SQLite store's lock file stays."""
        if SERVER:
            return psql(self.url, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted LIMIT 1") != ""
        return os.path.exists(self.databases[0] + ".lock")

    def dump(self):
        """Every row that the server has of it, as bytes; what is binary in hex."""
        return run(["pg_dump", "--data-only", "--dbname", self.url]).out.encode()

    def command(self, *arguments):
        return [self.program, *[str(a) for a in arguments], "--config", os.path.join(self.folder, "cvm.yaml")]

    def cvm(self, *arguments, **options):
        return run(self.command(*arguments), **options)

    def json(self, *arguments, **options):
        return self.cvm(*arguments, "--json", **options).document

    def bench(self, name, *arguments):
        """`cvm bench` on this store: its results by name."""
        result = self.cvm("bench", name, "--store", self.url, *arguments, "--json")
        return {r["name"]: r["value"] for r in result.document["results"]}

    @property
    def databases(self):
        """Main database and packed journeys."""
        return [os.path.join(self.folder, name) for name in ("cvm.db", "cvm-journeys.db")]

    def query(self, sql, parameters=(), database=0):
        """Rows of a read-only look into the store."""
        if SERVER:
            rows = psql(self.url, f"SELECT row_to_json(t) FROM ({for_psql(sql, parameters)}) t").splitlines()
            return [json.loads(row, object_pairs_hook=lambda pairs: tuple(v for _, v in pairs)) for row in rows]
        connection = sqlite3.connect(f"file:{self.databases[database]}?mode=ro", uri=True)
        try:
            return connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()

    def change(self, *statements, parameters=()):
        """What somebody with an SQL prompt does to the store; cvm takes no part."""
        if SERVER:
            psql(self.url, ";".join(for_psql(sql, parameters) for sql in statements))
            return
        connection = sqlite3.connect(self.databases[0])
        try:
            with connection:
                for sql in statements:
                    connection.execute(sql, parameters)
        finally:
            connection.close()

    def bytes_on_disk(self):
        return sum(
            os.path.getsize(os.path.join(self.folder, name))
            for name in os.listdir(self.folder)
            if name.startswith("cvm") and ".db" in name
        )


LIVE_DECISIONS = """
    SELECT d.customer_id, d.treatment FROM decision d
    JOIN plan p USING (run_id) JOIN run r USING (run_id)
    WHERE r.as_of_day = ? AND p.state NOT IN ('building', 'recalled') AND d.state < 11 AND d.ghost = 0
"""  # states from 11 on ended before a contact: model/decision.h


def plan_digest(pairs):
    """BLAKE2b-256 over `customer_id TAB treatment_id LF` in byte order of ids: what cvm prints, computed apart."""
    digest = hashlib.blake2b(digest_size=32)
    for customer, treatment in sorted((c.encode(), t.encode()) for c, t in pairs):
        digest.update(customer + b"\t" + treatment + b"\n")
    return digest.hexdigest()


def day_number(date):
    """Days since 1970-01-01 of a datetime.date."""
    return date.toordinal() - 719163


def data_files(folder):
    return sorted(
        os.path.join(folder, name) for name in os.listdir(folder) if name.endswith((".ndjson", ".jsonl", ".json"))
    )


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def scratch(prefix):
    """A folder for the work of one script, on disk and not in memory: CVM_SCRATCH, else /var/tmp."""
    return tempfile.TemporaryDirectory(prefix=prefix, dir=os.environ.get("CVM_SCRATCH", "/var/tmp"))


def expect(claim, message):
    if not claim:
        raise AssertionError(message)


def same(found, wanted, what):
    expect(found == wanted, f"{what}: found {found!r} instead of {wanted!r}")


class World:
    """What the rules of a test work with: one deployment, and shorter names for it."""

    def __init__(self, deployment):
        self.deployment = deployment
        self.program = deployment.program
        self.folder = deployment.folder

    def cvm(self, *arguments, **options):
        return self.deployment.cvm(*arguments, **options)

    def json(self, *arguments, **options):
        return self.deployment.json(*arguments, **options)

    def query(self, sql, parameters=(), database=0):
        return self.deployment.query(sql, parameters, database)

    def change(self, *statements, parameters=()):
        self.deployment.change(*statements, parameters=parameters)

    def path(self, *names):
        return os.path.join(self.folder, *names)


class Skip(Exception):
    """A rule that this machine can not check; its text says why."""


def only_on_sqlite(why):
    """The beginning of a rule about what only an SQLite store has: files that can be copied, cut or filled up."""
    if SERVER:
        raise Skip(f"of SQLite: {why}")


def rules_of(names, but):
    """The functions of a script (its globals()), in order, that are rules: all but its own helpers."""
    return [
        (name, function)
        for name, function in names.items()
        if callable(function) and getattr(function, "__code__", None) and name not in but
    ]


def run_rules(rules, world, words=()):
    """Each rule in a world of its own; only those with one of the words in their name. The exit status."""
    failed = 0
    for name, rule in rules:
        if words and not any(word in name for word in words):
            continue
        try:
            rule(world())
            print(f"ok   {name}", flush=True)
        except Skip as reason:
            print(f"skip {name}: {reason}", flush=True)
        except (
            AssertionError, Failure, OSError, ValueError, KeyError, IndexError, AttributeError, sqlite3.Error,
            subprocess.SubprocessError,
        ) as error:
            failed += 1
            print(f"FAIL {name}:\n    {type(error).__name__}: {error}", flush=True)
    print(f"{failed} failed")
    return 1 if failed else 0
