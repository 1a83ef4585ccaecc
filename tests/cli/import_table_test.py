#!/usr/bin/env python3
"""`cvm import --from`: rows of another database, and how many connections a run takes: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one. With STORE_URL the stores and the
other database are on that server, else in SQLite files.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

DAY = "2024-03-20"
CUSTOMERS = 1500
TABLES = {
    "usage_data": {
        "customer_id": "TEXT", "date": "DATE", "data_usage_gb": "DOUBLE PRECISION", "voice_minutes": "INTEGER",
        "sms_count": "INTEGER", "roaming_data_gb": "DOUBLE PRECISION", "allowance_share": "DOUBLE PRECISION",
        "peak_usage_hour": "INTEGER", "weekend_usage_percent": "DOUBLE PRECISION",
    },
    "web_clicks": {
        "customer_id": "TEXT", "date": "DATE", "page": "TEXT", "duration_seconds": "INTEGER", "device": "TEXT",
    },
}


class World(cvm_program.World):
    other = data = None

    def fresh(self, name):
        """Another deployment of the same kind, empty."""
        folder = self.path("..", name)
        shutil.rmtree(folder, ignore_errors=True)
        made = cvm_program.Deployment.create(self.program, folder, CUSTOMERS)
        shutil.rmtree(os.path.join(folder, "catalogue"))
        shutil.copytree(self.path("catalogue"), os.path.join(folder, "catalogue"))
        return made

    def configure(self, text):
        with open(self.path("cvm.yaml"), "a", encoding="utf-8") as stream:
            stream.write("\n" + text + "\n")

    def from_table(self, deployment, source, *arguments, allowed=(0,)):
        return deployment.json(
            "import", "--from", self.other, "--table", source, "--source", source, *arguments, allowed=allowed
        )


def records_of(path):
    with open(path, encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def make_other(folder, data):
    """The tables, with a number of the row; their URL."""
    statements = []
    path = os.path.join(folder, "other.db")
    connection = None if cvm_program.SERVER else sqlite3.connect(path)
    for name, columns in TABLES.items():
        records = records_of(os.path.join(data, name + ".ndjson"))
        typed = ", ".join(f"{c} {t}" for c, t in columns.items())
        if connection:
            connection.execute(f"CREATE TABLE {name} (row_number INTEGER PRIMARY KEY, {typed.replace('DATE', 'TEXT')})")
            places = ", ".join("?" * len(columns))
            connection.executemany(
                f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({places})",
                [[r.get(c) for c in columns] for r in records],
            )
        else:
            statements.append(f"DROP TABLE IF EXISTS {name};")
            statements.append(f"CREATE TABLE {name} (row_number SERIAL PRIMARY KEY, {typed});")
            text = json.dumps(records).replace("'", "''")
            statements.append(
                f"INSERT INTO {name} ({', '.join(columns)}) SELECT * FROM json_to_recordset('{text}') AS x({typed});"
            )
    if connection:
        connection.commit()
        connection.close()
        return "sqlite:" + path
    script = os.path.join(folder, "other.sql")
    with open(script, "w", encoding="utf-8") as stream:
        stream.write("\n".join(statements))
    cvm_program.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", cvm_program.SERVER, "-f", script])
    return cvm_program.SERVER


def digest_of(deployment, *arguments):
    return deployment.json("run", "--as-of", DAY, "--dry-run", *arguments)["summary"]["plan_digest"]


def a_run_on_tables_decides_as_a_run_on_the_same_records_in_files(world):
    mixed = world.fresh("mixed")
    files = [f for f in cvm_program.data_files(world.data) if os.path.basename(f)[:-7] not in TABLES]
    same(len(files), len(cvm_program.data_files(world.data)) - 2, "the other files")
    mixed.cvm("import", *files)
    for name in TABLES:
        # The number of the row is the table's own; the records have no such member.
        columns = ", ".join(TABLES[name])
        document = mixed.json(
            "import", "--from", world.other, "--query", f"SELECT {columns} FROM {name}", "--key", "customer_id",
            "--source", name,
        )
        same(document["read"], len(records_of(os.path.join(world.data, name + ".ndjson"))), "rows of " + name)
        same(document["rejected"], 0, "rejected")
    same(digest_of(mixed), digest_of(world.deployment), "plan_digest")


def a_table_is_imported_once_whatever_its_key(world):
    store = world.fresh("once")
    first = world.from_table(store, "web_clicks", "--key", "row_number")
    same(first["stored"], first["read"], "stored")
    for key in ([], ["--key", "customer_id"]):
        again = world.from_table(store, "web_clicks", *key)
        same((again["read"], again["stored"], again["duplicate"]), (first["read"], 0, first["read"]), str(key))


def days_are_chosen_by_the_database_of_a_table_and_by_the_mapping_of_a_file(world):
    path = os.path.join(world.data, "web_clicks.ndjson")
    within = sum("2024-02-01" <= r["date"] <= "2024-02-10" for r in records_of(path))
    days = ("--since", "2024-02-01", "--until", "2024-02-10")
    expect(within > 0, "there are clicks")
    document = world.from_table(world.fresh("days"), "web_clicks", "--key", "row_number", *days)
    same((document["read"], document["stored"], document["outside"]), (within, within, 0), "of the table")
    everything = len(records_of(path))
    document = world.fresh("days").json("import", path, *days)
    same((document["read"], document["stored"], document["outside"]), (everything, within, everything - within), "file")
    same(document["rejected"], 0, "rejected")
    text = world.fresh("days").cvm("import", path, *days).out
    expect("passed over" in text and "--since" in text, text)


def a_file_goes_to_the_source_that_is_named(world):
    path = os.path.join(world.folder, "anything.txt.ndjson")
    shutil.copy(os.path.join(world.data, "web_clicks.ndjson"), path)
    document = world.fresh("named").json("import", path, "--source", "web_clicks")
    same(list(document["by_source"]), ["web_clicks"], "sources")


def what_does_not_go_together_is_a_mistake_of_the_command_line(world):
    given = ("--from", world.other)
    for arguments, words in (
        ((), "--from URL"),
        (given, "'--table NAME' and '--query SQL'"),
        ((*given, "--table", "a", "--query", "SELECT 1"), "'--table NAME' and '--query SQL'"),
        ((*given, "--table", "web_clicks"), "--source"),
        (("x.ndjson", *given, "--table", "web_clicks", "--source", "web_clicks"), "one after the other"),
        (("x.ndjson", "--key", "id"), "go with '--from URL'"),
        (("x.ndjson", "--since", "2024-02-02", "--until", "2024-02-01"), "before it begins"),
    ):
        result = world.cvm("import", *arguments, "--json", allowed=(2,))
        expect(words in result.document["error"]["message"], f"{arguments}: {result.out}")
    result = world.cvm("import", *given, "--table", "web_clicks", "--source", "web_klicks", "--json", allowed=(1,))
    expect("web_clicks" in result.document["error"]["hint"], result.out)


def a_table_with_binary_data_is_refused_with_a_way_out(world):
    sql = ("DROP TABLE IF EXISTS pictures", "CREATE TABLE pictures (customer_id TEXT, picture %s)",
           "INSERT INTO pictures VALUES ('U1', %s)")
    if cvm_program.SERVER:
        cvm_program.psql(world.other, f"{sql[0]}; {sql[1] % 'BYTEA'}; {sql[2] % chr(39)}x')")
    else:
        connection = sqlite3.connect(world.other[7:])
        with connection:
            connection.execute(sql[0])
            connection.execute(sql[1] % "BLOB")
            connection.execute(sql[2] % "x'00'")
        connection.close()
    result = world.cvm("import", "--from", world.other, "--table", "pictures", "--source", "web_clicks", "--json",
                       allowed=(1,))
    expect("'picture'" in result.document["error"]["message"], result.out)
    expect("--query" in result.document["error"]["hint"], result.out)


def the_configuration_sets_how_a_table_is_read(world):
    path = world.path("cvm.yaml")
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    expect("import:\n" in text, text)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text.replace("import:\n", "import:\n  readers: 2\n  queue_blocks: 3\n") + "chunk_size: 100\n")
    columns = ", ".join(TABLES["web_clicks"])
    document = world.json("import", "--from", world.other, "--query", f"SELECT {columns} FROM web_clicks", "--key",
                          "customer_id", "--source", "web_clicks")
    same((document["stored"], document["rejected"]), (0, 0), "the same records came from the file")
    same(digest_of(world.deployment), digest_of(world.deployment, "--chunk-size", 4096), "plan_digest")
    for line, words in (("connections: 3", "connections"), ("retry: {attempts: 0}", "attempts"),
                        ("chunk_size: 1", "chunk_size")):
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text + line + "\n")
        expect(words in world.cvm("customer", "list", allowed=(1,)).err, line)


# ---- connections ----


def many_threads_share_few_connections(world):
    expected = digest_of(world.deployment, "--threads", 1)
    world.configure("connections: 4")
    same(digest_of(world.deployment, "--threads", 16), expected, "plan_digest")
    most = 0
    child = subprocess.Popen(
        world.deployment.command("run", "--as-of", DAY, "--threads", 16, "--json"), stdout=subprocess.PIPE
    )
    database = world.deployment.database
    while cvm_program.SERVER and child.poll() is None:
        count = cvm_program.psql(
            cvm_program.SERVER, f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'"
        )
        most = max(most, int(count))
    out, _ = child.communicate()
    expect(json.loads(out)["summary"]["treated"] > 0, "customers are treated")
    expect(most <= 4, f"{most} connections")


def the_doctor_tells_of_the_server_and_of_too_few_connections(world):
    document = world.json("doctor", "--as-of", DAY, allowed=(0, 3))
    if not cvm_program.SERVER:
        expect(document["server"]["version"].startswith("SQLite "), document["server"])
        return
    expect(document["server"]["version"].startswith("PostgreSQL "), document["server"])
    expect(document["server"]["connections_most"] > 60, document["server"])
    same([f for f in document["findings"] if f["topic"] == "store"], [], "store")
    with open(world.path("cvm.yaml"), encoding="utf-8") as stream:
        text = stream.read()
    with open(world.path("cvm.yaml"), "w", encoding="utf-8") as stream:
        stream.write(text.replace("threads: 0", "threads: 100"))
    (finding,) = [f for f in world.json("doctor", "--as-of", DAY, allowed=(0, 3))["findings"] if f["topic"] == "store"]
    same(finding["severity"], "warning", "severity")
    expect("102 connections" in finding["what"], finding)
    world.configure("connections: 10")
    same([f for f in world.json("doctor", "--as-of", DAY, allowed=(0, 3))["findings"] if f["topic"] == "store"], [],
         "with fewer")
    expect("others use" in world.cvm("doctor", "--as-of", DAY, allowed=(0, 3)).out, "the report")


def the_doctor_finds_a_server_that_is_not_there(world):
    if not cvm_program.SERVER:
        raise cvm_program.Skip("a file is there or not")
    with open(world.path("cvm.yaml"), "w", encoding="utf-8") as stream:
        stream.write("store: postgresql://cvm@/cvm?host=/nonexistent\nretry: {attempts: 2, base_ms: 1}\n")
    document = world.json("doctor", allowed=(3,))
    same([(f["severity"], f["topic"]) for f in document["findings"]], [("problem", "store")], "findings")
    same(document["server"], None, "server")
    expect("cannot connect" in document["findings"][0]["what"], document)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program, words = os.path.abspath(sys.argv[1]), sys.argv[2:]
    own = {"same", "expect", "World", "records_of", "make_other", "digest_of", "main"}
    with cvm_program.scratch("cvm-import-table-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), CUSTOMERS)
        World.data = os.path.join(folder, "data")
        template.cvm("generate", "--customers", CUSTOMERS, "--seed", 3, "--until", DAY, "--out", World.data)
        template.cvm("import", World.data)
        World.other = make_other(folder, World.data)
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), own),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
