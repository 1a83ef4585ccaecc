"""A problem of `cvm allocate` as numpy columns, and the linear program that it is.

Households, several treatments per customer and named measures are not read: the instances of the benches have none.
"""

import csv
import json
import os

import numpy

SHARE = ("share_min", "share_max")
SEGMENT = ("segment_max", "segment_min", *SHARE)
MINIMUM = ("segment_min", "share_min")


class Problem:
    """values[i, t] with NaN where not eligible; use[r](i, t) and limit[r] of the rows, all of them <=."""

    def __init__(self, document, customers, segments, high_value, amounts, values):
        self.document = document
        self.treatments = document["treatments"]
        self.rows = document["rows"]
        self.customers = customers
        self.segments = segments  # names
        self.high_value = high_value
        self.amounts = amounts
        self.values = values
        number = {name: i for i, name in enumerate(self.treatments)}
        self.covered = [
            [number[t] for t in row.get("treatments", self.treatments)] for row in self.rows
        ]
        self.micros = self.make_micros(document)

    @property
    def has_minimums(self):
        return any(row["kind"] in MINIMUM for row in self.rows)

    def make_micros(self, document):
        """Cost of every pair, rounded half to even."""
        flat = numpy.array([document.get("cost", {}).get(t, 0.0) for t in self.treatments])
        rate = numpy.array([document.get("cost_rate", {}).get(t, 0.0) for t in self.treatments])
        return numpy.rint((flat[None, :] + rate[None, :] * self.amounts[:, None]) * 1e6)

    def uses(self, r):
        """The use of each pair of one row, customers x treatments, in major units."""
        row = self.rows[r]
        kind = row["kind"]
        inside = numpy.ones(len(self.customers), dtype=bool)
        if kind in SEGMENT:
            inside = self.segments == row["segment"]
        elif kind == "reserve":
            inside = self.high_value
        use = numpy.zeros(self.values.shape)
        for t in self.covered[r]:
            if kind == "capacity":
                use[:, t] = 1.0
            elif kind == "shared":
                use[:, t] = row.get("units", {}).get(self.treatments[t], 1)
            elif kind == "budget":
                use[:, t] = self.micros[:, t] / 1e6
            elif kind == "segment_max":
                use[:, t] = inside
            elif kind == "segment_min":
                use[:, t] = -1.0 * inside
            elif kind == "share_min":
                use[:, t] = row["limit"] - inside
            elif kind == "share_max":
                use[:, t] = inside - row["limit"]
            elif kind == "reserve":
                use[:, t] = ~inside
        return use

    def limit(self, r):
        row = self.rows[r]
        if row["kind"] == "segment_min":
            return -float(row["limit"])
        if row["kind"] in SHARE:
            return 0.0
        if row["kind"] == "reserve":
            least = min(
                float(other["limit"])
                for other in self.rows
                if other["kind"] == "capacity" and other.get("treatments") == row["treatments"]
            )
            return least - float(row["limit"])
        return float(row["limit"])

    def part(self, chosen, limits):
        """The customers `chosen` (numbers) with limits of their own."""
        rows = [dict(row, limit=limit) for row, limit in zip(self.rows, limits)]
        return Problem(
            dict(self.document, rows=rows), self.customers[chosen], self.segments[chosen],
            self.high_value[chosen], self.amounts[chosen], self.values[chosen],
        )

    def write(self, folder):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "problem.json"), "w", encoding="utf-8") as stream:
            json.dump(dict(self.document, values="values.csv"), stream)
        with open(os.path.join(folder, "values.csv"), "w", encoding="utf-8") as stream:
            stream.write(",".join(["customer_id", "segment", "high_value", "amount", *self.treatments]) + "\n")
            lines = zip(
                self.customers.tolist(), self.segments.tolist(), self.high_value.tolist(), self.amounts.tolist(),
                self.values.tolist(),
            )
            for customer, segment, is_high, amount, values in lines:
                numbers = ",".join("" if v != v else repr(v) for v in values)
                stream.write(f"{customer},{segment},{int(is_high)},{amount!r},{numbers}\n")


def read(folder):
    with open(os.path.join(folder, "problem.json"), encoding="utf-8") as stream:
        document = json.load(stream)
    customers, segments, high_value, amounts, numbers = [], [], [], [], []
    with open(os.path.join(folder, document["values"]), encoding="utf-8", newline="") as stream:
        lines = csv.reader(stream)
        header = next(lines)
        wanted = ["customer_id", "segment", "high_value", "amount", *document["treatments"]]
        if header != wanted:
            raise SystemExit(f"{folder}: the columns are {header}, not {wanted}")
        nan = float("nan")
        for line in lines:
            customers.append(line[0])
            segments.append(line[1])
            high_value.append(line[2] == "1")
            amounts.append(float(line[3]))
            numbers.append(numpy.array([float(v) if v else nan for v in line[4:]]))
    return Problem(
        document, numpy.array(customers), numpy.array(segments), numpy.array(high_value, dtype=bool),
        numpy.array(amounts), numpy.array(numbers).reshape(len(customers), len(document["treatments"])),
    )


class LinearProgram:
    """minimise cost x, rows of x <= upper, 0 <= x <= 1: one column per eligible pair, by columns (CSC). A pair that is
    worth nothing is left out where no minimum could want it."""

    def __init__(self, problem):
        wanted = ~numpy.isnan(problem.values)
        if not problem.has_minimums:
            wanted &= numpy.nan_to_num(problem.values, nan=-1.0) > 0.0
        customer, treatment = numpy.nonzero(wanted)
        count = len(problem.customers)
        pairs = len(customer)
        self.cost = -problem.values[customer, treatment]
        self.upper = numpy.concatenate(
            [numpy.ones(count), [problem.limit(r) for r in range(len(problem.rows))]]
        )
        index = [customer]
        value = [numpy.ones(pairs)]
        column = [numpy.arange(pairs)]
        for r in range(len(problem.rows)):
            use = problem.uses(r)[customer, treatment]
            touched = numpy.nonzero(use)[0]
            index.append(numpy.full(len(touched), count + r))
            value.append(use[touched])
            column.append(touched)
        column = numpy.concatenate(column)
        order = numpy.argsort(column, kind="stable")
        self.index = numpy.concatenate(index)[order].astype(numpy.int32)
        self.value = numpy.concatenate(value)[order]
        self.start = numpy.concatenate([[0], numpy.cumsum(numpy.bincount(column, minlength=pairs))]).astype(numpy.int64)

    def save(self, path):
        numpy.savez(path, cost=self.cost, upper=self.upper, index=self.index, value=self.value, start=self.start)
