#!/usr/bin/env python3
"""`cvm doctor`: each thing that hurts a run is found, told with why and how to mend it: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

DAY = "2026-03-01"
CUSTOMERS = 2000


class World(cvm_program.World):
    def doctor(self, day=DAY, code=None):
        arguments = ["doctor"] + (["--as-of", day] if day else [])
        document = self.json(*arguments, allowed=(0, 3))
        exit_code = self.cvm(*arguments, allowed=(0, 3)).code
        same(exit_code, 3 if document["problems"] else 0, "exit status")
        expect(code is None or exit_code == code, f"exit {exit_code}: {document}")
        return document["findings"]

    def find(self, topic, *words, day=DAY):
        """The findings of the topic that say all the words."""
        findings = self.doctor(day)
        for finding in findings:
            expect(all(finding[k] for k in ("severity", "topic", "what", "why", "fix")), f"incomplete: {finding}")
        return [f for f in findings if f["topic"] == topic and all(w in f["what"] for w in words)]

    def one(self, topic, severity, *words, day=DAY):
        found = self.find(topic, *words, day=day)
        same([f["severity"] for f in found], [severity], f"{topic} {words}: {found}")
        return found[0]

    def write(self, name, text):
        with open(self.path("catalogue", name), "w", encoding="utf-8") as stream:
            stream.write(text)

    def edit(self, name, before, after):
        with open(self.path("catalogue", name), encoding="utf-8") as stream:
            text = stream.read()
        expect(before in text, f"no '{before}' in {name}")
        self.write(name, text.replace(before, after))


TREATMENT = """treatment: {name}
enabled: true
custom: true
channel: {channel}
purpose: marketing
class: sales
{rules}
max_per_day: 10
cost: 1.00
response:
  reach: {{mean: 0.5, sd: 0.1}}
"""


def a_fresh_base_has_no_problem(world):
    world.doctor(code=0)


def a_score_whose_calibration_is_assumed_is_a_warning(world):
    finding = world.one("score", "warning", "churn_90d")
    expect("calibration" in finding["fix"], finding)
    world.edit("mappings/telecom.yaml", "calibration: assumed", "calibration: measured")
    world.json("apply")
    same(world.find("score"), [], "a measured one")


def a_score_that_declares_no_calibration_never_comes_into_force(world):
    world.edit("mappings/telecom.yaml", ", calibration: assumed", "")
    expect("calibration" in world.json("apply", allowed=(1,))["error"]["message"], "no calibration")
    world.edit("mappings/telecom.yaml", "slope: 1}", "slope: 1, calibration: assumed}")
    world.edit("values.yaml", "churn_feature: churn_90d", "churn_feature: tenure_months")
    same(world.json("apply", allowed=(1,))["error"]["status"], "invalid", "no score at all")


def rules_that_contradict_are_a_problem(world):
    rules = "eligible: tenure_months > 50\napplicable: tenure_months < 30 && churn_90d >= 0.1"
    world.write("treatments/never.yaml", TREATMENT.format(name="never", channel="email", rules=rules))
    world.json("apply")
    finding = world.one("rule", "problem", "contradict")
    expect("`tenure_months > 50`" in finding["what"] and "`tenure_months < 30`" in finding["what"], finding)
    rules = "eligible: tenure_months >= 30\napplicable: tenure_months <= 30"
    world.write("treatments/never.yaml", TREATMENT.format(name="never", channel="email", rules=rules))
    world.json("apply")
    same(world.find("rule", "contradict"), [], "30 is left")


def a_clause_that_nobody_passes_is_named(world):
    rules = "applicable: churn_90d >= 0.01 && tenure_months > 100000"
    world.write("treatments/dead.yaml", TREATMENT.format(name="dead", channel="email", rules=rules))
    world.json("apply")
    finding = world.one("rule", "warning", "treatment dead")
    expect("`tenure_months > 100000`" in finding["what"], finding)
    same(world.find("treatment", "dead"), [], "told once")


def a_treatment_that_its_rules_leave_to_nobody_is_named(world):
    rules = "applicable: tenure_months < 6 || tenure_months >= 6\neligible: tenure_months * 0 == 0 && tenure_months * 0 < 0"
    world.write("treatments/empty.yaml", TREATMENT.format(name="empty", channel="email", rules=rules))
    world.json("apply")
    expect(world.find("rule", "empty") or world.find("treatment", "empty"), "not named")


def unusable_treatments_are_named(world):
    world.json("treatment", "add", '{"description": "no channel", "id": "bare"}')
    world.json("treatment", "add", '{"description": "x", "id": "zero", "channel": "sms", "type": "service", "limit": 0}')
    world.json("treatment", "add", '{"description": "x", "id": "old", "channel": "sms", "type": "service",'
               ' "valid_to": "2026-02-28"}')
    world.one("treatment", "warning", "bare", "no channel")
    world.one("treatment", "warning", "zero", "limit of 0")
    world.one("treatment", "warning", "old", "has ended")
    world.json("treatment", "disable", "zero")
    same(world.find("treatment", "zero"), [], "a disabled one")


def content_that_is_missing_in_a_language_is_named(world):
    languages = {"en", "de", "fr", "es", "it", "pt", "pl"}
    read = {row[0]: row[1] for row in world.deployment.query(
        "SELECT language, count(*) FROM consent GROUP BY 1")}
    expect(len(languages & set(read)) >= 2, f"languages of the base: {read}")
    same(world.find("content"), [], "nobody said what is written")
    world.write("treatments/letter.yaml", TREATMENT.format(name="letter", channel="none", rules="") + "languages: [en]\n")
    world.json("apply")
    same(world.find("content"), [], "what makes no contact has no content")
    world.write("treatments/letter.yaml", TREATMENT.format(name="letter", channel="any", rules="") + "languages: [en]\n")
    world.json("apply")
    found = world.find("content", "letter")
    same({f["what"].split("'")[1] for f in found}, set(read) & languages - {"en"}, f"languages: {found}")
    expect(all("add that to `languages` in treatments/letter.yaml" in f["fix"] for f in found), found)
    world.json("treatment", "update", "letter", '{"languages": ["en", "' + '", "'.join(sorted(languages - {"en"})) + '"]}')
    same(world.find("content"), [], "written in all")


def triggers_for_nobody_and_for_everybody_are_named(world):
    for name, when in (("nobody", "tenure_months > 100000"), ("everybody", "event_count >= 0")):
        feature = "tenure_months >= 0 || !has(tenure_months)" if name == "everybody" else when
        world.write(f"triggers/{name}.yaml", f"trigger: {name}\ndescription: x\ncustom: true\nwhen: {feature}\n")
    world.json("apply")
    world.one("trigger", "warning", "nobody finds nobody")
    world.one("trigger", "warning", "everybody finds everybody")


def a_folder_that_is_not_in_force_is_told(world):
    same(world.find("catalogue"), [], "equal")
    world.edit("treatments/retention_sms.yaml", "priority: 2", "priority: 4")
    finding = world.one("catalogue", "warning", "differs")
    expect("cvm apply" in finding["fix"], finding)


def idle_capacity_of_the_last_run_is_a_note(world):
    same(world.find("capacity"), [], "before any run")
    world.json("run", "--as-of", DAY)
    finding = world.find("capacity", "loyalty_app")
    same([f["severity"] for f in finding], ["note"], f"idle: {world.find('capacity')}")


def plans_that_wait_are_told(world):
    with open(world.path("cvm.yaml"), encoding="utf-8") as stream:
        text = stream.read()
    with open(world.path("cvm.yaml"), "w", encoding="utf-8") as stream:
        stream.write(text.replace("release: auto", "release: manual"))
    run = world.json("run", "--as-of", DAY)
    same(run["plan_state"], "draft", "release: manual")
    finding = world.one("plan", "warning", run["run_id"], "waiting for approval")
    expect(f"cvm plan approve {run['run_id']}" in finding["fix"], finding)
    expect(f"cvm plan recall {run['run_id']} --why" in finding["fix"], finding)


def kill_switches_are_told(world):
    world.json("stop", "add", "channel", "sms", "--why", "wrong texts", allowed=(0, 1, 2))
    if not world.deployment.query("SELECT 1 FROM stop"):
        world.change("INSERT INTO stop (kind, id, at, who, why) VALUES ('channel', 'sms', 1000, 'x', 'wrong texts')")
    finding = world.one("stop", "warning", "channel sms", "wrong texts")
    expect("cvm stop lift channel sms --why" in finding["fix"], finding)


def learning_far_from_its_prior_is_a_note(world):
    world.change("INSERT INTO learning VALUES ('retention_email', 1000, 900, 900, 300, 0, 0, 0.0, 0, 0, 0.0)")
    found = world.find("learning", "retention_email")
    same([f["severity"] for f in found], ["note", "note"], f"reach 0.22, acceptance 0.05: {found}")


def a_stale_source_is_a_warning(world):
    expect(not world.find("source"), "fresh")
    found = world.find("source", day="2026-05-15")
    expect(found and all(f["severity"] == "warning" for f in found), f"75 days later: {found}")


def data_outside_the_window_is_a_problem(world):
    finding = world.one("data", "problem", "newest event", day="2036-01-01")
    expect("--as-of 2026-03-01" in finding["fix"] or "--as-of 2026-02" in finding["fix"], finding)
    world.one("clock", "warning", "in the future", day="2026-01-01")


def an_empty_store_is_a_problem(world):
    empty = cvm_program.Deployment.create(world.deployment.program, world.path("empty"), 1000)
    document = empty.json("doctor", allowed=(3,))
    expect(any(f["topic"] == "data" and f["severity"] == "problem" for f in document["findings"]), document)


def a_run_from_the_future_is_a_problem_of_the_clock(world):
    world.json("run", "--as-of", DAY)
    world.change("UPDATE run SET created_at = 9999999999999")
    world.one("clock", "problem", "was made in the future")


def nothing_is_changed(world):
    before = world.deployment.query("SELECT count(*), max(audit_id) FROM audit")
    world.doctor()
    same(world.deployment.query("SELECT count(*), max(audit_id) FROM audit"), before, "audit")


HELPERS = {"expect", "same", "main"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-doctor-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), CUSTOMERS)
        template.json("generate", "--customers", CUSTOMERS, "--seed", "3", "--until", DAY)
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
