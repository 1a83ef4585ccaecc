#!/usr/bin/env python3
"""`cvm rule check` and `cvm bench rules`, on a generated base: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import datetime
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

DAY = "2024-03-20"
CUSTOMERS = 300


class World(cvm_program.World):
    def check(self, rule, *arguments):
        return self.cvm("rule", "check", rule, "--json", *arguments).document

    def holds(self, rule):
        return self.check(rule, "--count", "--as-of", DAY)["count"]["holds"]


def a_rule_is_taken_apart(world):
    document = world.check("churn_90d >= 0.1 && (tenure_months > 12 || plan_type in ['contract'])")
    same(document["type"], "condition", "type")
    same([c["text"] for c in document["clauses"]],
         ["churn_90d >= 0.1", "tenure_months > 12 || plan_type in ['contract']"], "clauses")
    same(document["clauses"][0]["alternatives"], [], "alternatives of the first")
    same(document["clauses"][1]["alternatives"], ["tenure_months > 12", "plan_type in ['contract']"], "alternatives")
    same(document["clauses"][1]["reads"], ["tenure_months", "plan_type"], "what the second reads")
    same(sorted(f["name"] for f in document["reads"]), ["churn_90d", "plan_type", "tenure_months"], "reads")
    words = {f["name"]: f["words"] for f in document["reads"]}
    expect("contract" in words["plan_type"], "the words of a word")
    same(words["churn_90d"], [], "the words of a number")
    expect("count" not in document, "nothing is counted unasked")


def counts_follow_from_each_other(world):
    high = world.holds("churn_90d >= 0.1")
    expect(0 < high < CUSTOMERS, "some have a high score")
    same(world.holds("!(churn_90d >= 0.1)"), CUSTOMERS - high, "the others")
    same(world.holds("true"), CUSTOMERS, "a rule without clauses")
    same(world.holds("false"), 0, "never")
    document = world.check("churn_90d >= 0.1 && tenure_months > 12", "--count", "--as-of", DAY)
    same(document["count"]["customers"], CUSTOMERS, "customers")
    same(document["count"]["as_of"], DAY, "as of")
    same(document["clauses"][0]["customers"], high, "the first clause alone")
    expect(document["count"]["holds"] <= min(c["customers"] for c in document["clauses"]), "both")
    same(world.holds("churn_90d >= 0.1 || tenure_months > 12"),
         sum(c["customers"] for c in document["clauses"]) - document["count"]["holds"], "either")


def events_are_counted_as_the_rows_say(world):
    day = cvm_program.day_number(datetime.date.fromisoformat(DAY))
    counts = [n for (n,) in world.query(
        """SELECT count(*) FROM event JOIN source USING (source)
           WHERE source.name = 'call_transcripts' AND day BETWEEN ? AND ?
             AND json_extract(attributes, '$."contact.sentiment"') = 'negative'
           GROUP BY customer_key""", (day - 89, day))]
    expect(len(counts) > 10, "the base has negative calls")
    text = "count(call_transcripts, 90, contact.sentiment == 'negative')"
    for least in (1, 2, 3):
        same(world.holds(f"{text} >= {least}"), sum(n >= least for n in counts), f"at least {least}")
    found = world.check(text, "--count", "--as-of", DAY)
    same(found["type"], "number", "type")
    same((found["count"]["missing"], found["count"]["least"]), (0, 0), "a count is never missing")
    same(found["count"]["greatest"], max(counts), "the most")
    expect(abs(found["count"]["mean"] - sum(counts) / CUSTOMERS) < 1e-9, "the mean")
    same(world.holds("has(days_since(call_transcripts, 90))"), world.holds("count(call_transcripts, 90) > 0"),
         "who called has a last call")


def numbers_and_dates_have_a_range(world):
    number = world.check("churn_90d * 100", "--count", "--as-of", DAY)["count"]
    expect(0 <= number["least"] <= number["mean"] <= number["greatest"] <= 100, f"{number}")
    date = world.check("today + 3", "--count", "--as-of", DAY)
    same(date["type"], "date", "type")
    same((date["count"]["least"], date["count"]["greatest"]), ("2024-03-23", "2024-03-23"), "a date")
    nobody = world.check("1 / (churn_90d * 0)", "--count", "--as-of", DAY)["count"]
    same(nobody["missing"], CUSTOMERS, "missing")
    expect("least" not in nobody, "no range of nothing")


def counts_do_not_depend_on_threads(world):
    rule = "churn_90d * tenure_months / 7 + count(call_transcripts, 90) * 0.1"
    one = world.check(rule, "--count", "--as-of", DAY, "--threads", "1")
    two = world.check(rule, "--count", "--as-of", DAY, "--threads", "2")
    same(one, two, "with two threads")


def old_data_are_counted_as_of_their_last_day(world):
    same(world.check("true", "--count")["count"]["as_of"], DAY, "as of")


def mistakes_name_the_column(world):
    for rule, message in (
        ("chrun_90d > 1", "column 1: unknown feature 'chrun_90d'; did you mean 'churn_90d'?"),
        ("churn_90d = 1", "column 11: '=' is no comparison; equality is '=='"),
        ("plan_type == 'contrct'", "column 14: 'plan_type' is never 'contrct'; did you mean 'contract'?"),
        ("churn_90d >\n  'a' && true", "line 2, column 3: 'churn_90d' is a number and is never 'a'"),
        ("plan_type", "column 1: 'plan_type' is a word; a rule is a condition"),
        ("count(calls_transcripts) > 1", "column 1: "),
    ):
        result = world.cvm("rule", "check", rule, "--json", allowed=(1,))
        error = result.document["error"]
        expect(error["message"].startswith(message), f"'{rule}' gives '{error['message']}'")


def what_is_no_rule_or_no_day_is_a_mistake_of_use(world):
    for arguments in (("", ), (" \n", ), ("true", "--count", "--as-of", "2024-02-30")):
        same(world.cvm("rule", "check", *arguments, allowed=None).code, 2, str(arguments))
    same(world.cvm("trigger", "match", "churn_risk", "--as-of", "bogus", allowed=None).code, 2, "trigger match")


def words_that_no_journey_has_are_checked_and_not_counted(world):
    rule = "count(call_transcripts, mentions('quetzalcoatl')) > 0"
    same(world.check(rule)["type"], "condition", "type")
    result = world.cvm("rule", "check", rule, "--count", allowed=(1,))
    expect("do not know the words of mentions()" in result.err, result.err)


def people_get_a_table(world):
    text = world.cvm("rule", "check", "churn_90d >= 0.1 && tenure_months > 12", "--count", "--as-of", DAY).out
    expect(text.startswith("A condition:\n"), text)
    expect("and  tenure_months > 12" in text, text)
    expect("reads" in text and f"of {CUSTOMERS} customers" in text, text)
    expect("A number." in world.cvm("rule", "check", "1 + 1").out, "a number")


def the_bench_of_rules_tells_rate_threads_and_ratio(world):
    result = cvm_program.run([world.program, "bench", "rules", "--customers", 3000, "--repeat", 2, "--threads", 2,
                              "--json"])
    values = {r["name"]: r["value"] for r in result.document["results"]}
    same((values["customers"], values["rules"], values["threads"]), (3000, 10, 2), "what was measured")
    for name in ("seconds_best", "rules_x_customers_per_second", "to_memory_read", "memory_read_seconds_median"):
        expect(values[name] > 0, name)
    expect("events" not in values, "it reads no events")


def main():
    program = os.path.abspath(sys.argv[1])
    rules = [f for n, f in globals().items() if callable(f) and getattr(f, "__module__", "") == "__main__"
             and n not in ("expect", "same", "main", "World")]
    wanted = [f for f in rules if not sys.argv[2:] or any(word in f.__name__ for word in sys.argv[2:])]
    with tempfile.TemporaryDirectory() as folder:
        world = World(cvm_program.Deployment.create(program, os.path.join(folder, "base"), CUSTOMERS))
        world.cvm("generate", "--customers", CUSTOMERS, "--events", 25, "--seed", 7, "--until", DAY)
        for rule in wanted:
            rule(world)
            print(f"ok {rule.__name__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
