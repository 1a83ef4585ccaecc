#!/usr/bin/env python3
"""Plans that people approve, hold, release, hand over and recall, and kill switches: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import csv
import hashlib
import datetime
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

DAY = "2026-03-02"
NEXT_DAY = "2026-03-03"
CUSTOMERS = 900
ME = ""  # who the program thinks it is: "cli:root"


class World(cvm_program.World):
    """A base of its own, with `release: manual` and one draft plan."""

    def __init__(self, deployment):
        super().__init__(deployment)
        self.run_id = self.query("SELECT run_id FROM run")[0][0]

    def edit(self, name, pattern, replacement):
        with open(self.path(name), encoding="utf-8") as stream:
            text = stream.read()
        changed = re.sub(pattern, replacement, text, flags=re.M)
        expect(changed != text, f"no '{pattern}' in {name}")
        with open(self.path(name), "w", encoding="utf-8") as stream:
            stream.write(changed)

    def error(self, *arguments, code=1):
        return self.json(*arguments, allowed=(code,))["error"]

    def approve(self):
        return self.json("plan", "approve", "latest", "--as", "ANNA", "--why", "looked at it")

    def release(self):
        self.approve()
        return self.json("plan", "release", "latest")

    def decisions(self, where="1=1"):
        """(customer, treatment, channel, key) of what customers are given, in key order."""
        return self.deployment.query(
            "SELECT customer_id, treatment, channel, customer_key FROM decision_now "
            f"WHERE run_id = ? AND ghost = 0 AND {where} ORDER BY customer_key",
            (self.run_id,),
        )

    def states(self):
        return dict(
            self.deployment.query("SELECT state, count(*) FROM decision_now WHERE ghost = 0 GROUP BY state")
        )

    def confirmed(self, constraint):
        rows = self.deployment.query(
            "SELECT confirmed FROM ledger WHERE constraint_id = ? AND period = ?", (constraint, DAY)
        )
        return rows[0][0] if rows else 0

    def permit(self, customer, **channels):
        """Import a permission record: what is not named stays permitted."""
        allowed = {"call": True, "email": True, "sms": True, "push_notifications": True}
        allowed.update(channels)
        record = {
            "customer_id": customer,
            "last_updated": NEXT_DAY,
            "permissions": {c: {"marketing": yes, "service": yes} for c, yes in allowed.items()},
        }
        with open(self.path("permissions.json"), "w", encoding="utf-8") as stream:
            json.dump([record], stream)
        self.json("import", self.path("permissions.json"))


def files_of(folder):
    """Rows of the files that a folder's manifest names."""
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as stream:
        manifest = json.load(stream)
    rows = {}
    for file in manifest["files"]:
        path = os.path.join(folder, file["file"])
        data = open(path, "rb").read()
        same(hashlib.blake2b(data, digest_size=32).hexdigest(), file["digest"], path)
        same(len(data), file["bytes"], "bytes of " + path)
        with open(path, encoding="utf-8", newline="") as stream:
            if path.endswith(".csv"):
                lines = list(csv.DictReader(stream))
            else:
                lines = [json.loads(line) for line in stream]
        same(len(lines), file["rows"], "rows of " + path)
        rows[file["channel"]] = rows.get(file["channel"], []) + lines
    return manifest, rows


def handed_over(*folders):
    pairs = []
    for folder in folders:
        for lines in files_of(folder)[1].values():
            pairs += [(line["customer_id"], line["treatment"]) for line in lines]
    return sorted(pairs)


# ---- states ----


def a_plan_goes_from_draft_to_closed_and_each_step_says_who_and_why(world):
    same(world.json("plan", "show", "latest")["plan_state"], "draft", "after the run")
    approved = world.json("plan", "approve", "latest", "--as", "ANNA", "--why", "fine")
    same((approved["plan_state"], approved["plan_state_before"]), ("approved", "draft"), "approved")
    released = world.json("plan", "release", "latest")
    same(released["plan_state"], "released", "released")
    same((released["checked"], released["withdrawn"]["count"]), (len(world.decisions()), 0), "checked")
    same(world.states(), {1: len(world.decisions())}, "decisions follow their plan")
    same(world.json("plan", "close", "latest", "--why", "over")["plan_state"], "closed", "closed")
    shown = world.json("plan", "show", "latest")
    same(shown["created_by"], ME, "who made it")
    same(
        [(h["step"], h["who"], h["why"]) for h in shown["history"]],
        [("approved", ME + " as ANNA", "fine"), ("released", ME, ""), ("closed", ME, "over")],
        "history",
    )
    audit = [r for r in world.json("audit", "list")["audit"] if r["action"] == "plan"]
    same([r["after"]["state"] for r in audit], ["closed", "released", "approved"], "audit")


def who_makes_a_plan_does_not_approve_it(world):
    error = world.error("plan", "approve", "latest")
    same(error["status"], "denied", "status")
    expect("second person" in error["hint"], str(error))
    person = ME.split(":")[1]
    same(world.error("plan", "approve", "latest", "--as", person)["status"], "denied", "under the same name")
    same(world.error("plan", "approve", "latest", "--as", ME)["status"], "denied", "as the audit writes it")
    same(world.json("plan", "show", "latest")["plan_state"], "draft", "state")
    world.edit("cvm.yaml", "^release: manual$", "release: manual\napproval: same_person")
    same(world.json("plan", "approve", "latest")["plan_state"], "approved", "same_person")


def approval_is_a_known_word(world):
    world.edit("cvm.yaml", "^release: manual$", "release: manual\napproval: nobody")
    error = world.error("plan", "list")
    expect("second_person" in error["message"] and "cvm.yaml:" in error["where"], str(error))


def steps_that_are_not_allowed_are_refused_and_change_nothing(world):
    for command, state in (("release", "draft"), ("close", "draft"), ("export", "draft")):
        options = {"export": ["--out", world.path("x")]}.get(command, [])
        error = world.error("plan", command, "latest", *options)
        same(error["status"], "conflict", command)
        expect("draft" in error["message"], str(error))
    world.release()
    for command, options in (("approve", []), ("release", []), ("hold", ["--why", "x"])):
        same(world.error("plan", command, "latest", *options)["status"], "conflict", command + " of a released one")
    world.json("plan", "recall", "latest", "--why", "wrong price")
    for command, options in (("approve", []), ("release", []), ("close", []), ("recall", ["--why", "x"])):
        same(world.error("plan", command, "latest", *options)["status"], "conflict", command + " of a recalled one")
    same(len(world.json("plan", "show", "latest")["history"]), 3, "steps")
    same(world.error("plan", "approve", "2099")["status"], "not_found", "no such run")


def holding_recalling_and_stopping_say_why(world):
    for command in (["plan", "hold", "latest"], ["plan", "recall", "latest"], ["stop", "add", "channel", "sms"]):
        expect("--why" in world.error(*command, code=2)["message"], str(command))
    same(world.json("plan", "show", "latest")["plan_state"], "draft", "state")


def a_held_plan_goes_on_when_a_person_says_so(world):
    same(world.json("plan", "hold", "latest", "--why", "prices")["plan_state"], "held", "held")
    expect("approve" in world.error("plan", "release", "latest")["hint"], "hint")
    same(world.json("plan", "hold", "latest", "--why", "ok", "--lift")["plan_state"], "draft", "lifted")
    world.json("plan", "hold", "latest", "--why", "again")
    same(world.approve()["plan_state"], "approved", "held plans can be approved")


def a_unique_prefix_names_a_run(world):
    same(world.json("plan", "approve", world.run_id[:14], "--as", "ANNA")["run_id"], world.run_id, "run")
    expect("0.000 in all" not in world.cvm("plan", "show", "latest").out, "no sum that nobody took")
    world.json("run", "--as-of", NEXT_DAY)
    expect("plan list" in world.error("plan", "show", world.run_id[:5])["hint"], "several begin so")


def with_release_auto_a_plan_is_released_at_once(world):
    world.edit("cvm.yaml", "^release: manual$", "release: auto")
    document = world.json("run", "--as-of", NEXT_DAY)
    same(document["plan_state"], "released", "state")


# ---- kill switches ----


def a_stopped_treatment_is_withdrawn_at_the_release_and_gives_its_capacity_back(world):
    stopped = [d for d in world.decisions() if d[1] == "loyalty_points"]
    before = world.confirmed("capacity:loyalty_points")
    same(before, len(stopped), "used before")
    expect(before > 0, "the plan gives some")
    world.approve()
    world.json("stop", "add", "treatment", "loyalty_points", "--why", "wrong number of points")
    released = world.json("plan", "release", "latest")
    same(released["withdrawn"]["count"], len(stopped), "withdrawn")
    same(released["withdrawn"]["by_reason"], {"stopped": len(stopped)}, "reasons")
    same(
        sorted(d["customer_id"] for d in released["withdrawn"]["decisions"]),
        sorted(d[0] for d in stopped),
        "who",
    )
    same(world.confirmed("capacity:loyalty_points"), 0, "used afterwards")
    world.json("plan", "export", "latest", "--out", world.path("x"))
    given = handed_over(world.path("x"))
    expect(not [t for _, t in given if t == "loyalty_points"], "none is handed over")
    same(len(given), len(world.decisions("state = 1")), "the others are")


def a_stopped_channel_is_left_out_of_an_export(world):
    world.release()
    sms = len([d for d in world.decisions() if d[2] == "sms"])
    expect(sms > 0, "the plan has some")
    world.json("stop", "add", "channel", "sms", "--why", "the gateway sends twice")
    document = world.json("plan", "export", "latest", "--out", world.path("x"))
    same(document["withdrawn"]["by_reason"], {"stopped": sms}, "withdrawn")
    expect("sms" not in files_of(world.path("x"))[1], "no file")
    same(world.json("plan", "show", "latest")["plan_state"], "released", "state")


def stops_are_listed_lifted_and_audited(world):
    same(world.json("stop", "list")["stops"], [], "none")
    start = time.monotonic()
    world.json("stop", "add", "treatment", "loyalty_points", "--why", "points", "--as", "BEN")
    world.json("stop", "add", "channel", "sms", "--why", "gateway")
    expect(time.monotonic() - start < 2, "within a second each")
    same(
        [(s["kind"], s["id"], s["who"], s["why"]) for s in world.json("stop", "list")["stops"]],
        [("channel", "sms", ME, "gateway"), ("treatment", "loyalty_points", ME + " as BEN", "points")],
        "stops",
    )
    same(world.error("stop", "add", "channel", "sms", "--why", "x")["status"], "conflict", "twice")
    same(world.error("stop", "add", "channel", "fax", "--why", "x")["status"], "not_found", "no such channel")
    error = world.error("stop", "add", "treatment", "loyalty_point", "--why", "x")
    expect("loyalty_points" in error["hint"], str(error))
    world.error("stop", "add", "planet", "mars", "--why", "x", code=2)
    same(world.json("stop", "lift", "channel", "sms", "--why", "repaired")["stopped"], False, "lifted")
    same(world.error("stop", "lift", "channel", "sms", "--why", "x")["status"], "not_found", "lifted twice")
    audit = [(r["object"], r["why"]) for r in world.json("audit", "list")["audit"] if r["action"] == "stop"]
    same(audit, [("channel sms", "repaired"), ("channel sms", "gateway"), ("treatment loyalty_points", "points")],
         "audit")


def a_run_gives_nothing_that_is_stopped(world):
    world.json("stop", "add", "treatment", "loyalty_points", "--why", "points")
    world.json("stop", "add", "channel", "sms", "--why", "gateway")
    world.json("run", "--as-of", NEXT_DAY)
    given = world.deployment.query(
        "SELECT treatment, channel FROM decision WHERE run_id <> ? AND ghost = 0", (world.run_id,)
    )
    expect(given, "others are given")
    expect(not [g for g in given if g[0] == "loyalty_points" or g[1] == "sms"], "nothing stopped")


# ---- consent and suppression ----


def consent_withdrawn_after_the_approval_withdraws_the_decision(world):
    customer, treatment, channel, _ = [d for d in world.decisions() if d[2] == "sms"][0]
    used = world.confirmed("capacity:" + treatment)
    world.approve()
    world.permit(customer, sms=False)
    released = world.json("plan", "release", "latest")
    same(
        released["withdrawn"]["decisions"],
        [{"customer_id": customer, "treatment": treatment, "reason": "no_consent"}],
        f"withdrawn from {channel}",
    )
    same(world.confirmed("capacity:" + treatment), used - 1, "capacity")


def consent_withdrawn_after_the_release_is_seen_by_the_export(world):
    world.release()
    customer, treatment, _, _ = [d for d in world.decisions() if d[2] == "email"][0]
    world.permit(customer, email=False)
    document = world.json("plan", "export", "latest", "--out", world.path("x"))
    same(
        document["withdrawn"]["decisions"],
        [{"customer_id": customer, "treatment": treatment, "reason": "no_consent"}],
        "withdrawn",
    )
    manifest, _ = files_of(world.path("x"))
    same(manifest["withdrawn"], {"no_consent": 1}, "manifest")
    expect(customer not in [c for c, _ in handed_over(world.path("x"))], "not in a file")


def a_suppression_that_came_since_withdraws_the_decision(world):
    customer = [d for d in world.decisions() if d[2] == "call"][0][0]
    world.approve()
    record = {"customer_id": customer, "date": DAY, "kind": "bereaved"}
    with open(world.path("suppressions.json"), "w", encoding="utf-8") as stream:
        json.dump([record], stream)
    world.json("import", world.path("suppressions.json"))
    released = world.json("plan", "release", "latest")["withdrawn"]
    same([(d["customer_id"], d["reason"]) for d in released["decisions"]], [(customer, "suppressed")], "withdrawn")


def two_plans_that_waited_do_not_give_the_same_thing_twice(world):
    first = world.run_id
    next_day = (datetime.date.fromisoformat(DAY) + datetime.timedelta(days=1)).isoformat()
    second = world.json("run", "--as-of", next_day)["run_id"]
    for run in (first, second):
        world.json("plan", "approve", run, "--as", "ANNA", "--why", "after the weekend")
        released = world.json("plan", "release", run)
    expect(released["withdrawn"]["by_reason"].get("contact_policy", 0) > 0, f"withdrawn: {released['withdrawn']}")
    again = world.deployment.query(
        "SELECT count(*) FROM decision_now a JOIN decision_now b USING (customer_key, treatment)"
        " WHERE a.run_id = ? AND b.run_id = ? AND a.ghost = 0 AND b.ghost = 0 AND b.state < 2",
        (first, second),
    )
    same(again, [(0,)], "the same treatment in both")


def the_plan_of_some_customers_is_checked_and_handed_over_too(world):
    asked = [d for d in world.decisions() if d[2] == "sms"][:3]
    world.json("plan", "recall", "latest", "--why", "anew")
    run = world.json("run", "--as-of", DAY, "--customers", ",".join(d[0] for d in asked))["run_id"]
    world.run_id = run
    given = world.decisions()
    expect(len(given) > 1, "they get something")
    world.approve()
    world.permit(given[0][0], call=False, email=False, sms=False, push_notifications=False)
    released = world.json("plan", "release", "latest")
    gone = [given[0]] if given[0][2] != "none" else []
    same((released["checked"], released["withdrawn"]["count"]), (len(given), len(gone)), "checked")
    world.json("plan", "export", "latest", "--out", world.path("x"))
    same(handed_over(world.path("x")), sorted((d[0], d[1]) for d in given if d not in gone), "handed over")


# ---- export ----


def every_decision_is_handed_over_once_and_no_ghost_is(world):
    world.release()
    document = world.json("plan", "export", "latest", "--out", world.path("x"))
    manifest, rows = files_of(world.path("x"))
    same(handed_over(world.path("x")), sorted((d[0], d[1]) for d in world.decisions()), "rows")
    for channel, lines in rows.items():
        same(
            [line["customer_id"] for line in lines],
            [d[0] for d in world.decisions() if d[2] == channel],
            "key order of " + channel,
        )
    ghosts = {c for (c,) in world.deployment.query("SELECT customer_id FROM decision WHERE ghost = 1")}
    expect(not ghosts & {c for c, _ in handed_over(world.path("x"))}, "ghosts")
    same(manifest["not_included"]["control_group"], len(ghosts), "counted")
    same((manifest["run_id"], manifest["as_of"], manifest["kind"]), (world.run_id, DAY, "full"), "manifest")
    same(manifest["created_by"], ME, "who")
    same(sum(sum(f["by_reason"].values()) for f in manifest["files"]), len(world.decisions()), "reasons")
    same(document["rows"], len(world.decisions()), "told")
    ids = {line["decision_id"] for lines in rows.values() for line in lines}
    wanted = {f"{world.run_id}.{d[3]:016x}" for d in world.decisions()}
    same(ids, wanted, "decision ids")
    expect(all(line["is_test"] in (False, "false") for lines in rows.values() for line in lines), "no test")
    same(
        dict(world.deployment.query("SELECT e.file, count(*) FROM decision d JOIN plan_export e USING (export) "
                                    "GROUP BY 1")),
        {f["file"]: f["rows"] for f in manifest["files"]},
        "noted in the store",
    )


def exporting_again_gives_only_what_is_left(world):
    world.release()
    world.json("plan", "export", "latest", "--out", world.path("x"), "--channel", "call")
    same(set(files_of(world.path("x"))[1]), {"call"}, "channels")
    world.json("plan", "export", "latest", "--out", world.path("y"))
    expect("call" not in files_of(world.path("y"))[1], "not twice")
    same(handed_over(world.path("x"), world.path("y")), sorted((d[0], d[1]) for d in world.decisions()), "all")
    document = world.json("plan", "export", "latest", "--out", world.path("z"))
    same((document["rows"], document["files"], document["manifest"]), (0, [], None), "nothing left")
    same(os.listdir(world.path("z")), [], "no file")
    world.json("plan", "export", "latest", "--out", world.path("again"), "--again")
    for folder in ("x", "y"):
        for name in os.listdir(world.path(folder)):
            if name != "manifest.json":
                one, other = (open(world.path(f, name), "rb").read() for f in (folder, "again"))
                expect(one == other, f"{name} is the same again")
    same(len(world.json("plan", "show", "latest")["exports"]), len(os.listdir(world.path("again"))) - 1, "exports")


def a_pilot_is_a_share_of_the_customers_and_the_others_come_later(world):
    world.release()
    count = len(world.decisions())
    small = world.json("plan", "export", "latest", "--out", world.path("x"), "--pilot", "0.2")["rows"]
    expect(0.1 * count < small < 0.3 * count, f"{small} of {count}")
    same(files_of(world.path("x"))[0]["share"], 0.2, "manifest")
    same(world.json("plan", "export", "latest", "--out", world.path("y"), "--pilot", "0.2")["rows"], 0, "the same ones")
    world.json("plan", "export", "latest", "--out", world.path("y"), "--pilot", "0.5")
    world.json("plan", "export", "latest", "--out", world.path("z"))
    same(
        handed_over(world.path("x"), world.path("y"), world.path("z")),
        sorted((d[0], d[1]) for d in world.decisions()),
        "each once",
    )
    for share in ("0", "1", "2", "much"):
        world.error("plan", "export", "latest", "--out", world.path("v"), "--pilot", share, code=2)


def a_test_goes_to_test_recipients_only(world):
    world.release()
    error = world.error("plan", "export", "latest", "--out", world.path("t"), "--test")
    expect("test_recipients" in error["hint"], str(error))
    world.edit("catalogue/channels/sms.yaml", r"test_recipients: \[\]", "test_recipients: [ANNA, BEN]")
    world.cvm("apply", "--quiet")
    document = world.json("plan", "export", "latest", "--out", world.path("t"), "--test")
    manifest, rows = files_of(world.path("t"))
    treatments = {d[1] for d in world.decisions() if d[2] == "sms"}
    same(set(rows), {"sms"}, "channels")
    same(
        sorted((r["customer_id"], r["treatment"]) for r in rows["sms"]),
        sorted((who, t) for who in ("ANNA", "BEN") for t in treatments),
        "each treatment to each",
    )
    expect(all(r["is_test"] == "true" and r["decision_id"].startswith("test-") for r in rows["sms"]), "marked")
    same(manifest["kind"], "test", "manifest")
    same(document["rows"], 2 * len(treatments), "rows")
    same(world.deployment.query("SELECT count(*) FROM decision WHERE export <> 0"), [(0,)], "nothing is handed over")


def columns_are_as_the_catalogue_says_and_no_cell_is_a_formula(world):
    columns = (
        'channel: sms\nformat: csv\ndelimiter: ";"\ncolumns:\n'
        "  - {column: id, field: customer_id}\n"
        '  - {column: "+sender", constant: "=1+1"}\n'
        '  - {column: note, constant: "a;b \\"c\\""}\n'
        "  - {column: treatment, field: treatment}\n"
        "  - {column: worth, field: value}\n"
        "  - {column: stress, feature: FEATURE}\n"
    )
    features = re.findall(r"feature: ([a-z_0-9]+)", open(world.path("catalogue", "features.yaml"), encoding="utf-8").read())
    expect(features, "features")
    with open(world.path("catalogue", "channels", "sms.yaml"), "w", encoding="utf-8") as stream:
        stream.write(columns.replace("FEATURE", features[0]))
    world.cvm("apply", "--quiet")
    world.release()
    document = world.json("plan", "export", "latest", "--out", world.path("x"), "--channel", "sms")
    with open(world.path("x", document["files"][0]["file"]), encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream, delimiter=";"))
    same(rows[0], ["id", "'+sender", "note", "treatment", "worth", "stress"], "head")
    sms = [d for d in world.decisions() if d[2] == "sms"]
    same([r[0] for r in rows[1:]], [d[0] for d in sms], "rows")
    expect(all(r[1] == "'=1+1" and r[2] == 'a;b "c"' for r in rows[1:]), "constants")
    values = dict(world.deployment.query("SELECT customer_id, value FROM decision"))
    expect(all(float(r[4]) == values[r[0]] for r in rows[1:]), "values in full")
    told = world.json("journey", rows[1][0], "--as-of", DAY)["features"][features[0]]
    shown = rows[1][5]
    expect(shown == "" if told is None else shown == told or float(shown) == told, f"feature {shown} is {told}")


def mistakes_in_a_channel_file_are_named_with_their_line(world):
    for pattern, replacement, word in (
        ("field: treatment", "field: treatmnet", "treatment"),
        ("field: treatment", "feature: no_such_feature", "no_such_feature"),
        ("channel: sms", "channel: any", "channel"),
        ("column: customer_id", "column: decision_id", "twice"),
    ):
        before = open(world.path("catalogue", "channels", "sms.yaml"), encoding="utf-8").read()
        world.edit("catalogue/channels/sms.yaml", pattern, replacement)
        error = world.error("apply")
        expect(word in error["message"] and "channels/sms.yaml:" in error["where"], str(error))
        with open(world.path("catalogue", "channels", "sms.yaml"), "w", encoding="utf-8") as stream:
            stream.write(before)
    world.edit("catalogue/release.yaml", "volume_change", "volume_chnage")
    error = world.error("apply")
    expect("release.yaml:" in error["where"], str(error))


# ---- when it goes wrong ----


def an_unwritable_folder_changes_nothing(world):
    world.release()
    with open(world.path("file"), "w", encoding="utf-8") as stream:
        stream.write("in the way")
    world.error("plan", "export", "latest", "--out", world.path("file"))
    world.error("plan", "export", "latest", "--out", world.path("file", "below"))
    world.error("plan", "export", "latest", "--out", "/proc/nowhere")
    same(world.deployment.query("SELECT count(*) FROM plan_export"), [(0,)], "exports")
    world.json("plan", "export", "latest", "--out", world.path("x"))
    same(len(handed_over(world.path("x"))), len(world.decisions()), "handed over")


def a_full_disk_leaves_no_file_and_hands_nothing_over(world):
    world.edit("catalogue/channels/sms.yaml", "^columns:$", "columns:\n  - {column: filler, constant: '%s'}" % ("x" * 9000))
    world.cvm("apply", "--quiet")
    world.release()

    def no_room():  # for more than the store itself opens
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 17, 1 << 17))

    command = world.deployment.command("plan", "export", "latest", "--out", world.path("x"), "--json")
    result = subprocess.run(command, capture_output=True, text=True, preexec_fn=no_room, check=False)
    same(result.returncode, 1, result.stderr + result.stdout)
    expect("File too large" in json.loads(result.stdout)["error"]["message"], result.stdout)
    same(os.listdir(world.path("x")), [], "files")
    same(world.deployment.query("SELECT count(*) FROM decision WHERE export <> 0"), [(0,)], "handed over")
    world.json("plan", "export", "latest", "--out", world.path("x"))
    same(len(handed_over(world.path("x"))), len(world.decisions()), "afterwards")


def killed_at_any_moment_files_are_whole_or_absent(world):
    world.release()
    decisions = sorted((d[0], d[1]) for d in world.decisions())

    def shown(names):
        return [n for n in names if not n.startswith(".")]

    moments = {
        "the folder is there": lambda names: True,
        "rows are written": lambda names: len(names) > len(shown(names)),
        "a file is whole": shown,
        "all files are whole": lambda names: len(shown(names)) >= 5,
        "the manifest is there": lambda names: "manifest.json" in names,
    }
    for what, has_come in moments.items():
        copy = world.deployment.copy(world.path("..", "killed"))
        folder = os.path.join(copy.folder, "x")
        child = subprocess.Popen(
            copy.command("plan", "export", "latest", "--out", folder, "--quiet"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        while child.poll() is None and not (os.path.isdir(folder) and has_come(os.listdir(folder))):
            pass
        child.kill()
        child.wait()
        names = shown(os.listdir(folder))
        noted = copy.query("SELECT count(*) FROM decision WHERE export <> 0")[0][0]
        expect(noted in (0, len(decisions)), f"{what}: {noted} noted: all or nothing")
        copy.json("plan", "export", "latest", "--out", folder + "y", *(["--again"] if noted else []))
        same(handed_over(folder + "y"), decisions, f"{what}: once each")
        for name in names:
            if name != "manifest.json":
                one, other = (open(os.path.join(f, name), "rb").read() for f in (folder, folder + "y"))
                expect(one == other, f"{what}: {name} is whole")
        if "manifest.json" in names:
            same(handed_over(folder), decisions, f"{what}: a manifest stands for all")
            expect(noted, "and the store knows")
        copy.remove()


# ---- recall ----


def a_recalled_plan_gives_its_capacity_back_and_takes_back_what_was_handed_over(world):
    world.release()
    world.json("plan", "export", "latest", "--out", world.path("x"), "--pilot", "0.3")
    handed = files_of(world.path("x"))[1]
    used = world.deployment.query("SELECT sum(confirmed) FROM ledger WHERE constraint_id LIKE 'capacity:%'")[0][0]
    expect(used > 0, "something is used")
    document = world.json("plan", "recall", "latest", "--why", "wrong price")
    same(document["withdrawn"], len(world.decisions()), "withdrawn")
    same(world.json("plan", "show", "latest")["states"], {"withdrawn": document["withdrawn"]}, "states")
    expect(f"Now {document['withdrawn']} withdrawn" in world.cvm("plan", "show", "latest").out, "for people")
    same(document["handed_over"], sum(map(len, handed.values())), "handed over")
    same(set(world.states()), {15}, "all read as withdrawn")
    same(world.deployment.query("SELECT sum(confirmed) FROM ledger"), [(0,)], "everything is returned")
    world.json("plan", "recall", "latest", "--why", "the files", "--out", world.path("r"))
    manifest, rows = files_of(world.path("r"))
    same(manifest["kind"], "recall", "manifest")
    for channel, lines in handed.items():
        same(
            [(r["decision_id"], r["customer_id"]) for r in rows[channel]],
            [(r["decision_id"], r["customer_id"]) for r in lines],
            channel,
        )
        expect(all(os.path.exists(world.path("x", r["file"])) for r in rows[channel]), "names the file")
    same(world.error("plan", "export", "latest", "--out", world.path("z"))["status"], "conflict", "no more exports")
    world.json("run", "--as-of", DAY, "--replace")


def whom_a_recalled_plan_has_reached_is_not_decided_again(world):
    world.release()
    world.json("plan", "export", "latest", "--out", world.path("x"))
    run, key, customer = world.deployment.query(
        "SELECT run_id, printf('%016x', customer_key), customer_id FROM decision WHERE channel = 'sms' AND ghost = 0")[0]
    with open(world.path("sent.ndjson"), "w", encoding="utf-8") as stream:
        json.dump({"decision_id": f"{run}.{key}", "state": "sent", "date": NEXT_DAY}, stream)
    world.json("outcome", "import", world.path("sent.ndjson"))
    world.json("plan", "recall", "latest", "--why", "x")
    world.json("run", "--as-of", DAY, "--replace")
    second = world.json("plan", "show", "latest")["run_id"]
    given = world.deployment.query("SELECT customer_id FROM decision WHERE run_id = ?", (second,))
    expect(given and (customer,) not in given, "the others are decided again, not who has got the text")
    same(world.json("decide", customer, "--as-of", DAY)["decision_id"], f"{run}.{key}", "the decision that reached")


def a_recall_is_done_although_its_files_can_not_be_written(world):
    world.release()
    world.json("plan", "export", "latest", "--out", world.path("x"))
    error = world.error("plan", "recall", "latest", "--why", "x", "--out", world.path("cvm.yaml"))
    expect("the plan is recalled" in error["message"], str(error))
    same(world.json("plan", "show", "latest")["plan_state"], "recalled", "state")
    world.json("plan", "recall", "latest", "--why", "x", "--out", world.path("r"))
    same(handed_over(world.path("r")), handed_over(world.path("x")), "afterwards")


def single_decisions_are_no_plan_to_recall_or_export(world):
    world.json("plan", "recall", "latest", "--why", "anew")
    for customer, *_ in world.decisions("1=1")[:20]:
        world.json("decide", customer, "--as-of", DAY)
    runs = [p["run_id"] for p in world.json("plan", "list")["plans"] if "decide" in p["run_id"]]
    expect(runs, "a run of single decisions")
    for command in (["recall", runs[0], "--why", "x"], ["export", runs[0], "--out", world.path("x")], ["close", runs[0]]):
        error = world.error("plan", *command)
        same(error["status"], "conflict", str(command))
        expect("single customers" in error["message"], str(error))


def what_is_handed_over_is_not_replaced_and_a_plan_of_which_nothing_is_left_is_recalled(world):
    world.json("run", "--as-of", DAY, "--replace")
    first, second = world.run_id, world.json("plan", "show", "latest")["run_id"]
    same(world.json("plan", "show", first)["plan_state"], "recalled", "replaced as a whole")
    world.approve()
    world.json("plan", "release", "latest")
    world.json("plan", "export", "latest", "--out", world.path("x"), "--channel", "sms")
    given = {customer for customer, _ in handed_over(world.path("x"))}
    expect(given, "nobody was handed over")
    world.json("run", "--as-of", DAY, "--replace")
    third = world.json("plan", "show", "latest")["run_id"]
    expect(third != second, "the same run")
    same(world.json("plan", "show", second)["plan_state"], "released", "a channel has some of it")
    again = world.deployment.query(
        "SELECT customer_id FROM decision WHERE run_id = ? AND ghost = 0", (third,))
    expect(again, "the others are decided again")
    expect(not given & {row[0] for row in again}, "nobody is handed over twice")


# ---- what is different ----


def two_plans_are_compared_by_treatment_segment_and_cause(world):
    world.edit("catalogue/treatments/data_boost.yaml", "^max_per_day: .*$", "max_per_day: 2")
    world.cvm("apply", "--quiet")
    world.json("run", "--as-of", NEXT_DAY)
    diff = world.json("plan", "diff", "latest")
    same(diff["before_run_id"], world.run_id, "the run before it")
    runs = {world.run_id: "before", diff["run_id"]: "after"}
    given = {name: {} for name in runs.values()}
    for run, customer, treatment, value, spend in world.deployment.query(
        "SELECT run_id, customer_id, treatment, value, cost_micro + incentive_micro FROM decision WHERE ghost = 0"
    ):
        given[runs[run]][customer] = (treatment, value, spend)
    before, after = given["before"], given["after"]
    same(
        diff["customers"],
        {
            "gained": len(set(after) - set(before)),
            "lost": len(set(before) - set(after)),
            "changed": sum(before[c][0] != after[c][0] for c in set(before) & set(after)),
            "kept": sum(before[c][0] == after[c][0] for c in set(before) & set(after)),
        },
        "customers",
    )
    for line in diff["treatments"]:
        name = line["treatment"]
        for side, plan in given.items():
            mine = [d for d in plan.values() if d[0] == name]
            same(line[side]["count"], len(mine), f"{name} {side}")
            expect(abs(line[side]["value"] - sum(d[1] for d in mine)) < 1e-9, f"value of {name}")
            same(round(line[side]["spend"] * 1e6), sum(d[2] for d in mine), f"spend of {name}")
        same(line["gained"], sum(c not in before and d[0] == name for c, d in after.items()), f"gained {name}")
        same(line["went"], sum(c in after and after[c][0] != name and d[0] == name for c, d in before.items()), name)
    for side, plan in given.items():
        same(sum(s[side]["count"] for s in diff["segments"]), len(plan), "segments " + side)
    kinds = {c["kind"] for c in diff["changes"]}
    expect({"catalogue", "capacity", "request"} <= kinds, str(kinds))
    expect(any("data_boost" in c["text"] for c in diff["changes"] if c["kind"] == "catalogue"), "the cause")
    back = world.json("plan", "diff", world.run_id, diff["run_id"])
    same((back["customers"]["gained"], back["customers"]["lost"]),
         (diff["customers"]["lost"], diff["customers"]["gained"]), "the other way round")
    lines = list(csv.DictReader(world.cvm("plan", "diff", "latest", "--csv").out.splitlines()))
    same([l["name"] for l in lines if l["by"] == "treatment"], [t["treatment"] for t in diff["treatments"]], "CSV")
    same(int(lines[-1]["count_after"]), len(after), "the last line is the total")
    expect("data_boost" in world.cvm("plan", "diff", "latest").out, "for people")


def a_plan_is_compared_with_the_one_that_it_replaces(world):
    was = len(world.decisions())
    world.edit("catalogue/treatments/data_boost.yaml", "^max_per_day: .*$", "max_per_day: 2")
    world.cvm("apply", "--quiet")
    world.json("run", "--as-of", DAY, "--replace")
    document = world.json("plan", "diff", "latest")
    same(document["before_run_id"], world.run_id, "compared with")
    same(document["total"]["before"]["count"], was, "decided before")
    expect(document["customers"]["kept"] > was / 2, str(document["customers"]))


def a_day_is_compared_with_the_larger_plan_of_the_day_before(world):
    world.approve()
    world.json("plan", "release", "latest")
    world.json("run", "--as-of", DAY, "--seed", "9")  # for those that are left
    world.json("run", "--as-of", NEXT_DAY, "--replace")
    same(world.json("plan", "diff", "latest")["before_run_id"], world.run_id, "plan diff")
    same(world.json("report", "latest")["change"]["against"], world.run_id, "report, also of a run that replaces")


def the_first_run_has_nothing_before_it(world):
    error = world.error("plan", "diff", "latest")
    same(error["status"], "not_found", "status")
    expect("plan diff" in error["hint"], str(error))


# ---- held by a rule ----


def a_plan_that_differs_too_much_is_held_with_numbers(world):
    world.edit("cvm.yaml", "^release: manual$", "release: auto")
    world.edit("catalogue/release.yaml", "^least_decisions: .*$", "least_decisions: 10")
    world.edit("catalogue/release.yaml", "^volume_change: .*$", "volume_change: 0.5 #")
    world.cvm("apply", "--quiet")
    same(world.json("run", "--as-of", NEXT_DAY)["plan_state"], "released", "the first of its kind that is let go")
    was = len(world.deployment.query("SELECT 1 FROM decision WHERE run_id <> ? AND ghost = 0", (world.run_id,)))
    for name in os.listdir(world.path("catalogue", "treatments")):
        if name not in ("ignore.yaml", "service_sms.yaml", "data_boost.yaml"):
            text = open(world.path("catalogue", "treatments", name), encoding="utf-8").read()
            with open(world.path("catalogue", "treatments", name), "w", encoding="utf-8") as stream:
                stream.write(re.sub("^enabled: .*$", "enabled: false", text, flags=re.M))
    world.cvm("apply", "--quiet")
    held = world.json("run", "--as-of", "2026-03-04")
    same(held["plan_state"], "held", "state")
    shown = world.json("plan", "show", "latest")
    reason = [r for r in shown["hold_reasons"] if "decisions" in r and "fewer" in r]
    expect(reason, str(shown["hold_reasons"]))
    expect(f"{shown['decisions']:,} decisions" in reason[0] and f"the {was:,} of run" in reason[0], reason[0])
    expect("at most 50 % is allowed" in reason[0], reason[0])
    expect(reason[0] in world.cvm("plan", "show", "latest").out.replace("\n", " "), "for people")
    world.json("plan", "approve", "latest", "--why", "as wanted")
    same(world.json("plan", "release", "latest")["plan_state"], "released", "a person lets it go")


def a_stale_source_holds_a_plan_also_where_a_person_releases(world):
    world.edit("catalogue/release.yaml", "^least_decisions: .*$", "least_decisions: 1")
    world.edit("catalogue/mappings/telecom.yaml", "^    freshness_days: .*$", "    freshness_days: 3")
    world.cvm("apply", "--quiet")
    world.json("run", "--as-of", "2026-03-08")
    shown = world.json("plan", "show", "latest")
    same(shown["plan_state"], "held", "state")
    expect(any(r.startswith("source ") and "6 days before 2026-03-08" in r for r in shown["hold_reasons"]),
           str(shown["hold_reasons"]))


# ---- the driver ----

HELPERS = {"expect", "same", "files_of", "handed_over", "main"}


def main():
    global ME
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-plan-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), 10000)
        template.json("generate", "--customers", CUSTOMERS, "--until", DAY)
        path = os.path.join(template.folder, "cvm.yaml")
        with open(path, encoding="utf-8") as stream:
            text = stream.read().replace("release: auto", "release: manual")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        template.json("run", "--as-of", DAY)
        ME = template.json("audit", "list")["audit"][-1]["who"]
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
