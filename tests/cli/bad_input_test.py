#!/usr/bin/env python3
"""Bad input ends in a clear error or a reject, with the exit code of the design, and loses nothing: CVM [WORD...]

Each rule is a function whose name states it; WORDs choose those whose names contain one. Cases that need root (a full
disk, a read-only folder as root) are skipped with a word when they can not be made. CVM_SOAK=1 adds a line of 1 GiB.
"""

import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect  # noqa: E402

SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|Assertion .* failed")
MIB = 1 << 20


class World(cvm_program.World):
    """A deployment whose every command is watched for crashes and sanitizer reports."""

    def cvm(self, *arguments, codes=(0,), **options):
        return watched(self.deployment.command(*arguments), codes, **options)

    def fails(self, *arguments, code=1, words=(), **options):
        """The command ends with this code and an error document that holds the words."""
        result = self.cvm(*arguments, "--json", codes=(code,), **options)
        error = result.document["error"]
        text = " ".join(str(error[k]) for k in ("status", "message", "where", "hint"))
        expect(error["message"], f"{result}: an empty message")
        for word in words:
            expect(word in text, f"{result.arguments}: no '{word}' in: {text}")
        return error

    def totals(self):
        rows = self.deployment.query(
            "SELECT count(*) FROM event e JOIN batch b USING (batch) WHERE b.state = 'closed'"
        )
        return rows[0][0]

    def write(self, name, content):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(content if isinstance(content, bytes) else content.encode())
        return path

    def check_whole(self):
        if cvm_program.SERVER:
            return  # a server checks its own pages
        for path in self.deployment.databases:
            connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            try:
                expect(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], f"{path} is damaged")
            finally:
                connection.close()


def watched(arguments, codes, **options):
    result = cvm_program.run(arguments, allowed=None, timeout=600, **options)
    expect(not SANITIZER.search(result.err + result.out), f"a sanitizer report: {result}")
    expect(result.code in codes, f"exit {result.code} instead of {codes}: {result} {result.out.strip()[-600:]}")
    return result


def usage(number, **values):
    """A good record of usage_data; values replace or, when None, remove fields."""
    record = {"customer_id": f"C{number}", "date": "2024-03-01", "data_usage_gb": number / 2, "voice_minutes": 10}
    record.update(values)
    return json.dumps({k: v for k, v in record.items() if v is not None})


def check_import(world, name, content, good, bad, reason=()):
    """Import one file: `good` records are stored and `bad` ones rejected, each in the rejects file with its reason. A
    None of both: stored or rejected, but accounted for."""
    path = world.write(os.path.join("in", name), content)
    before = world.totals()
    result = world.cvm("import", path, "--json", codes=(0, 3))
    report = result.document
    expect(
        report["read"] == report["stored"] + report["duplicate"] + report["rejected"],
        f"records are missing: {report}",
    )
    expect(
        world.totals() - before == report["stored"], f"{report['stored']} stored, {world.totals() - before} found"
    )
    expect(
        (result.code == 3) == (report["rejected"] > 0 or bool(report.get("failed_files"))),
        f"exit {result.code} with {report['rejected']} rejected and {report.get('failed_files')}",
    )
    if good is not None:
        expect(report["stored"] == good, f"stored {report['stored']} instead of {good}: {report}")
    if bad is not None:
        expect(report["rejected"] == bad, f"rejected {report['rejected']} instead of {bad}: {report}")
    if report["rejected"] > 0:
        check_rejects(report, reason)
    again = world.cvm("import", path, "--json", codes=(0, 3)).document
    expect(again["stored"] == 0 and again["rejected"] == report["rejected"], f"a second import differs: {again}")
    return report


def check_rejects(report, words):
    with open(report["rejects_file"], "rb") as stream:
        rejects = [json.loads(line) for line in stream.read().decode("utf-8").splitlines()]
    expect(len(rejects) == report["rejected"], f"{len(rejects)} lines for {report['rejected']} rejects")
    for reject in rejects:
        for key in ("file", "record", "reason", "text"):
            expect(key in reject, f"a reject without {key}: {reject}")
        expect(reject["reason"], f"a reject without a reason: {reject}")
        expect(len(reject["text"]) <= 64 * 1024, "a reject with a text without end")
    for word in words:
        expect(
            any(word in r["reason"] for r in rejects), f"no reason with '{word}': {[r['reason'] for r in rejects]}"
        )


def lines(*records):
    return "\n".join(r if isinstance(r, str) else r.decode("latin-1") for r in records).encode("latin-1") + b"\n"


# ---- records ----


def truncated_json_is_rejected_and_the_rest_is_stored(world):
    check_import(world, "usage_data.ndjson", lines(usage(1), usage(2)[:25], usage(3)), 2, 1)
    check_import(world, "usage_data_2.ndjson", lines(usage(4)) + usage(5)[:30].encode(), 1, 1)


def an_array_that_ends_early_keeps_its_whole_records(world):
    check_import(world, "usage_data.json", f"[{usage(1)},\n {usage(2)},\n {usage(3)[:30]}", 2, None)


def a_wrapped_array_that_ends_early_keeps_its_whole_records(world):
    check_import(world, "usage_data.json", '{"data": [' + usage(1) + ", " + usage(2) + ", {", 2, None)


def a_line_beyond_the_limit_is_rejected_with_the_limit_named(world):
    long_line = usage(2, note="x" * (3 * MIB))
    check_import(world, "usage_data.ndjson", lines(usage(1), long_line, usage(3)), 2, 1, ["1048576"])


def an_array_element_beyond_the_limit_is_rejected(world):
    check_import(world, "usage_data.json", f"[{usage(1)}, {usage(2, note='x' * (3 * MIB))}, {usage(3)}]", 2, 1)


def a_line_without_end_is_rejected(world):
    check_import(world, "usage_data.ndjson", lines(usage(1)) + b'{"customer_id": "' + b"x" * (3 * MIB), 1, 1)


def a_csv_field_without_end_is_rejected(world):
    header = "customer_id,date,data_usage_gb\n"
    check_import(world, "usage_data.csv", header + 'C1,2024-03-01,2\nC2,2024-03-01,"' + "x" * (3 * MIB), 1, None)


def a_line_of_a_gibibyte_is_rejected_in_bounded_memory(world):
    if os.environ.get("CVM_SOAK") != "1":
        raise cvm_program.Skip("only with CVM_SOAK=1")
    path = world.write(
        "in/usage_data.ndjson", lines(usage(1)) + b'{"customer_id": "C2", "date": "2024-03-01", "note": "'
    )
    with open(path, "ab") as stream:
        for _ in range(1024):
            stream.write(b"x" * MIB)
        stream.write(b'"}\n' + lines(usage(3)))
    result = world.cvm("import", path, "--json", codes=(3,))
    os.unlink(path)
    expect(result.document["stored"] == 2 and result.document["rejected"] == 1, f"{result.document}")
    expect(result.peak_bytes < 512 * MIB, f"{result.peak_bytes / MIB:.0f} MiB of memory")


def invalid_utf8_is_rejected(world):
    bad = [
        usage(2, note="N").encode().replace(b"N", bytes_)
        for bytes_ in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf")
    ]
    check_import(world, "usage_data.ndjson", lines(usage(1), *bad, usage(3)), 2, len(bad))


def invalid_utf8_in_csv_is_rejected(world):
    content = b"customer_id,date,data_usage_gb\nC1,2024-03-01,2\nC\xff2,2024-03-01,2\nC3,2024-03-01,2\n"
    check_import(world, "usage_data.csv", content, 2, 1)


def nul_bytes_are_rejected(world):
    raw = usage(2).encode().replace(b"C2", b"C\x002")
    check_import(world, "usage_data.ndjson", lines(usage(1), raw, b"\x00" * 100, usage(3)), 2, 2)


def an_escaped_nul_is_no_part_of_an_id(world):
    check_import(world, "usage_data.ndjson", lines(usage(1), usage(2, customer_id="C\0002"), usage(3)), 2, 1)


def an_escaped_nul_in_a_text_is_accounted_for(world):
    check_import(
        world,
        "web_clicks.ndjson",
        lines('{"customer_id": "C1", "date": "2024-03-01", "page": "/a\\u0000b", "note": "a\\u0000b"}'),
        None,
        None,
    )


def wrong_types_are_rejected_where_the_value_is_required(world):
    def churn(value):
        return json.dumps({"customer_id": "C1", "date": "2024-03-02", "churn_probability": value})

    check_import(
        world,
        "churn_score.ndjson",
        lines(churn("high"), churn([0.4]), churn({"p": 0.4}), churn(None), churn(True)),
        0,
        5,
        ["churn"],
    )


def wrong_types_of_optional_values_do_not_lose_the_record(world):
    check_import(
        world,
        "usage_data.ndjson",
        lines(
            usage(1, data_usage_gb="lots"),
            usage(2, data_usage_gb=[1]),
            usage(3, data_usage_gb={"gb": 1}),
            usage(4, data_usage_gb=True),
            usage(5, voice_minutes=1e308),
        ),
        5,
        0,
    )


def a_record_that_is_no_object_is_rejected(world):
    check_import(world, "usage_data.ndjson", lines("5", '"text"', "null", "[1, 2]", "true", usage(1)), 1, 5)


def a_record_without_a_customer_is_rejected(world):
    check_import(
        world,
        "usage_data.ndjson",
        lines(
            usage(1, customer_id=None),
            usage(2, customer_id=""),
            usage(3, customer_id={}),
            usage(4, customer_id="x" * 70000),
            usage(5),
        ),
        1,
        4,
        ["customer"],
    )


def dates_that_do_not_exist_are_rejected(world):
    dates = [
        "2024-02-30",
        "2023-02-29",
        "2024-13-01",
        "2024-00-10",
        "2024-04-31",
        "0000-00-00",
        "yesterday",
        "",
        20240301.5,
        "2024-03-01T25:00:00",
        "99999-01-01",
    ]
    check_import(
        world,
        "usage_data.ndjson",
        lines(usage(0), *[usage(i + 1, date=d) for i, d in enumerate(dates)]),
        1,
        len(dates),
        ["2024-02-30"],
    )


def a_leap_day_is_a_date(world):
    check_import(world, "usage_data.ndjson", lines(usage(1, date="2024-02-29")), 1, 0)


def duplicate_keys_are_rejected(world):
    check_import(
        world,
        "usage_data.ndjson",
        lines(usage(1), '{"customer_id": "C2", "customer_id": "C3", "date": "2024-03-01", "data_usage_gb": 1}'),
        1,
        1,
        ["customer_id"],
    )


def nesting_of_a_hundred_levels_is_rejected(world):
    deep = '{"customer_id": "C2", "date": "2024-03-01", "x": ' + "[" * 100 + "]" * 100 + "}"
    objects = '{"customer_id": "C3", "date": "2024-03-01", "x": ' + '{"x":' * 100 + "1" + "}" * 100 + "}"
    abyss = '{"customer_id": "C4", "date": "2024-03-01", "x": ' + "[" * 100000
    check_import(world, "usage_data.ndjson", lines(usage(1), deep, objects, abyss, usage(5)), 2, 3)
    check_import(world, "usage_data_2.json", "[" * 100 + "]" * 100, 0, None)


def numbers_beyond_measure_do_not_lose_the_file(world):
    check_import(
        world,
        "usage_data.ndjson",
        lines(
            usage(1),
            '{"customer_id": "C2", "date": "2024-03-01", "data_usage_gb": 1e999}',
            '{"customer_id": "C3", "date": "2024-03-01", "data_usage_gb": ' + "9" * 400 + "}",
            '{"customer_id": "C4", "date": "2024-03-01", "data_usage_gb": -}',
            usage(5),
        ),
        None,
        None,
    )


def lone_surrogates_are_rejected(world):
    check_import(
        world,
        "usage_data.ndjson",
        lines('{"customer_id": "C1", "date": "2024-03-01", "note": "\\ud800"}', usage(2)),
        1,
        1,
    )


def blank_lines_crlf_and_a_byte_order_mark_are_no_fault(world):
    content = b"\xef\xbb\xbf" + b"\r\n".join([usage(1).encode(), b"", b"   ", usage(2).encode(), b""])
    check_import(world, "usage_data.ndjson", content, 2, 0)


def an_empty_file_is_no_fault(world):
    check_import(world, "usage_data.ndjson", b"", 0, 0)
    check_import(world, "usage_data_2.ndjson", b"\n\n", 0, 0)
    check_import(world, "usage_data_3.json", b"[]", 0, 0)


def csv_rows_of_another_width_are_rejected(world):
    check_import(
        world,
        "usage_data.csv",
        "customer_id,date,data_usage_gb\nC1,2024-03-01,2\nC2,2024-03-01\n" "C3,2024-03-01,2,9,9\nC4,2024-03-01,1\n",
        2,
        2,
    )


def a_binary_file_is_rejected_or_named(world):
    path = world.write("in/usage_data.ndjson", bytes(range(256)) * 4096)
    good = world.write("in/usage_data_2.ndjson", lines(usage(1), usage(2)))
    report = world.cvm("import", path, good, "--json", codes=(3,)).document
    expect(report["stored"] == 2, f"the other file is not stored: {report}")
    expect(report["rejected"] > 0 or report["failed_files"], f"the binary file is not named: {report}")


def a_broken_source_file_does_not_stop_the_others(world):
    folder = os.path.dirname(world.write("in/usage_data.json", '{"data": 5}'))
    world.write("in/web_clicks.ndjson", lines('{"customer_id": "C1", "date": "2024-03-01", "page": "/plans"}'))
    result = world.cvm("import", folder, "--json", codes=(3,))
    expect(result.document["stored"] == 1, f"{result.document}")
    named = result.out + result.err
    if result.document["rejects_file"]:
        with open(result.document["rejects_file"], encoding="utf-8") as stream:
            named += stream.read()
    expect("usage_data.json" in named, "the broken file is not named")


def a_missing_path_is_an_error_that_names_it(world):
    world.fails("import", os.path.join(world.folder, "nowhere.ndjson"), words=["nowhere.ndjson"])


def a_file_that_no_source_takes_is_named(world):
    path = world.write("in/mystery.ndjson", lines(usage(1)))
    result = world.cvm("import", path, "--json", codes=(0, 1, 3))
    expect("mystery.ndjson" in result.out + result.err, f"the file is not named: {result} {result.out}")


# ---- catalogue and configuration ----


def edit(old, new, count=1):
    def apply(text):
        expect(re.search(old, text, re.M), f"the catalogue has no {old}")
        return re.sub(old, new, text, count=count, flags=re.M)

    return apply


def append(tail):
    return lambda text: text + tail


CALL = "treatments/marketing_call_back.yaml"
# file, change, words that the error must hold besides the file's name
MISTAKES = [
    (CALL, append("colour: red\n"), ["colour"]),
    (CALL, edit("^channel:", "chanel:"), ["chanel", "channel"]),
    (CALL, edit("^channel: .*$", "channel: pigeon"), ["channel", "pigeon"]),
    (CALL, edit("^treatment: .*\n", ""), ["treatment"]),
    (CALL, edit("^class: .*$", "class: nuisance"), ["nuisance"]),
    (CALL, edit("^purpose: .*$", "purpose: [marketing"), []),
    (CALL, edit("^max_per_day: .*$", "max_per_day: many"), ["max_per_day", "many"]),
    (CALL, edit("^max_per_day: .*$", "max_per_day: -5"), ["max_per_day", "-5"]),
    (CALL, edit("^max_per_day: .*$", "max_per_day: 1.5"), ["max_per_day"]),
    (CALL, edit("^enabled: .*$", "enabled: perhaps"), ["enabled", "perhaps"]),
    (CALL, edit("^cost: .*$", "cost: 0.12345678"), ["cost"]),
    (CALL, edit("^cost: .*$", "cost: .nan"), ["cost"]),
    (CALL, edit("^cost: .*$", "cost: 1\ncost: 2"), ["cost"]),
    (CALL, edit("mean: 0.35", "mean: 1.35"), ["1.35"]),
    (CALL, edit("sd: 0.05", "sd: -1"), ["sd"]),
    (CALL, edit("call_centre_minutes:", "call_center_minutes:"), ["call_center_minutes", "call_centre_minutes"]),
    (CALL, edit("churn_90d >=", "churn_90 >="), ["churn_90"]),
    (CALL, edit("^applicable: .*$", "applicable: churn_90d >="), ["applicable"]),
    (CALL, edit("^applicable: .*$", "applicable: churn_90d >= 0.1 & drop"), ["applicable"]),
    (CALL, edit("^treatment: .*$", "treatment: other_name"), ["other_name"]),
    (CALL, edit("^treatment: .*$", "treatment: retention_sms"), ["retention_sms"]),
    (CALL, edit("^treatment: .*$", "treatment: 'Marketing Call'"), ["treatment"]),
    (CALL, append("\tbad: tab\n"), []),
    (CALL, append("? [a, b]: c\n"), []),
    (CALL, append("note: &anchor x\nother: *anchor\n"), []),
    (CALL, append("<<: {cost: 1}\n"), []),
    (CALL, append("---\nsecond: document\n"), []),
    (CALL, lambda text: text.encode() + b"display: \xff\xfe\n", []),
    (CALL, lambda text: text.encode() + b"display: a\x00b\n", []),
    (CALL, append("deep: " + "[" * 100 + "]" * 100 + "\n"), []),
    (CALL, lambda text: "", ["treatment"]),
    (CALL, lambda text: "- a\n- list\n", []),
    (CALL, edit("^max_per_day: .*$", "max_per_day: ${per_100k:many}"), ["max_per_day"]),
    ("features.yaml", edit("aggregate: count", "aggregate: tally"), ["aggregate", "tally"]),
    ("features.yaml", edit("source: call_transcripts", "source: call_transcript"), ["call_transcript"]),
    ("features.yaml", edit("attribute: contact.minutes", "attribute: contact.hours"), ["contact.hours"]),
    ("features.yaml", edit("window_days: 30", "window_days: 0"), ["window_days"]),
    ("features.yaml", edit("feature: chats,", "feature: calls,"), ["calls"]),
    ("features.yaml", edit("topic == 'roaming'", "topic == 'romaing'"), ["romaing"]),
    ("features.yaml", edit("contact.sentiment == 'positive'", "contact.sentiment == 'joyful'"), ["joyful"]),
    ("features.yaml", edit("^features:", "feature:"), ["feature"]),
    ("topics.yaml", edit("topic: price", "topic: upgrade"), ["upgrade"]),
    ("insights.yaml", edit("severity: high", "severity: awful"), ["severity", "awful"]),
    ("insights.yaml", edit(r"\{churn_90d\}", "{churn_9d}"), ["churn_9d"]),
    ("constraints.yaml", edit("limit: .*$", "limit: -1"), ["limit"]),
    ("constraints.yaml", edit("measure: incentive", "measure: joy"), ["measure", "joy"]),
    ("constraints.yaml", append("    treatments: [marketing_callback]\n"), ["marketing_callback"]),
    ("mappings/telecom.yaml", edit("kind: events", "kind: event"), ["kind"]),
    ("mappings/telecom.yaml", edit("type: number", "type: nummer"), ["type", "nummer"]),
    ("mappings/telecom.yaml", edit(r"^ *customer: \[customer_id\]\n", ""), ["customer"]),
    ("values.yaml", lambda text: None, ["values.yaml"]),
    ("notes.yaml", lambda text: "a: 1\n", ["notes.yaml"]),
]


def every_mistake_of_a_catalogue_is_named_with_its_line_and_changes_nothing(world):
    folder = os.path.join(world.folder, "catalogue")
    before = world.cvm("catalogue", "show", "--json").document
    problems = []
    for number, (name, change, words) in enumerate(MISTAKES):
        try:
            check_mistake(world, folder, name, change, words)
        except AssertionError as error:
            problems.append(f"mistake {number} in {name} {words}: {error}")
    expect(not problems, "\n    ".join(problems))
    expect(world.cvm("catalogue", "show", "--json").document == before, "another catalogue is in force")
    world.cvm("apply", "--json")


def check_mistake(world, folder, name, change, words):
    path = os.path.join(folder, name)
    kept = None
    if os.path.exists(path):
        with open(path, encoding="utf-8") as stream:
            kept = stream.read()
    content = change(kept or "")
    if content is None:
        os.unlink(path)
    else:
        with open(path, "wb") as stream:
            stream.write(content if isinstance(content, bytes) else content.encode())
    try:
        error = world.fails("apply", words=words)
        place = f"{error['where']} {error['message']}"
        expect(os.path.basename(name) in place, f"the file is not named: {error}")
        is_whole_file = content is None or not os.path.exists(path) or name == "notes.yaml" or content == ""
        expect(is_whole_file or re.search(r"\.yaml:\d+", place), f"no line: {error}")
    finally:
        if kept is None:
            os.unlink(path)
        else:
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(kept)


def every_mistake_of_the_wiring_is_named(world):
    path = os.path.join(world.folder, "cvm.yaml")
    with open(path, encoding="utf-8") as stream:
        kept = stream.read()
    mistakes = [
        (append("colour: red\n"), "colour"),
        (edit("^threads: .*$", "threads: -1"), "threads"),
        (edit("^threads: .*$", "threads: two"), "two"),
        (edit("^time_zone: .*$", "time_zone: Mars/Olympus"), "Mars/Olympus"),
        (edit("^currency: .*$", "currency: pounds"), "pounds"),
        (edit("^store: .*$", "store: mongodb://x"), "mongodb"),
        (edit("^release: .*$", "release: never"), "never"),
        (edit("^release: .*$", "release: [auto"), "cvm.yaml"),
        (edit("record_bytes_max: [0-9]*", "record_bytes_max: 5"), "record_bytes_max"),
        (edit("realtime_share: .*$", "realtime_share: 2"), "realtime_share"),
        (edit("^catalogue: .*$", "catalogue: nowhere"), "nowhere"),
    ]
    for change, word in mistakes:
        world.write("cvm.yaml", change(kept))
        world.fails("apply", words=[word])
    world.write("cvm.yaml", kept)
    world.cvm("capacity", "show", "--json")


def a_wrong_command_line_is_a_usage_error(world):
    for arguments in (
        ["frobnicate"],
        ["run", "--as-off", "2024-03-20"],
        ["run", "--as-of", "2024-02-30"],
        ["run", "--threads", "many"],
        ["import"],
        ["run", "--chunk-size", "-1"],
        ["plan", "shew"],
    ):
        world.fails(*arguments, code=2)
    watched([world.deployment.program, "run", "--json", "--as-of"], (2,))


def an_unknown_name_is_an_error_that_names_it(world):
    world.fails("journey", "U555", words=["U555"])
    world.fails("explain", "latest", "U555")
    world.fails("treatment", "show", "nothing_known", words=["nothing_known"])
    world.fails("run", "--as-of", "2024-03-20", "--treatment", "nothing_known", words=["nothing_known"])
    world.fails("run", "--as-of", "2024-03-20", "--allowed", "retention_emial", words=["retention_emial"])


def a_run_without_events_in_its_window_names_the_newest_date(world):
    check_import(world, "usage_data.ndjson", lines(usage(1)), 1, 0)
    world.fails("run", "--as-of", "2034-03-20", words=["2024-03-01"])


# ---- the store ----


def a_store_of_a_newer_version_is_refused_and_left_alone(world):
    world.deployment.change("INSERT INTO migration (number, name, checksum, applied_at) VALUES (999, 'x', 'y', 1)")
    for arguments in (["capacity", "show"], ["run", "--as-of", "2024-03-20"], ["migrate"], ["customer", "list"]):
        world.fails(*arguments, words=["newer", "999"])
    found = world.deployment.query("SELECT count(*) FROM migration WHERE number = 999")[0][0]
    expect(found == 1, "the record of the newer version is gone")


def a_file_that_is_no_store_is_refused_and_left_alone(world):
    cvm_program.only_on_sqlite("the file")
    path = world.deployment.databases[0]
    for suffix in ("-wal", "-shm"):
        if os.path.exists(path + suffix):
            os.unlink(path + suffix)
    for content in (b"this is no database\n" * 1000, b"SQLite format 3\0" + b"\xff" * 8000):
        with open(path, "wb") as stream:
            stream.write(content)
        world.fails("capacity", "show")
        world.fails("run", "--as-of", "2024-03-20")
        with open(path, "rb") as stream:
            expect(stream.read() == content, "the file was changed")


def a_truncated_store_is_an_error(world):
    cvm_program.only_on_sqlite("the file")
    check_import(world, "usage_data.ndjson", lines(*[usage(i) for i in range(2000)]), 2000, 0)
    path = world.deployment.databases[0]
    os.truncate(path, os.path.getsize(path) // 2 // 4096 * 4096)
    world.fails("run", "--as-of", "2024-03-20")


def lost_packed_journeys_are_written_anew(world):
    check_import(world, "usage_data.ndjson", lines(*[usage(i) for i in range(50)]), 50, 0)
    wanted = world.cvm("run", "--as-of", "2024-03-20", "--dry-run", "--json").document["summary"]["plan_digest"]
    for name in os.listdir(world.folder):
        if name.startswith("cvm-journeys.db"):
            os.unlink(os.path.join(world.folder, name))
    result = world.cvm("run", "--as-of", "2024-03-20", "--dry-run", "--json", codes=(0, 1))
    if result.code == 1:  # clear word, and a way out
        expect(result.document["error"]["hint"], f"no way out is named: {result.document}")
        world.cvm("import", os.path.join(world.folder, "in"), "--json")
        result = world.cvm("run", "--as-of", "2024-03-20", "--dry-run", "--json")
    expect(result.document["summary"]["plan_digest"] == wanted, "another plan than before")


def a_missing_store_names_the_way_to_make_one(world):
    world.deployment.remove_store()
    error = world.fails("capacity", "show")
    expect("init" in error["hint"] + error["message"], f"no hint: {error}")


def a_read_only_folder_is_an_error_and_nothing_changes(world):
    cvm_program.only_on_sqlite("its folder")
    path = world.write("in/usage_data.ndjson", lines(usage(1), usage(2)))
    world.cvm("import", path, "--json")
    more = world.write("in/usage_data_2.ndjson", lines(usage(3)))
    before = world.totals()
    command = world.deployment.command("import", more, "--json")
    program = shutil.copy(world.deployment.program, os.path.join(world.folder, "cvm-copy"))
    prefix = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            raise cvm_program.Skip("root without setpriv can not become somebody else")
        prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    parent = os.path.dirname(world.folder)
    os.chmod(parent, 0o755)
    os.chmod(world.folder, 0o555)
    try:
        result = watched([*prefix, program, *command[1:]], (1,))
        expect(result.document["error"]["message"], "no message")
        for arguments in (["run", "--as-of", "2024-03-20"], ["apply"]):
            watched([*prefix, program, *world.deployment.command(*arguments)[1:], "--json"], (1,))
        watched([*prefix, program, "init", os.path.join(world.folder, "new"), "--json"], (1,))
    finally:
        os.chmod(world.folder, 0o755)
    expect(world.totals() == before, "rows changed")
    expect(world.cvm("import", more, "--json").document["stored"] == 1, "the import does not go on afterwards")


def a_result_file_that_can_not_be_written_is_an_error(world):
    check_import(world, "usage_data.ndjson", lines(usage(1)), 1, 0)
    world.fails(
        "run", "--as-of", "2024-03-20", "--out", os.path.join(world.folder, "nowhere", "x.json"), words=["nowhere"]
    )


def a_result_written_to_a_device_leaves_the_device(world):
    """Behind a link, so that a defect replaces or removes the link and not the device of the machine."""
    truth = os.path.join(world.folder, "truth.csv")
    world.cvm("generate", "--customers", 200, "--events", 10, "--until", "2024-03-20", "--truth", truth, "--quiet")
    world.cvm("run", "--as-of", "2024-03-20", "--quiet")
    commands = (
        ("run", "--as-of", "2024-03-20", "--out"),
        ("explain", "latest", "--csv"),
        ("report", "latest", "--html"),
        ("generate", "--respond", "latest", "--truth", truth, "--out"),
        ("generate", "--customers", 10, "--until", "2024-03-20", "--out", os.path.join(world.folder, "g"), "--truth"),
    )
    for device, codes in (("/dev/null", (0,)), ("/dev/full", (1,))):
        if not os.path.exists(device):
            raise cvm_program.Skip(f"no {device} here")
        link = os.path.join(world.folder, os.path.basename(device) + ".json")
        os.symlink(device, link)
        for command in commands:
            world.cvm(*command, link, codes=codes)
            expect(os.path.islink(link), f"{command}: the link to {device} is gone")
            expect(stat.S_ISCHR(os.stat(link).st_mode), f"{command}: {device} is no device any more")


def a_full_disk_is_an_error_and_the_store_goes_on_once_there_is_room(world):
    cvm_program.only_on_sqlite("the disk under its file")
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        raise cvm_program.Skip("a small disk needs root and mount namespaces")
    result = subprocess.run(
        ["unshare", "-m", sys.executable, __file__, world.deployment.program, "--full-disk", world.folder],
        capture_output=True,
        text=True,
    )
    expect(result.returncode == 0, result.stdout + result.stderr)


def full_disk(program, folder):
    """In a mount namespace of its own: the deployment moves to a disk that has 2 MiB left."""
    small = os.path.join(folder, "small")
    os.makedirs(small)
    origin = World(cvm_program.Deployment(program, folder))
    first = origin.write("in/usage_data.ndjson", lines(*[usage(i) for i in range(200)]))
    more = origin.write(
        "in/usage_data_2.ndjson", lines(*[usage(i, date="2024-03-05", note="x" * 500) for i in range(20000)])
    )
    origin.cvm("import", first, "--json")
    size = origin.deployment.bytes_on_disk() + 2 * MIB
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", small], check=True)
    for name in os.listdir(folder):
        if name.startswith("cvm"):
            shutil.copy(os.path.join(folder, name), small)
    shutil.copytree(os.path.join(folder, "catalogue"), os.path.join(small, "catalogue"))
    world = World(cvm_program.Deployment(program, small))
    before = world.totals()
    error = world.fails("import", more)
    words = " ".join(str(error[k]) for k in ("message", "hint")).lower()
    expect("full" in words or "space" in words, f"the full disk is not named: {error}")
    world.cvm("capacity", "show", "--json")
    expect(world.totals() == before == 200, f"{world.totals()} rows instead of {before}")
    world.check_whole()
    subprocess.run(["mount", "-o", f"remount,size={size + 200 * MIB}", small], check=True)
    report = world.cvm("import", more, "--json").document
    expect(report["stored"] == 20000 and world.totals() == 20200, f"with room again: {report}")
    world.check_whole()


# ---- the driver ----


HELPERS = {
    "expect",
    "watched",
    "usage",
    "check_import",
    "check_rejects",
    "lines",
    "edit",
    "append",
    "check_mistake",
    "full_disk",
    "main",
}


def main():
    if sys.argv[2:3] == ["--full-disk"]:
        full_disk(sys.argv[1], sys.argv[3])
        return 0
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-bad-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), 1000)
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
