#!/usr/bin/env python3
"""`cvm decide` with a cache: CVM [WORD...]. Whatever the cache is and whatever becomes of it, the answers are the same.

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import Skip, expect, same  # noqa: E402
from redis_server import RedisServer, is_there  # noqa: E402

RUN_DAY = "2024-03-20"
DAY = "2024-03-28"
LATER = "2024-08-01"
CUSTOMERS = 1500
ASKED = 9  # customers
MESSAGE = "retention_sms"


class World(cvm_program.World):
    """A base with a released run, and copies of it with other caches."""

    template = None
    number = 0

    def copy(self, cache):
        World.number += 1
        world = World(self.deployment.copy(f"{self.folder}-{World.number}"))
        world.set_cache(cache)
        return world

    def set_cache(self, cache):
        with open(self.path("cvm.yaml"), encoding="utf-8") as stream:
            text = stream.read()
        expect("cache: memory:64MB" in text, "the default of cvm.yaml")
        with open(self.path("cvm.yaml"), "w", encoding="utf-8") as stream:
            stream.write(text.replace("cache: memory:64MB", f"cache: {json.dumps(cache)}"))

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as stream:
            stream.write(text)
        return self.path(name)

    def decide(self, customer, *arguments):
        answer = self.json("decide", customer, "--as-of", DAY, *arguments)
        del answer["timestamp"]
        return answer

    def look(self, customer):
        """Reads all of the customer and gives nothing, so that the question can be put again."""
        return self.decide(customer, "--treatment", "ignore")


def make_template(program, folder):
    deployment = cvm_program.Deployment.create(program, os.path.join(folder, "template"), CUSTOMERS)
    deployment.cvm("generate", "--customers", CUSTOMERS, "--seed", 5, "--until", RUN_DAY, "--quiet")
    deployment.cvm("run", "--as-of", RUN_DAY, "--quiet")
    World.template = deployment


def start_redis():
    if not is_there():
        raise Skip("there is no redis-server here")
    return RedisServer()


def asked(world):
    """Some who got a message from the run, then some who got an offer."""
    return [
        row[0] for like in ("%sms", "personalized_offer", "loyalty%") for row in world.query(
            "SELECT customer_id FROM decision WHERE treatment LIKE ? ORDER BY customer_id LIMIT ?", (like, ASKED // 3))
    ]


def play(world, between=lambda step: None):
    """What a day brings, with questions before and after each change: all answers. `between` happens before each step."""
    answers = []
    customers = asked(world)

    def ask(step, arguments=("--treatment", "ignore")):
        between(step)
        for customer in customers:
            for _ in range(2):  # the second time from the cache, where it holds it
                answers.append((step, customer, world.decide(customer, *arguments)))

    ask("before")
    contacts = "".join(
        f"{customer},2024-03-2{day},call,marketing\n" for customer in customers[3:6] for day in (2, 4, 5, 6)
    )
    world.cvm("contact", "import", world.write("contacts.csv", f"customer_id,date,channel,purpose\n{contacts}"))
    ask("after contacts")
    decisions = world.query(
        "SELECT run_id || '.' || printf('%016x', customer_key) FROM decision WHERE customer_id IN (?, ?, ?)",
        customers[:3])
    lines = "".join(f"{row[0]},{state},2024-03-22\n" for row in decisions for state in ("sent", "opted_out"))
    path = world.write("stop.csv", f"decision_id,state,date\n{lines}")
    expect(world.json("outcome", "import", path, "--today", LATER)["opt_outs"] > 0, "nobody opted out")
    ask("after opt-outs")
    words = {"marketing": "N", "service_updates": "N", "billing": "N"}
    refused = [
        {"customer_id": customer, "last_updated": "2024-03-27",
         "permissions": {channel: words for channel in ("sms", "email", "call", "push_notifications")}}
        for customer in customers[6:9]
    ]
    world.cvm("import", world.write("permissions.json", json.dumps(refused)))
    ask("after a refusal of everything")
    ask("in earnest", ())
    return answers


def same_answers(found, wanted, what):
    for mine, other in zip(found, wanted, strict=True):
        same(mine, other, f"{what}: {other[0]}, customer {other[1]}")


def decisions_are_the_same_whatever_the_cache_and_its_fate(world):
    wanted = play(world.copy("memory:"))
    by_step = {step: [a for s, _, a in wanted if s == step] for step, _, _ in wanted}
    expect(any(answer.get("decision_id") for answer in by_step["in earnest"]), "nobody gets anything")
    with start_redis() as server:
        same_answers(play(world.copy(server.url)), wanted, "redis")
        expect(server.statistic("keyspace_hits") >= 4 * ASKED, "the cache was not used")

        def fate(step):
            if step == "after contacts":
                server.tell("FLUSHALL")
            elif step == "after opt-outs":
                server.stop()
            elif step == "after a refusal of everything":
                server.start()
            elif step == "in earnest":
                server.pause()

        same_answers(play(world.copy(server.url), fate), wanted, "redis that has bad luck")
        server.pause(False)


def a_change_of_a_customer_is_seen_by_the_next_decision_from_a_warm_cache(world):
    with start_redis() as server:
        mine = world.copy(server.url)
        other = world.copy("memory:")
        rows = world.query("SELECT customer_id FROM customer WHERE customer_key NOT IN (SELECT customer_key FROM decision)")
        for (customer,) in rows:  # the first to whom it may be given
            if other.decide(customer, "--treatment", MESSAGE)["selected_treatment"] == MESSAGE:
                break
        else:
            raise AssertionError("nobody would get a message")
        for _ in range(3):
            mine.look(customer)
        hits = server.statistic("keyspace_hits")
        expect(hits >= 2, "the cache is not warm")
        no = {"marketing": "N", "service_updates": "N", "billing": "N"}
        permission = {"customer_id": customer, "last_updated": "2024-03-27", "permissions": {"sms": no}}
        mine.cvm("import", mine.write("permissions.json", json.dumps([permission])))
        answer = mine.decide(customer, "--treatment", MESSAGE)
        same((answer["selected_treatment"], answer["reason"]), ("ignore", "no_consent"), "after the customer's word")


def nothing_that_names_a_customer_is_on_the_server(world):
    with start_redis() as server:
        mine = world.copy(server.url)
        for customer in asked(mine):
            mine.look(customer)
        expect(server.tell("DBSIZE") == f":{ASKED}", server.tell("DBSIZE"))
        server.tell("SAVE")
        with open(os.path.join(server.folder, "dump.rdb"), "rb") as stream:
            dump = stream.read()
        expect(len(dump) > ASKED * 100, "an empty dump")
        for customer in asked(mine):
            expect(customer.encode() not in dump, f"'{customer}' is on the server")


def a_store_made_anew_does_not_see_what_was_kept_of_the_old_one(world):
    with start_redis() as server:
        mine = world.copy(server.url)
        customer = asked(mine)[0]
        mine.look(customer)
        key_before = server.tell("RANDOMKEY")
        server.tell("FLUSHALL")
        mine.deployment.remove()
        cvm_program.Deployment.create(mine.program, mine.folder, CUSTOMERS)
        mine.set_cache(server.url)
        mine.cvm("generate", "--customers", CUSTOMERS, "--seed", 5, "--until", RUN_DAY, "--quiet")
        mine.look(customer)
        key_after = server.tell("RANDOMKEY")
        expect(key_before.split(":")[1] != key_after.split(":")[1], f"{key_before} and {key_after}")


def the_doctor_tells_of_a_cache_that_is_away_or_locked(world):
    def found(cache):
        findings = world.copy(cache).json("doctor", "--as-of", RUN_DAY, allowed=(0, 3))["findings"]
        return [(f["severity"], f["what"]) for f in findings if f["topic"] == "cache"]

    same(found("memory:1MB"), [], "memory")
    (severity, what), = found("redis://:secret@127.0.0.1:1")
    expect(severity == "warning" and "127.0.0.1:1" in what and "secret" not in what, what)
    (severity, what), = found("tape:")
    expect(severity == "problem" and "memory: and redis:" in what, what)
    with start_redis() as server:
        same(found(server.url), [], "redis")
        server.tell("CONFIG", "SET", "requirepass", "right")
        (severity, what), = found(server.url.replace("//", "//:wrong@"))
        expect(severity == "warning" and "refuses the user or the password" in what, what)
        expect("wrong" not in what and "right" not in what, what)


def a_cache_that_is_away_is_told_once_and_its_password_never(world):
    mine = world.copy("redis://:secret@127.0.0.1:1")
    customer = asked(mine)[0]
    result = mine.cvm("decide", customer, "--as-of", DAY, "--json")
    json.loads(result.out)
    same(result.err.count("redis_unavailable"), 1, f"warnings in {result.err}")
    expect("secret" not in result.err + result.out, result.err)
    for url, words in (("rediss://:secret@host", "TLS"), ("redis://:secret@host:x", "malformed"), ("tape:", "memory: and")):
        result = world.copy(url).cvm("decide", customer, "--json", allowed=(1,))
        expect(words in result.document["error"]["message"], result.out)
        expect("secret" not in result.err + result.out, result.out)


def main():
    program = os.path.abspath(sys.argv[1])
    own = ("World", "main", "make_template", "start_redis", "asked", "play", "same_answers", "expect", "same", "Skip",
           "RedisServer", "is_there")
    rules = cvm_program.rules_of(globals(), own)
    with cvm_program.scratch("cvm-cache-") as folder:
        make_template(program, folder)
        return cvm_program.run_rules(rules, lambda: World(World.template), sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
