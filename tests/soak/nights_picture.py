"""The picture of thirty_nights.py: three panels in one SVG."""

import math

from svg_picture import BLUE, GREEN, INK, LEFT, ORANGE, PLOT, SOFT, Picture, axis, legend, round_up


def panel_contacts(picture, top, rows):
    height = 150
    step = PLOT / len(rows)
    y_of = axis(picture, top, height, round_up(max(r["treated"] + r["ghosts"] for r in rows)), "")
    for i, row in enumerate(rows):
        x = LEFT + i * step + 2
        base = y_of(row["treated"])
        picture.box(x, base, step - 4, top + height - base, BLUE, 0.85)
        top_of_ghosts = y_of(row["treated"] + row["ghosts"])
        picture.box(x, top_of_ghosts, step - 4, base - top_of_ghosts, SOFT)
        picture.text(x + step / 2 - 2, top + height + 14, str(i + 1), 10, "middle", SOFT)
    return height


def panel_value(picture, top, rows, margin_year):
    height = 190
    step = PLOT / len(rows)
    y_of = axis(picture, top, height, round_up(max(max(r["realised"], r["expected"]) for r in rows[2:])), "")
    low, high = 0.01 * margin_year / 365.0, 0.04 * margin_year / 365.0
    picture.box(LEFT, y_of(high), PLOT, y_of(low) - y_of(high), GREEN, 0.15)
    picture.text(LEFT + PLOT / 2, y_of(high) - 5, "1 to 4 % of the base's margin a year", 11, "middle", GREEN)
    for key, colour in (("expected", ORANGE), ("realised", BLUE), ("accrued", INK)):
        picture.path([(LEFT + (i + 0.5) * step, y_of(r[key])) for i, r in enumerate(rows)], colour)
    for i in range(len(rows)):
        picture.text(LEFT + (i + 0.5) * step, top + height + 14, str(i + 1), 10, "middle", SOFT)
    return height


def panel_learned(picture, top, learned):
    cuts = [x for x in learned if x[1] == "churn_cut"]
    low = min(min(x[2], x[4], x[6]) for x in cuts)
    high = max(max(x[2], x[5], x[6]) for x in cuts)

    def x_of(value):
        return LEFT + PLOT * (value - low) / (high - low)

    height = 24 * len(cuts)
    for tick in range(math.floor(low * 10), math.floor(high * 10) + 1):
        if low <= tick / 10 <= high:
            picture.line(x_of(tick / 10), top, x_of(tick / 10), top + height)
            picture.text(x_of(tick / 10), top + height + 14, f"{10 * tick} %", 10, "middle", SOFT)
    for i, (treatment, _, prior, now, from_, to, truth, outcomes) in enumerate(cuts):
        y = top + 24 * i + 12
        picture.text(LEFT - 8, y - 1, treatment, 12, "end")
        picture.text(LEFT - 8, y + 10, f"{outcomes:,} outcomes", 9, "end", SOFT)
        picture.line(x_of(from_), y, x_of(to), y, BLUE, 5)
        picture.dot(x_of(now), y, BLUE)
        picture.dot(x_of(prior), y, SOFT, 3.5)
        picture.cross(x_of(truth), y, ORANGE)
    return height


def write(path, nights, learned):
    picture = Picture()
    rows = nights.rows
    picture.text(20, 28, f"{len(rows)} nights of run, release, contacts and outcomes", 18, weight="bold")
    picture.text(
        20, 48, f"a generated base of {nights.options.customers:,} customers, seed {nights.options.seed}; written by "
        "tests/soak/thirty_nights.py", 12, colour=SOFT,
    )
    picture.text(20, 80, "Decisions per night", 13, weight="bold")
    y = 96
    y += panel_contacts(picture, y, rows) + 32
    legend(picture, y, [("given", BLUE), ("left untreated to measure against", SOFT)])
    y += 36
    picture.text(20, y, "Incremental value per night (the first two are cut off)", 13, weight="bold")
    y += 16
    y += panel_value(picture, y, rows, nights.truth.margin_month * 12.0) + 32
    legend(
        picture, y,
        [("expected when deciding", ORANGE), ("true value of the night's decisions", BLUE),
         ("worth saved on that day", INK)],
    )
    y += 36
    picture.text(20, y, "Churn cut: what was learned, and the truth", 13, weight="bold")
    y += 14
    y += panel_learned(picture, y, learned) + 32
    legend(picture, y, [("prior", SOFT), ("learned, 95 % interval", BLUE), ("truth", ORANGE)])
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(picture.svg(y + 24))
