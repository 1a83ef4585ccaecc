#!/usr/bin/env python3
"""Personal data from outside: sealed, exported, erased, and nothing left of it in any file: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
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
CUSTOMERS = 2000
REASON = "request of 2024-03-20"
# Ids that are parts of others, and of the longer kind.
PEOPLE = {
    "PX-7701": "Ottilie Quillfeather", "PX-77012": "Barnaby Threepwood", "PX-880": "Zenobia Marchbanks",
    "Søren/9": "Søren Åkesson",
}


def notes():
    """A call per person whose text and unknown fields name him or her."""
    return [
        {"customer_id": customer, "date": "2024-03-0%d" % (n + 1), "type": "call", "duration_minutes": 3,
         "sentiment": "negative", "summary": f"{name} called from 0049-555-{n}{n}{n} about a bill",
         "account_name": f"{name} & Sons", "agent": {"remark": f"ask for {name}"}}
        for n, (customer, name) in enumerate(PEOPLE.items())
    ]


def permissions(marketing):
    return [
        {"customer_id": customer, "last_updated": "2024-03-10" if marketing else "2024-03-11",
         "permissions": {"call": {"marketing": "Y" if marketing else "N", "service": "Y", "billing": "Y"}},
         "preferences": {"language": "en", "contact_name": name}}
        for customer, name in PEOPLE.items()
    ]


class World(cvm_program.World):
    """A base with people of known names, a run, a run of named customers, rejects and changed permissions."""

    template = None

    def __init__(self, is_sealed=True):
        name = "sealed" if is_sealed else "clear"
        super().__init__(World.template[name].copy(os.path.join(World.folder, "world")))

    def erase(self, *ids, **options):
        return self.cvm("customer", "erase", *ids, "--reason", REASON, "--yes", **options)

    def import_notes(self, *arguments, **options):
        return self.cvm("import", os.path.join(World.data, "call_transcripts.ndjson"), *arguments, "--json", **options)

    def files(self, folder=None):
        """Every byte of every file, by name, and what a server has; the catalogue is not data."""
        contents = {}
        for root, folders, names in os.walk(folder or self.folder):
            folders[:] = [f for f in folders if f != "catalogue"]
            for name in names:
                path = os.path.join(root, name)
                with open(path, "rb") as stream:
                    contents[os.path.relpath(path, self.folder)] = stream.read()
        if cvm_program.SERVER and folder is None:
            contents["database"] = self.deployment.dump()
        return contents

    def places_of(self, words, folder=None):
        """Files that hold one of the words, in UTF-8, UTF-16, as JSON escapes or in hex."""
        found = []
        for name, content in self.files(folder).items():
            for word in words:
                forms = {word.encode(), word.encode("utf-16-le"), json.dumps(word)[1:-1].encode(), word.encode().hex().encode()}
                if any(form in content for form in forms):
                    found.append((name, word))
        return found


def words_of(customer):
    """What tells of a person: id, name, telephone number. PX-7701 is a part of PX-77012, which may stay."""
    n = list(PEOPLE).index(customer)
    name = PEOPLE[customer]
    return ([] if customer == "PX-7701" else [customer]) + [name, name.split()[1], f"0049-555-{n}{n}{n}"]


def lines(path, records):
    with open(path, "w", encoding="utf-8") as stream:
        for record in records:
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def make_data(folder):
    os.makedirs(folder)
    lines(os.path.join(folder, "call_transcripts.ndjson"), notes())
    lines(os.path.join(folder, "permissions.ndjson"), permissions(True))
    later = os.path.join(folder, "later")
    os.makedirs(later)
    lines(os.path.join(later, "permissions.ndjson"), permissions(False))
    # No date: rejected, and so copied to the rejects file.
    lines(os.path.join(later, "call_transcripts.ndjson"),
          [{"customer_id": c, "summary": f"{name} hung up"} for c, name in PEOPLE.items()])


def make_template(program, folder, is_sealed):
    deployment = cvm_program.Deployment.create(program, os.path.join(folder, "sealed" if is_sealed else "clear"), CUSTOMERS)
    if not is_sealed:
        path = os.path.join(deployment.folder, "cvm.yaml")
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        expect("privacy:\n  master_key: cvm-master.key\n" in text, "`cvm init` seals")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text.replace("privacy:\n  master_key: cvm-master.key\n", ""))
    data = World.data
    deployment.cvm("generate", "--customers", CUSTOMERS, "--seed", 5, "--until", DAY, "--quiet")
    deployment.cvm("import", os.path.join(data, "call_transcripts.ndjson"), os.path.join(data, "permissions.ndjson"), "--quiet")
    deployment.cvm("import", os.path.join(data, "later"), "--quiet", allowed=(0, 3))
    result = deployment.json("run", "--as-of", DAY, allowed=(0, 3))
    deployment.cvm("run", "--as-of", "2024-03-21", "--customers", ",".join(PEOPLE), "--quiet", allowed=(0, 3))
    return deployment, result["summary"]["plan_digest"]


def sealed_stores_decide_as_clear_ones_and_hold_no_name(_):
    same(World.digest["sealed"], World.digest["clear"], "the digest of the plan")
    sealed, clear = World(), World.template["clear"]
    rejects = [n for n in os.listdir(sealed.folder) if n.startswith("rejects-")]
    expect(rejects, "some records were rejected")
    for name in rejects:  # texts of records that could not be read at all stand there until somebody looks at them
        os.unlink(sealed.path(name))
    for name in PEOPLE.values():
        same(sealed.places_of([name]), [], "files of a sealed store that hold a name")
    expect(any(PEOPLE["PX-880"].encode() in c for c in sealed.files(clear.folder).values()), "the clear one has names")
    same(sealed.query("SELECT DISTINCT key_id FROM event WHERE private IS NOT NULL"), [(1,)], "keys of the sealed one")


def export_holds_everything_of_one_customer_and_nothing_of_another(world):
    path = world.path("px880.json")
    world.cvm("customer", "export", "PX-880", "--out", path, "--quiet")
    same(os.stat(path).st_mode & 0o777, 0o600, "rights of the file")
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    document = json.loads(text)
    same(document, {**world.json("customer", "export", "PX-880"), "exported_at": document["exported_at"]}, "--json")
    same(document["customer_id"], "PX-880", "id")
    call = [e for e in document["events"] if e["source"] == "call_transcripts"]
    same(len(call), 1, "calls")
    expect("Zenobia Marchbanks called" in json.dumps(call[0]["private"]), "the text is there")
    expect("Zenobia Marchbanks & Sons" in json.dumps(call[0]["private"]), "unknown fields are there")
    same([c["version"] for c in document["consents"]], [1, 2], "versions of the permissions")
    expect("call outbound marketing" in document["consents"][0]["granted"], "the first one granted it")
    expect("call outbound marketing" in document["consents"][1]["denied"], "the second one took it back")
    key = world.query("SELECT customer_key FROM customer WHERE customer_id = 'PX-880'")[0]
    for section, table in (("events", "event"), ("consents", "consent"), ("decisions", "decision"), ("outcomes", "outcome")):
        same(len(document[section]), world.query(f"SELECT count(*) FROM {table} WHERE customer_key = ?", key)[0][0], section)
    same([a["action"] for a in document["audit"]], ["consent"], "audit rows about the customer")
    for other in PEOPLE:
        if other != "PX-880":
            expect(other not in text and PEOPLE[other] not in text, f"{other} is in it")
    same(world.cvm("customer", "export", "nobody", allowed=None).code, 1, "export of nobody")


def erased_customers_are_in_no_file_and_the_others_are_untouched(world):
    keep = world.json("customer", "export", "PX-77012")
    erased = ["PX-7701", "PX-880", "Søren/9"]
    for customer in erased:
        expect(world.places_of(words_of(customer)), f"{customer} was there")
    before = world.json("customer", "list", "--limit", 10000)["customers"]
    world.erase(*erased)
    for customer in erased:
        same(world.places_of(words_of(customer)), [], f"files that still tell of {customer}")
    # PX-7701 as a word of its own.
    for name, content in world.files().items():
        expect(b"PX-7701" not in content.replace(b"PX-77012", b""), f"{name} holds PX-7701")
    after = world.json("customer", "export", "PX-77012")
    same({**after, "exported_at": 0}, {**keep, "exported_at": 0}, "the export of another customer")
    listed = world.json("customer", "list", "--limit", 10000)["customers"]
    same(len(before) - len(listed), len(erased), "customers that are no longer listed")
    expect(not any(c["customer_id"].startswith("erased-") for c in listed), "no pseudonym is listed")
    same(world.query("SELECT count(*) FROM erased")[0][0], len(erased), "marks")
    same(world.query("SELECT count(*) FROM customer WHERE batch = 0 AND customer_id LIKE 'erased-%'")[0][0], len(erased), "tombstones")
    rows = world.json("audit", "list", "--limit", 1000)["audit"]
    same(len([r for r in rows if r["action"] == "erase" and r["why"] == REASON]), len(erased), "audit rows")
    same(world.json("audit", "verify")["fault"], None, "fault of the audit log after an erasure")
    for customer in erased:
        same(world.cvm("customer", "show", customer, allowed=None).code, 1, "what is known of an erased customer")


def what_was_handed_over_is_named_and_later_reports_bring_nobody_back(world):
    customer, run, key = world.query(
        "SELECT d.customer_id, d.run_id, d.customer_key FROM decision d WHERE d.channel = 'sms' ORDER BY 1")[0]
    handed = os.path.join(World.folder, "handed")
    shutil.rmtree(handed, ignore_errors=True)
    world.cvm("plan", "export", run, "--out", handed, "--quiet")
    decision = f"{run}.{key:016x}"

    def report(state, date):
        path = os.path.join(World.folder, "outcomes.ndjson")
        lines(path, [{"decision_id": decision, "state": state, "date": date, "reason": "Ottilie answered"}])
        world.cvm("outcome", "import", path, "--today", "2024-03-25", "--quiet", allowed=(0, 3))

    report("sent", "2024-03-21")
    same(world.query("SELECT reason FROM outcome"), [("Ottilie answered",)], "the reason that was given")
    result = world.json("customer", "erase", customer, "--reason", REASON)["erased"][0]
    expect(result["export_files"] and all("sms" in f for f in result["export_files"]), f"files: {result}")
    same(world.places_of([customer, "Ottilie answered"]), [], "files that still tell of the customer")
    count = world.query("SELECT count(*) FROM customer")
    report("opted_out", "2024-03-22")
    same(world.query("SELECT state, reason FROM outcome ORDER BY 1"), [(2, None), (13, None)], "outcomes")
    same(world.query("SELECT count(*) FROM customer"), count, "customers")
    same(world.query("SELECT count(*) FROM event WHERE customer_key = ?", (key,)), [(0,)], "events")
    same(world.query("SELECT count(*) FROM outcome_import WHERE report IS NULL"), [(0,)], "imports that wait")


def erased_customers_leave_the_next_run_and_a_rebuild_as_it_is(world):
    world.erase("PX-880", "PX-7701")
    decided = world.json("run", "--as-of", "2024-03-22", allowed=(0, 3))["summary"]["successful"]
    same(decided, world.query("SELECT count(*) FROM customer WHERE batch > 0")[0][0], "customers of the next run")
    packed = world.query("SELECT customer_key, period, body FROM packed ORDER BY 1, 2", database=1)
    for name in ("cvm-journeys.db", "cvm-journeys.db-wal", "cvm-journeys.db-shm"):
        if os.path.exists(world.path(name)):
            os.unlink(world.path(name))
    # A writer makes the file anew, the run fills it.
    world.cvm("import", os.path.join(World.data, "permissions.ndjson"), "--quiet", allowed=(0, 3))
    again = world.query("SELECT customer_key, period, body FROM packed ORDER BY 1, 2", database=1)
    expect(again == packed, "journeys built anew differ")


def old_backups_of_the_store_tell_nothing_of_what_was_sealed(world):
    cvm_program.only_on_sqlite("files are its backup")
    backup = os.path.join(World.folder, "backup")
    shutil.rmtree(backup, ignore_errors=True)
    os.makedirs(backup)
    for name in ("cvm.db", "cvm-journeys.db"):
        shutil.copy(world.path(name), backup)
    world.erase("PX-880")
    same(world.places_of([PEOPLE["PX-880"]], backup), [], "files of the backup that hold the name")
    for name in ("cvm.db", "cvm-journeys.db"):
        shutil.copy(os.path.join(backup, name), world.folder)
    document = world.json("customer", "export", "PX-880")
    expect(document["events"], "the rows are back")
    expect(all(e["private"] is None for e in document["events"]), "and what was sealed is gone for good")
    expect("Barnaby" in json.dumps(world.json("customer", "export", "PX-77012")), "others can still be read")
    same(len(world.json("customer", "erase", "--restored", "--reason", REASON)["erased"]), 1, "customers that were back")
    same(world.places_of(words_of("PX-880")), [], "files that still tell of her after the second erasure")
    same(len(world.json("customer", "erase", "--restored", "--reason", REASON)["erased"]), 0, "customers that were back")
    same(world.cvm("customer", "erase", "--restored", "PX-7701", "--reason", REASON, allowed=None).code, 2, "both")


def erased_customers_are_refused_unless_they_are_allowed(world):
    world.erase("PX-880", "PX-7701")
    for name in os.listdir(world.folder):
        if name.startswith("rejects-"):
            os.unlink(world.path(name))
    report = world.import_notes(allowed=(3,)).document
    same((report["read"], report["rejected"]), (4, 2), "records read and rejected")
    with open(report["rejects_file"], encoding="utf-8") as stream:
        rejects = [json.loads(line) for line in stream]
    expect(all("erased" in r["reason"] and r["text"] == "" for r in rejects), f"reasons: {rejects}")
    same(world.places_of(words_of("PX-880")), [], "files that hold her name after the refusal")
    report = world.import_notes("--allow-erased").document
    same((report["stored"], report["rejected"], report["new_customers"]), (2, 0, 2), "with --allow-erased")
    expect("Zenobia" in json.dumps(world.json("customer", "export", "PX-880")), "she is back")
    world.erase("PX-880")
    same(world.places_of(words_of("PX-880")), [], "files that hold her name after the second erasure")
    same(world.query("SELECT count(*) FROM erased")[0][0], 3, "marks")


def a_second_erasure_is_no_error_and_an_unknown_customer_is(world):
    world.erase("PX-880")
    document = world.json("customer", "erase", "PX-880", "--reason", REASON)
    same(document["erased"][0]["was_erased_before"], True, "second call")
    pseudonym = world.query("SELECT customer_id FROM customer WHERE batch = 0")[0][0]
    same(world.erase("nobody", allowed=None).code, 1, "nobody")
    same(world.erase(pseudonym, allowed=None).code, 1, "a pseudonym")
    same(world.cvm("customer", "erase", "PX-7701", allowed=None).code, 2, "no reason")
    same(world.cvm("customer", "erase", "PX-7701", "--reason", "PX-7701 asked", allowed=None).code, 1, "a reason with the id")


def without_the_master_key_errors_name_it_and_nothing_is_shown(world):
    os.rename(world.path("cvm-master.key"), world.path("away"))
    for arguments in (("customer", "export", "PX-880"), ("customer", "show", "PX-880"), ("import", World.data),
                      ("customer", "erase", "PX-880", "--reason", REASON)):
        result = world.cvm(*arguments, allowed=None)
        expect(result.code == 1 and "master key" in result.err and "Zenobia" not in result.out, f"{result}")
    world.cvm("run", "--as-of", "2024-03-23", "--quiet", allowed=(0, 3))  # decides by what is not personal
    os.rename(world.path("away"), world.path("cvm-master.key"))
    os.chmod(world.path("cvm-master.key"), 0o644)
    expect("others may read" in world.cvm("customer", "show", "PX-880", allowed=None).err, "rights are looked at")


def the_doctor_says_when_personal_data_lie_in_the_clear(world):
    def topics(of):
        return {f["topic"] for f in of.json("doctor", "--as-of", DAY, allowed=(0, 3))["findings"]}

    expect("privacy" not in topics(world), "not of a sealed store")
    expect("privacy" in topics(World(is_sealed=False)), "of a clear one")


def clear_stores_are_read_beside_sealed_rows_and_erased_too(_):
    world = World(is_sealed=False)
    with open(world.path("cvm.yaml"), "a", encoding="utf-8") as stream:
        stream.write("privacy:\n  master_key: cvm-master.key\n")
    later = os.path.join(World.folder, "sealed-later")
    os.makedirs(later, exist_ok=True)
    lines(os.path.join(later, "call_transcripts.ndjson"),
          [{**n, "date": "2024-03-15", "summary": n["summary"] + " again"} for n in notes()])
    world.cvm("import", later, "--quiet")
    rows = world.query("SELECT key_id FROM event e JOIN customer USING (customer_key) WHERE customer_id = 'PX-880' ORDER BY day")
    same(rows, [(0,), (1,)], "keys of her rows")
    text = json.dumps(world.json("customer", "export", "PX-880"))
    expect("about a bill again" in text and text.count("Zenobia Marchbanks called") == 2, "both are read")
    world.erase("PX-880")
    same(world.places_of(words_of("PX-880")), [], "files that still tell of her")


def an_erasure_killed_at_any_moment_is_completed_by_the_next(_):
    for n in range(int(os.environ.get("CVM_KILLS", "6"))):
        world = World()
        child = subprocess.Popen(
            world.deployment.command("customer", "erase", "PX-880", "Søren/9", "--reason", REASON, "--yes"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            child.wait(0.004 * (n * n + 1))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        world.erase("PX-880", "Søren/9")
        for customer in ("PX-880", "Søren/9"):
            same(world.places_of(words_of(customer)), [], f"files that still tell of {customer} after kill {n}")
        same(world.query("SELECT count(*) FROM erased")[0][0], 2, "marks")


def rotated(world):
    """The rest of a change of the master key, and what holds after it, wherever the first call was ended."""
    document = world.json("key", "rotate", "--new-master-key", world.path("new.key"), "--reason", "yearly")
    same(os.stat(world.path("new.key")).st_mode & 0o777, 0o600, "rights of the new key")
    result = world.cvm("customer", "export", "PX-77012", allowed=(1,))
    expect("master key" in result.err and "Barnaby" not in result.out, f"the old one opens nothing: {result}")
    os.rename(world.path("new.key"), world.path("cvm-master.key"))  # as cvm.yaml names it
    expect("Barnaby" in json.dumps(world.json("customer", "export", "PX-77012")), "the new one opens")
    same(world.import_notes(allowed=(3,)).document["rejected"], 1, "records of an erased customer")
    rows = [r for r in world.json("audit", "list", "--limit", 1000)["audit"] if r["action"] == "key"]
    same([(r["object"], r["why"]) for r in rows], [("master key " + document["master_key"], "yearly")], "audit rows")
    same(world.json("audit", "verify")["fault"], None, "fault of the audit log")
    return document


def a_new_master_key_takes_the_place_of_the_old_one(world):
    world.erase("PX-880")
    keys = sqlite3.connect(world.path("cvm-keys.db"))
    count = keys.execute("SELECT count(*) FROM data_key WHERE wrapped IS NOT NULL").fetchone()[0]
    keys.close()
    document = rotated(world)
    same((document["created"], document["was_done_before"], document["keys"]), (True, False, count), "the report")
    again = world.json("key", "rotate", "--new-master-key", world.path("cvm-master.key"))
    same((again["created"], again["was_done_before"], again["keys"]), (False, True, 0), "with the key that is in use")


def a_new_master_key_is_one_or_nothing_has_changed(world):
    same(world.cvm("key", "rotate", allowed=None).code, 2, "without a file")
    path = world.path("bad.key")
    for text, mode, words in (("0" * 63, 0o600, "hex digits"), ("0" * 64, 0o644, "others may read")):
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(path, mode)
        result = world.cvm("key", "rotate", "--new-master-key", path, allowed=(1,))
        expect(words in result.err, f"{result}")
    expect("Barnaby" in json.dumps(world.json("customer", "export", "PX-77012")), "the old one still opens")


def old_wrapping_that_a_reader_keeps_in_the_file_is_an_error_and_goes_with_the_next_call(world):
    world.erase("PX-880")
    reader = sqlite3.connect(world.path("cvm-keys.db"))
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM data_key").fetchone()
    command = ("key", "rotate", "--new-master-key", world.path("new.key"), "--reason", "yearly")
    expect("old wrapping is still in the file" in world.cvm(*command, allowed=(1,)).err, "the reader is in the way")
    reader.close()
    same(rotated(world)["was_done_before"], True, "keys were wrapped before")


def a_change_of_the_master_key_killed_at_any_moment_is_completed_by_the_next(_):
    done = set()
    for n in range(int(os.environ.get("CVM_KILLS", "6"))):
        world = World()
        world.erase("PX-880")
        child = subprocess.Popen(
            world.deployment.command("key", "rotate", "--new-master-key", world.path("new.key"), "--reason", "yearly"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            child.wait(0.004 * (n * n + 1))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        done.add(rotated(world)["was_done_before"])
    expect(False in done, "some call was killed before it had ended")


def main():
    program = sys.argv[1]
    with cvm_program.scratch("cvm-privacy-") as folder:
        World.folder = folder
        World.data = os.path.join(folder, "data")
        make_data(World.data)
        World.template, World.digest = {}, {}
        for name in ("sealed", "clear"):
            World.template[name], World.digest[name] = make_template(program, folder, name == "sealed")
        helpers = {n for n in ("notes", "permissions", "rotated", "words_of", "lines", "make_data", "make_template", "main", "expect", "same")}
        return cvm_program.run_rules(cvm_program.rules_of(globals(), but=helpers), World, sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
