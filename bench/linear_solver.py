#!/usr/bin/env python3
"""One linear program by one solver in a process of its own: SOLVER LP.npz [--limit S] [--threads N]; a line of JSON.

The seconds are the solver's own: neither reading nor writing of the model is in them.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time

import numpy

INFINITY = float("inf")


def highs_model(lp):
    import highspy

    model = highspy.HighsLp()
    model.num_col_ = len(lp["cost"])
    model.num_row_ = len(lp["upper"])
    model.col_cost_ = lp["cost"]
    model.col_lower_ = numpy.zeros(model.num_col_)
    model.col_upper_ = numpy.full(model.num_col_, highspy.kHighsInf)
    model.row_lower_ = numpy.full(model.num_row_, -highspy.kHighsInf)
    model.row_upper_ = lp["upper"]
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = lp["start"].astype(numpy.int32)
    model.a_matrix_.index_ = lp["index"]
    model.a_matrix_.value_ = lp["value"]
    solver = highspy.Highs()
    solver.silent()
    solver.passModel(model)
    return solver


def highs(lp, options, method):
    solver = highs_model(lp)
    solver.setOptionValue("solver", method)
    solver.setOptionValue("time_limit", float(options.limit))
    solver.setOptionValue("threads", options.threads)
    start = time.monotonic()
    solver.run()
    seconds = time.monotonic() - start
    status = solver.modelStatusToString(solver.getModelStatus())
    return status, -solver.getInfo().objective_function_value, seconds


def clp(lp, options, arguments):
    with tempfile.TemporaryDirectory(dir=os.environ.get("CVM_SCRATCH", "/var/tmp")) as folder:
        path = os.path.join(folder, "model.mps")
        highs_model(lp).writeModel(path)
        start = time.monotonic()
        out = subprocess.run(
            ["clp", path, "-seconds", str(options.limit), *arguments], capture_output=True, text=True, check=False
        ).stdout
        seconds = time.monotonic() - start
    imported = re.search(r"imported from .* in ([0-9.e+-]+) seconds", out)
    answer = re.search(r"^(\w+) objective (\S+) - ", out, re.MULTILINE)
    if imported is None or answer is None:
        return "Failed", None, seconds
    return answer.group(1), -float(answer.group(2)), seconds - float(imported.group(1))


def pdlp(lp, options):
    from ortools.pdlp import solve_log_pb2, solvers_pb2
    from ortools.pdlp.python import pdlp as module
    from scipy import sparse

    columns, rows = len(lp["cost"]), len(lp["upper"])
    program = module.QuadraticProgram()
    program.resize_and_initialize(columns, rows)
    program.objective_vector = lp["cost"]
    program.variable_lower_bounds = numpy.zeros(columns)
    program.variable_upper_bounds = numpy.full(columns, INFINITY)
    program.constraint_lower_bounds = numpy.full(rows, -INFINITY)
    program.constraint_upper_bounds = lp["upper"]
    program.constraint_matrix = sparse.csc_matrix((lp["value"], lp["index"], lp["start"]), shape=(rows, columns))
    parameters = solvers_pb2.PrimalDualHybridGradientParams()
    parameters.termination_criteria.time_sec_limit = options.limit
    parameters.termination_criteria.simple_optimality_criteria.eps_optimal_relative = 1e-6
    parameters.num_threads = options.threads
    start = time.monotonic()
    log = module.primal_dual_hybrid_gradient(program, parameters).solve_log
    seconds = time.monotonic() - start
    reason = solve_log_pb2.TerminationReason.Name(log.termination_reason)
    found = [c.dual_objective for c in log.solution_stats.convergence_information]
    return reason.removeprefix("TERMINATION_REASON_").capitalize(), -found[0] if found else None, seconds


SOLVERS = {
    "clp-dual": lambda lp, options: clp(lp, options, ["-dualsimplex"]),
    "clp-barrier": lambda lp, options: clp(lp, options, ["-crossover", "off", "-barrier"]),
    "highs-simplex": lambda lp, options: highs(lp, options, "simplex"),
    "highs-ipm": lambda lp, options: highs(lp, options, "ipm"),
    "pdlp": pdlp,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("solver", choices=SOLVERS)
    parser.add_argument("lp")
    parser.add_argument("--limit", type=float, default=600.0)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    options.threads = options.threads or os.cpu_count()
    with numpy.load(options.lp) as stored:
        lp = {name: stored[name] for name in stored.files}
    status, objective, seconds = SOLVERS[options.solver](lp, options)
    print(json.dumps({"status": status, "objective": objective, "seconds": seconds}))


if __name__ == "__main__":
    sys.exit(main())
