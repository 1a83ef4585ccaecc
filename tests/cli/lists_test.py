#!/usr/bin/env python3
"""Every list that may be long, walked in small pages while others write: nothing comes twice, nothing is lost:
CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

CUSTOMERS = 300
DAY = "2024-03-20"
KNOWN = "W0"  # who has a history


class World(cvm_program.World):
    """A base in which everything that is listed is there several times, and a writer that adds to all of it."""

    written = 0

    def write(self, name, records):
        with open(self.path(name), "w", encoding="utf-8") as stream:
            for record in records:
                stream.write(json.dumps(record) + "\n")
        return self.path(name)

    def write_more(self):
        """One thing more of some kind: customers, a batch, a run and plan, a catalogue, a setting, audit rows."""
        n = self.written = self.written + 1
        step = n % 4
        if step in (0, 2):
            new = [{"customer_id": f"N{n}-{i}", "plan_type": "contract"} for i in range(20)]
            self.json("import", self.write("customers.ndjson", [{"customer_id": KNOWN, "region": f"r{n}"}, *new]))
        elif step == 1:
            self.json("run", "--as-of", DAY, "--seed", 100 + n, "--replace")
        else:
            self.setting("keep_runs", n + 10)
            self.json("treatment", "update", "retention_sms", json.dumps({"priority": n}))

    def setting(self, name, value):
        with open(self.path("cvm.yaml"), encoding="utf-8") as stream:
            lines = [f"{name}: {value}\n" if line.startswith(name + ":") else line for line in stream]
        with open(self.path("cvm.yaml"), "w", encoding="utf-8") as stream:
            stream.writelines(lines)


class Listing:
    """How a list is asked for, where its elements stand, what one is known by, and where it goes on."""

    def __init__(self, command, key, name, option, limit, whole=1000):
        self.command, self.key, self.name, self.option = command, key, name, option
        self.limit, self.whole = limit, whole

    @property
    def next(self):
        return "next_cursor" if self.option == "--after" else "next_before"

    def page(self, world, limit, cursor=None):
        document = world.json(*self.command, "--limit", limit, *([self.option, cursor] if cursor else []))
        return [self.name(element) for element in document[self.key]], document[self.next]


class Export(Listing):
    """Whose elements stand in a file."""

    def page(self, world, limit, cursor=None):
        path = world.path("page.ndjson")
        document = world.json(*self.command, "--out", path, "--limit", limit, *([self.option, cursor] if cursor else []))
        with open(path, encoding="utf-8") as stream:
            return [self.name(json.loads(line)) for line in stream], document[self.next]


def by(*names):
    return lambda element: tuple(json.dumps(element[n]) for n in names)


LISTS = [
    Listing(("customer", "list"), "customers", by("customer_id"), "--after", 60),
    Listing(("plan", "list"), "plans", by("run_id"), "--before", 1),
    Listing(("batch", "list"), "batches", by("batch"), "--before", 1),
    Listing(("audit", "list"), "audit", by("id"), "--before", 9),
    Listing(("history", "catalogue"), "history", by("version"), "--before", 1),
    Listing(("history", "config"), "history", by("version"), "--before", 1),
    Listing(("history", "treatment", "retention_sms"), "history", by("version"), "--before", 1),
    Listing(("history", "customer", KNOWN), "history", by("batch", "what", "version"), "--before", 1),
    Listing(("trigger", "match", "billing_disputes", "--as-of", DAY), "matches", by("customer_id"), "--after", 5),
    Export(("export", "customers"), "", by("customer_id"), "--after", 60),
    Export(("export", "decisions"), "", by("decision_id"), "--after", 60),
    Export(("export", "audit"), "", by("id"), "--after", 9),
]


def walk(world, listing, between):
    found, cursor, pages = [], None, 0
    while True:
        page, cursor = listing.page(world, listing.limit, cursor)
        found += page
        pages += 1
        if cursor is None:
            return found, pages
        expect(pages < 500, f"{listing.command}: no end")
        between(pages)


def compare(world, listing, between):
    before, _ = listing.page(world, listing.whole)
    found, pages = walk(world, listing, between)
    after, _ = listing.page(world, listing.whole)
    what = " ".join(listing.command)
    expect(len(before) > 3 and pages > 2, f"{what}: {len(before)} elements in {pages} pages")
    same(len(found), len(set(found)), f"{what}: elements that came twice")
    lost = [e for e in before if e in set(after) and e not in set(found)]
    same(lost, [], f"{what}: elements that were there all the time and did not come")


def a_list_in_pages_is_the_list(world):
    for listing in LISTS:
        whole, cursor = listing.page(world, listing.whole)
        same(cursor, None, f"{listing.command}: after the whole list")
        same(walk(world, listing, lambda _: None)[0], whole, f"{listing.command}: in pages")


def between_pages_others_may_write_what_they_like(world):
    for listing in LISTS:
        compare(world, listing, lambda page: world.write_more() if page <= 2 else None)


def a_writer_may_be_at_work_all_the_time(world):
    """An import and a run that go on while pages are read."""
    new = [{"customer_id": f"M{i}", "date": DAY, "type": "call", "duration_minutes": 3} for i in range(6000)]
    path = world.write("call_transcripts.ndjson", new)
    for listing in (LISTS[0], LISTS[3], LISTS[9], LISTS[10]):
        child = subprocess.Popen(
            world.deployment.command("import", path, "--quiet"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            listing.whole = 100000
            compare(world, listing, lambda _: None)
        finally:
            child.kill()
            child.wait()


def what_is_no_cursor_is_refused(world):
    for arguments in (
        ("customer", "list", "--after", "x"),
        ("customer", "list", "--after", "ffffffffffffffff"),
        ("trigger", "match", "billing_disputes", "--after", "12"),
        ("batch", "list", "--before", "x"),
        ("audit", "list", "--before", "0"),
        ("export", "decisions", "--after", "x.y"),
    ):
        world.cvm(*arguments, allowed=(2,))
    same(world.json("plan", "list", "--before", "nothing", allowed=(1,))["error"]["status"], "not_found", "no such run")
    cursor = world.json("customer", "list", "--limit", 5)["next_cursor"]
    same(world.json("customer", "list", "--cursor", cursor), world.json("customer", "list", "--after", cursor), "older name")


HELPERS = {"expect", "same", "by", "walk", "compare", "main"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-lists-") as folder:
        template = World(cvm_program.Deployment.create(program, os.path.join(folder, "template"), 1000))
        template.cvm("generate", "--customers", CUSTOMERS, "--events", 20, "--seed", 3, "--until", DAY, "--quiet")
        template.json("import", template.write("customers.ndjson", [{"customer_id": KNOWN, "plan_type": "contract"}]))
        for _ in range(12):
            template.write_more()
        return cvm_program.run_rules(
            cvm_program.rules_of({k: v for k, v in globals().items() if not isinstance(v, type)}, HELPERS),
            lambda: World(template.deployment.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
