"""The picture of peers.py: seconds by size of the base, and what simpler rules lose, in one SVG."""

import math

from svg_picture import BLUE, GREEN, INK, LEFT, PLOT, SOFT, Picture, legend

COLOURS = {
    "clp-dual": "#d9822b", "clp-barrier": "#e8b27a", "highs-simplex": "#7b5ea7", "highs-ipm": "#b79fd6",
    "pdlp": "#c0504d",
}


def panel_seconds(picture, top, cases):
    """Both axes by powers of ten; a solver that was stopped ends in a cross."""
    height = 240
    sizes = sorted({case["customers"] for case in cases})
    first, last = math.log10(sizes[0]), math.log10(sizes[-1])
    seconds = [case["ours"]["cold_seconds_median"] for case in cases]
    seconds += [a["seconds"] for case in cases for a in case["peers"].values() if a["seconds"]]
    low, high = math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds)))

    def x_of(size):
        return LEFT + PLOT * (math.log10(size) - first + 0.05) / (last - first + 0.1)

    def y_of(value):
        return top + height - height * (math.log10(value) - low) / (high - low)

    for power in range(low, high + 1):
        picture.line(LEFT, y_of(10.0**power), LEFT + PLOT, y_of(10.0**power))
        picture.text(LEFT - 8, y_of(10.0**power) + 4, f"{10.0**power:g} s", 11, "end", SOFT)
    for size in sizes:
        picture.text(x_of(size), top + height + 16, f"{size:,} customers", 11, "middle", SOFT)
    for name, colour in COLOURS.items():
        points = [(case, case["peers"][name]) for case in cases if case["peers"].get(name, {}).get("seconds")]
        if points:
            picture.path([(x_of(c["customers"]), y_of(a["seconds"])) for c, a in points], colour)
        for case, answer in points:
            mark = picture.dot if answer["is_optimal"] else picture.cross
            mark(x_of(case["customers"]), y_of(answer["seconds"]), colour)
    points = [(x_of(c["customers"]), y_of(c["ours"]["cold_seconds_median"])) for c in cases]
    picture.path(points, BLUE, 3.0)
    for x, y in points:
        picture.dot(x, y, BLUE)
    return height


def panel_lost(picture, top, figures, rules):
    """Two bars per rule: the made-up base, and the generated worlds counted by their truth."""
    made = figures["rules"][-1]["lost"] if figures.get("rules") else {}
    real = figures["truth"]["rules"] if figures.get("truth") else {}
    left = LEFT + 90
    names = [name for name in rules if name in made or name in real]
    most = max([made.get(n, 0.0) for n in names] + [real[n]["lost"] for n in names if n in real] + [1.0])
    scale = (PLOT - 150) / most
    for i, name in enumerate(names):
        y = top + 38 * i
        picture.text(left - 8, y + 18, rules[name], 12, "end")
        if name in made:
            picture.box(left, y, max(made[name], 0.0) * scale, 13, BLUE, 0.85)
            picture.text(left + max(made[name], 0.0) * scale + 6, y + 11, f"{made[name]:.2f} %", 11, colour=INK)
        if name in real:
            lost, width = real[name]["lost"], real[name]["lost_width"]
            picture.box(left, y + 15, max(lost, 0.0) * scale, 13, GREEN, 0.85)
            picture.line(left + (lost - width) * scale, y + 21.5, left + (lost + width) * scale, y + 21.5, INK)
            picture.text(left + max(lost + width, 0.0) * scale + 6, y + 26, f"{lost:.1f} ± {width:.1f} %", 11)
    return 38 * len(names)


def write(path, figures, peers, rules):
    picture = Picture()
    picture.text(20, 28, "One solve over everybody, beside others", 18, weight="bold")
    picture.text(20, 48, "written by bench/peers.py", 12, colour=SOFT)
    y = 80
    cases = [case for case in figures.get("lp", []) if case["rows"] == 13]
    if cases:
        picture.text(20, y, "Seconds to solve (13 rows; a cross: stopped)", 13, weight="bold")
        y += 20
        y += panel_seconds(picture, y, cases) + 38
        asked = [name for name in COLOURS if any(name in case["peers"] for case in cases)]
        entries = [("cvm, integral plan and proof", BLUE)] + [(peers[name], COLOURS[name]) for name in asked]
        for k in range(0, len(entries), 3):
            legend(picture, y, entries[k : k + 3])
            y += 18
        y += 24
    if figures.get("rules") or figures.get("truth"):
        picture.text(20, y, "Value lost by simpler rules", 13, weight="bold")
        y += 20
        y += panel_lost(picture, y, figures, rules) + 20
        legend(picture, y, [("made-up base with a tight budget", BLUE), ("truth of generated bases, 95 %", GREEN)])
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(picture.svg(y + 24))
