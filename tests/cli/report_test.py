#!/usr/bin/env python3
"""`cvm report`: its figures against the store's own rows, its formats against each other, and the page in headless
Chromium: CVM [WORD...]

Screenshots are kept in $CVM_ARTEFACTS, where that is set. Rules are functions whose names state them; WORDs choose
those whose names contain one.
"""

import csv
import io
import json
import math
import os
import re
import sys
from html.parser import HTMLParser

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import chromium  # noqa: E402
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

DAY = "2026-03-02"
NEXT = "2026-03-09"
CUSTOMERS = 2000
SECTIONS = (
    "worth", "baselines", "limits", "refusals", "segments", "change", "groups", "outcomes", "sources", "reading",
)


def near(found, wanted, what, tolerance=1e-6):
    expect(abs(found - wanted) <= tolerance * max(1, abs(wanted)), f"{what}: found {found} instead of {wanted}")


class World(cvm_program.World):
    def edit(self, name, before, after):
        with open(self.path(name), encoding="utf-8") as stream:
            text = stream.read()
        expect(re.search(before, text, re.M), f"no '{before}' in {name}")
        with open(self.path(name), "w", encoding="utf-8") as stream:
            stream.write(re.sub(before, lambda _: after, text, count=1, flags=re.M))

    def page(self, *arguments):
        path = self.path("report.html")
        self.cvm("report", "latest", "--html", path, *arguments)
        with open(path, encoding="utf-8") as stream:
            return path, stream.read()


# ---- figures ----


def totals_are_those_of_the_decisions(world):
    report = world.json("report")
    run = report["run"]["run_id"]
    rows = world.query(
        "SELECT treatment, value, sd, cost_micro, incentive_micro, ghost, channel FROM decision WHERE run_id = ?", (run,)
    )
    treated = [row for row in rows if not row[5]]
    total = report["total"]
    same(total["treated"], len(treated), "treated")
    same(total["controls"], len(rows) - len(treated), "ghosts")
    same(total["contacts"], sum(row[6] != "none" for row in treated), "contacts")
    near(total["value"]["estimate"], sum(row[1] for row in treated), "value")
    near(total["cost"], sum(row[3] for row in treated) / 1e6, "cost")
    near(total["incentive"], sum(row[4] for row in treated) / 1e6, "incentive")
    sds = {}
    for row in treated:
        sds[row[0]] = sds.get(row[0], 0) + row[2]
    half = 1.959963984540054 * math.sqrt(sum(sd * sd for sd in sds.values()))
    near(total["value"]["estimate"] - total["value"]["low"], half, "interval", 1e-4)
    near(sum(t["value"]["estimate"] for t in report["treatments"]), total["value"]["estimate"], "by treatment")
    near(sum(s["value"]["estimate"] for s in report["segments"]), total["value"]["estimate"], "by segment")
    same(sum(s["customers"] for s in report["segments"]), CUSTOMERS, "customers of the segments")
    near(sum(report["total"]["value_rests_on"].values()), 1, "shares")


def the_first_year_is_part_of_the_value(world):
    total = world.json("report")["total"]
    expect(0 < total["margin_12m"]["estimate"] < total["value"]["estimate"], total)
    expect(total["margin_12m"]["low"] < total["margin_12m"]["estimate"] < total["margin_12m"]["high"], total)


def the_funnel_narrows_to_the_treated(world):
    report = world.json("report")
    funnel = report["funnel"]
    steps = [funnel[k] for k in ("customers", "without_decision", "permitted", "worth_something", "above_price", "treated")]
    same(steps, sorted(steps, reverse=True), "steps")
    same((steps[0], steps[-1]), (CUSTOMERS, report["total"]["treated"]), "ends")
    summary = world.json("plan", "show")["summary"]
    same({r["reason"]: r["pairs"] for r in report["refusals"]}, summary["refusals"], "refusals")


def limits_add_up_and_prices_are_those_of_the_run(world):
    states = world.json("plan", "show")["summary"]["constraints_final_state"]
    for limit in world.json("report")["limits"]:
        near(limit["elsewhere"] + limit["used"] + limit["left"], limit["granted"], limit["limit"])
        state = states[limit["limit"].replace("capacity:", "")]
        near(limit["price_of_one_more"], max(0, state["shadow_price"] or 0), limit["limit"])


def what_was_used_up_before_is_told(world):
    """A second run of the day: the first has taken all of what is scarce, and more of it would bring something."""
    first = {l["limit"]: l for l in world.json("report")["limits"]}
    world.json("run", "--as-of", DAY, "--seed", "2")
    limits = {l["limit"]: l for l in world.json("report")["limits"]}
    gone = [name for name, l in limits.items() if l["used"] == 0 and l["left"] == 0]
    expect(gone and all(first[name]["left"] == 0 for name in gone), f"used up: {gone}")
    for name, limit in limits.items():
        price = limit["price_of_one_more"]
        expect(price is None or price > 0 if name in gone else price is not None, f"{name}: {price}")
    expect(any((limits[name]["price_of_one_more"] or 0) > 0 for name in gone), "one more of what is gone brings something")
    expect(f"{len(gone)} of {len(limits)} limits were used up before this run." in world.cvm("report").out, "words")
    expect("used up before" in world.cvm("plan", "show", "latest").out, "the plan")


def the_plan_stands_above_simpler_rules(world):
    report = world.json("report")
    values = {b["rule"]: b["value"] for b in report["baselines"]}
    same(sorted(values), ["best_value_first", "churn_first", "first_come", "plan"], "rules")
    near(values["plan"], report["total"]["value"]["estimate"], "plan")
    for rule in ("best_value_first", "churn_first", "first_come"):
        expect(0 < values[rule] <= values["plan"] * 1.001, f"{rule}: {values}")


def languages_are_counted_from_the_permission_records(world):
    report = world.json("report")
    rows = world.query(
        """SELECT c.language, count(*), count((SELECT 1 FROM decision d WHERE d.run_id = ?
               AND d.customer_key = c.customer_key AND d.ghost = 0))
           FROM consent c WHERE c.version = (SELECT max(version) FROM consent m WHERE m.customer_key = c.customer_key)
           GROUP BY c.language""",
        (report["run"]["run_id"],),
    )
    groups = [g for g in report["groups"] if g["feature"] == "language"]
    same(
        {(g["group"], g["customers"], g["treated"]) for g in groups},
        {(language or "not known", customers, treated) for language, customers, treated in rows},
        "languages",
    )
    largest = groups[0]
    same(largest["is_largest"], True, "the largest comes first")
    for group in groups[1:]:
        rate = group["treated"] / group["customers"]
        near(group["rate"]["estimate"], rate, group["group"])
        if largest["treated"]:
            near(group["ratio_to_largest"]["estimate"], rate * largest["customers"] / largest["treated"], group["group"])
    for feature in {g["feature"] for g in report["groups"]}:
        same(sum(g["customers"] for g in report["groups"] if g["feature"] == feature), CUSTOMERS, feature)


def a_smaller_capacity_is_named_as_the_cause(world):
    before = world.json("report")
    world.edit("catalogue/treatments/data_boost.yaml", r"^max_per_day: .*$", "max_per_day: 7")
    world.cvm("apply")
    world.json("run", "--as-of", NEXT)
    change = world.json("report")["change"]
    same(change["against"], before["run"]["run_id"], "against")
    near(change["value_before"], before["total"]["value"]["estimate"], "value before")
    boost = [t for t in change["treatments"] if t["treatment"] == "Data Boost"][0]
    same(boost["treated"], 7, "treated now")
    expect(any(c.startswith("catalogue: max_per_day") for c in boost["causes"]), boost["causes"])
    expect(any(c.startswith("catalogue: from version 1 to version 2") for c in change["causes"]), change["causes"])
    other = world.json("report", "latest", "--against", before["run"]["run_id"])
    same(other["change"], change, "named or found")


def a_stale_source_is_said_first(world):
    world.json("run", "--as-of", "2026-04-25")
    report = world.json("report")
    stale = {s["source"]: s["age_days"] for s in report["sources"] if s["stale"]}
    expect("usage_data" in stale and stale["usage_data"] == 54, stale)
    expect("Too old: " in world.cvm("report").out, "the text says it")
    expect("Too old: " in world.page()[1].split("</section>")[0], "the page says it first")


def measured_outcomes_are_set_against_control(world):
    """Windows are closed by hand here: what matters is what the report makes of them."""
    run = world.json("report")["run"]["run_id"]
    update = "UPDATE decision SET horizon = (CASE WHEN customer_key % 20 < CASE WHEN ghost = 1 THEN 4 ELSE 2 END THEN 1 ELSE 0 END) WHERE run_id = ?"
    world.change(update, parameters=(run,))
    report = world.json("report")
    treatments = {t["treatment"]: t for t in report["treatments"]}
    expect(report["outcomes"], "outcomes")
    for outcome in report["outcomes"]:
        where = "run_id = ? AND arm = 'treated' AND ghost = 0" + (" AND treatment = ?" if outcome["treatment"] else "")
        if outcome["treatment"]:
            rows = world.query(f"SELECT count(*), sum(horizon) FROM decision WHERE {where}", (run, outcome["treatment"]))
            same((outcome["treated"], outcome["treated_churned"]), (rows[0][0], rows[0][1] or 0), outcome["treatment"])
            expect(outcome["treatment"] in treatments, outcome["treatment"])
    everything = report["outcomes"][0]
    same((everything["treatment"], everything["control"]), (None, "universal_control"), "the first is of all marketing")
    same(everything["too_few"], True, "some ten customers are too few")
    expect("too few" in world.page()[1], "the page says so")


# ---- formats ----


def csv_has_the_figures_of_json(world):
    report = world.json("report")
    world.cvm("report", "latest", "--csv", world.path("r.csv"))
    with open(world.path("r.csv"), encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    same(list(rows[0]), ["section", "name", "group", "value", "unit"], "header")
    figures = {(r["section"], r["name"], r["group"]): r for r in rows}
    near(float(figures[("total", "value", "")]["value"]), report["total"]["value"]["estimate"], "value")
    same(figures[("total", "value", "")]["unit"], report["currency"], "unit")
    for treatment in report["treatments"]:
        same(int(figures[("treatment", "treated", treatment["treatment"])]["value"]), treatment["treated"], "treated")
    for group in report["groups"]:
        row = figures[(f"group {group['feature']}", "customers", group["group"])]
        same(int(row["value"]), group["customers"], group["group"])
    to_output = world.cvm("report", "latest", "--csv", "-").out
    same(list(csv.DictReader(io.StringIO(to_output)))[0]["section"], "run", "- is standard output")


def only_one_format_goes_to_standard_output(world):
    world.cvm("report", "latest", "--csv", "-", "--html", "-", allowed=(2,))
    world.cvm("report", "latest", "--csv", "-", "--json", allowed=(2,))


def json_and_a_page_at_once_are_fine(world):
    document = world.cvm("report", "latest", "--html", world.path("x.html"), "--json").document
    expect(os.path.exists(world.path("x.html")), "the page")
    expect("run" in document, "the document")


def an_unknown_run_is_an_error_with_a_hint(world):
    error = world.json("report", "nonsense", allowed=(1,))["error"]
    same(error["status"], "not_found", "status")
    expect("cvm plan list" in error["hint"], error)
    world.json("report", "latest", "--against", "nonsense", allowed=(1,))


def a_page_that_can_not_be_written_is_an_error(world):
    world.json("report", "latest", "--html", world.path("nowhere", "r.html"), allowed=(1,))


def a_run_of_one_treatment_or_of_nobody_has_a_report(world):
    world.json("run", "--as-of", "2026-03-03", "--treatment", "service_sms")
    same(world.json("report")["baselines"], [], "nothing to choose")
    expect("One treatment was asked for" in world.cvm("report").out, "said")
    world.json("run", "--as-of", "2026-03-04", "--allowed", "ignore")
    report = world.json("report")
    same(report["total"]["treated"], 0, "treated")
    for text in (world.cvm("report").out, world.page()[1]):
        expect("Nobody is treated" in text, "it is said")
        expect(not re.search(r"\b(nan|inf)\b", text), "a figure that is none")


# ---- the page ----


class Outline(HTMLParser):
    """Headings, tables, pictures, and whether elements nest."""

    VOID = {"meta", "link", "br"}

    def __init__(self):
        super().__init__()
        self.open = []
        self.ids = []
        self.counts = {}
        self.attributes = []

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.attributes.append((tag, dict(attrs)))
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        expect(self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}")
        self.open.pop()


def the_page_nests_and_says_every_section(world):
    _, text = world.page()
    outline = Outline()
    outline.feed(text)
    same(outline.open, [], "open at the end")
    for section in SECTIONS:
        expect(section in outline.ids, f"no section '{section}' in {outline.ids}")
    same(outline.counts["h1"], 1, "h1")
    same(outline.counts["caption"], outline.counts["table"], "captions")
    same(outline.counts["figcaption"], outline.counts["svg"], "a sentence for each picture")
    for tag, attributes in outline.attributes:
        if tag == "svg":
            expect(attributes.get("role") == "img" and len(attributes.get("aria-label", "")) > 10, attributes)
        for key in ("src", "href"):
            expect(attributes.get(key, "data:").startswith("data:"), f"{tag} {key}: {attributes}")
    expect("http:" not in text and "https:" not in text, "an address in the page")


def names_of_people_are_text_and_nothing_else(world):
    name = """<script>alert(1)</script><img src=x onerror=alert(2)> & "quotes" 'n' ü"""
    world.edit("catalogue/treatments/service_sms.yaml", r"^display_name: .*$", f"display_name: {json.dumps(name)}")
    world.cvm("apply")
    world.json("run", "--as-of", NEXT)
    path, text = world.page()
    expect("<script>alert" not in text and "<img" not in text, "unescaped")
    expect("&lt;script&gt;alert(1)&lt;/script&gt;" in text, "escaped")
    Outline().feed(text)
    if chromium.find():
        with chromium.Chromium(chromium.find()) as browser:
            browser.open("file://" + path, 800)
            same(browser.complaints(), [], "complaints")
            shown = browser.ask("[...document.querySelectorAll('td')].map(e => e.textContent)")
            expect(name in shown, "shown as written")
            check_layout(browser, path, 360, False, "report_names.png")


def browser_of(world):
    program = chromium.find()
    if program is None:
        raise cvm_program.Skip("no chromium here (tools/install_packages.sh test installs it)")
    return chromium.Chromium(program)


LAYOUT = """(() => {
    const wide = [...document.querySelectorAll('body *')].filter((e) => {
        const box = e.getBoundingClientRect();
        return box.width > 0 && box.right > document.documentElement.clientWidth + 1;
    });
    const sizes = [...document.querySelectorAll('body *')]
        .filter((e) => e.textContent.trim() && !['SCRIPT', 'STYLE'].includes(e.tagName))
        .map((e) => parseFloat(getComputedStyle(e).fontSize));
    const texts = [...document.querySelectorAll('svg')].map((svg) => {
        const rows = {};
        for (const text of svg.querySelectorAll('text')) {
            const box = text.getBoundingClientRect();
            (rows[Math.round(box.top)] ||= []).push([box.left, box.right, text.textContent]);
        }
        return Object.values(rows).filter((r) => r.length === 2 && Math.max(r[0][0], r[1][0]) < Math.min(r[0][1], r[1][1]));
    });
    return {
        scroll: document.documentElement.scrollWidth,
        wide: wide.slice(0, 3).map((e) => e.outerHTML.slice(0, 200)),
        smallest: Math.min(...sizes),
        pictures: [...document.querySelectorAll('svg')].map((s) => [s.getBoundingClientRect().width, s.getBoundingClientRect().height]),
        shapes: [...document.querySelectorAll('svg .bar, svg .dot, svg .range')].filter((s) => s.getBoundingClientRect().width > 0).length,
        overlaps: texts.flat(),
    };
})()"""


def check_layout(browser, path, width, dark, artefact):
    browser.open("file://" + path, width, dark=dark)
    same(browser.complaints(), [], f"complaints at {width} px")
    same(browser.requests(), [], "requests besides the page")
    layout = browser.ask(LAYOUT)
    expect(layout["scroll"] <= width, f"{layout['scroll']} px wide at {width}: {layout['wide']}")
    expect(layout["smallest"] >= 12, f"letters of {layout['smallest']} px at {width}")
    expect(len(layout["pictures"]) >= 6 and layout["shapes"] > 20, f"pictures: {layout['pictures']}, {layout['shapes']}")
    for box in layout["pictures"]:
        expect(box[0] >= 200 and box[1] >= 40, f"a picture of {box} px at {width}")
    same(layout["overlaps"], [], f"labels over figures at {width} px")
    folder = os.environ.get("CVM_ARTEFACTS")
    if folder:
        browser.screenshot(os.path.join(folder, artefact))


def the_page_is_readable_on_a_phone_a_desk_and_in_the_dark(world):
    world.json("run", "--as-of", NEXT)
    path, _ = world.page()
    with browser_of(world) as browser:
        for width, dark, artefact in (
            (380, False, "report_380.png"), (1280, False, "report_1280.png"), (800, True, "report_dark.png"),
        ):
            check_layout(browser, path, width, dark, artefact)


def a_click_on_a_header_sorts_and_the_page_is_whole_without(world):
    path, _ = world.page()
    with browser_of(world) as browser:
        browser.open("file://" + path, 1280)
        column = "[...document.querySelector('#worth tbody').rows].map(r => parseFloat(r.cells[1].textContent.replace(/,/g, '')))"
        rows = browser.ask(column)
        browser.ask("document.querySelectorAll('#worth th')[1].querySelector('button').click()")
        same(browser.ask(column), sorted(rows, reverse=True), "descending")
        browser.ask("document.querySelectorAll('#worth th')[1].querySelector('button').click()")
        same(browser.ask(column), sorted(rows), "ascending")
        browser.call("Emulation.setScriptExecutionDisabled", value=True)
        browser.open("file://" + path, 1280)
        expect(browser.ask("document.querySelectorAll('svg').length") >= 6, "pictures without script")


def the_page_prints(world):
    path, _ = world.page()
    pdf = world.path("report.pdf")
    with browser_of(world) as browser:
        browser.open("file://" + path, 800)
        browser.print_pdf(pdf)
    with open(pdf, "rb") as stream:
        data = stream.read()
    expect(data.startswith(b"%PDF-") and len(data) > 10000, f"{len(data)} bytes")


# ---- the driver ----

HELPERS = {"expect", "same", "near", "browser_of", "check_layout", "main"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-report-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), CUSTOMERS)
        template.json("generate", "--customers", CUSTOMERS, "--until", DAY)
        template.json("run", "--as-of", DAY)
        return cvm_program.run_rules(
            cvm_program.rules_of({k: v for k, v in globals().items() if not isinstance(v, type)}, HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
