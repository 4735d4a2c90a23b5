"""How often `mnn discover` finds equations that predict: ODEBench, with the default options.

    cargo build --release && python3 benches/discovery.py target/release/mnn
    python3 benches/discovery.py pysindy

For each system, initial state and noise: the true equations are integrated (512 points), every
value x becomes x (1 + σ n) with a normal n, `mnn discover` sees the table, and the equations that
it prints are integrated from the true initial state (reconstruction) and from the other initial
state of the benchmark (generalization). A prediction counts where it explains more than 90 % of
the variance of the true trajectory. Needs numpy, scipy and sympy, and for the peer (see sindy.py)
pysindy.
"""

import argparse
import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp

DATA = pathlib.Path(__file__).parent.parent / "data" / "odebench_even.json"
# A trajectory that takes longer than this to integrate, or grows beyond this size, is a failure.
EVALUATIONS = 200_000
LARGEST = 1e12
# The same for each of the many candidates of the peer.
CANDIDATE_EVALUATIONS = 10_000
SUCCESS = 0.9


class Late(Exception):
    """An integration that takes too long."""


def field(expressions, names, evaluations=EVALUATIONS):
    """Returns the vector field f(t, x) of expressions in these names, which may be evaluated so often."""
    symbols = [sp.Symbol(name) for name in names]
    known = dict(zip(names, symbols))
    functions = [sp.lambdify(symbols, sp.sympify(e, locals=known), "numpy") for e in expressions]
    count = 0

    def derivative(_, x):
        nonlocal count
        count += 1
        if count > evaluations:
            raise Late
        return np.array([f(*x) for f in functions], float)

    return derivative


def integrate(derivative, times, start, rtol, atol):
    """Returns the trajectory (N, K), or NaN where there is none."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            solution = solve_ivp(derivative, (times[0], times[-1]), start, "LSODA", times, rtol=rtol, atol=atol)
            if solution.y.shape[1] == len(times):
                return solution.y.T
        except (Late, ValueError, ArithmeticError, TypeError):
            pass
    return np.full((len(times), len(start)), np.nan)


def explained(truth, found):
    """Returns the fraction of the true trajectory's variance that another explains."""
    if not (np.all(np.isfinite(found)) and np.abs(found).max() < LARGEST):
        return 0.0
    return 1 - ((truth - found) ** 2).sum() / ((truth - truth.mean(0)) ** 2).sum()


def discover(program, times, values, names, options, limit):
    """Returns the seconds of processor time and the result of `mnn discover`, or its message."""
    with tempfile.TemporaryDirectory() as folder:
        table = os.path.join(folder, "data.csv")
        header = ",".join(["t", *names])
        np.savetxt(table, np.column_stack([times, values]), "%.17g", ",", header=header, comments="")
        command = [program, "discover", table, "--format", "json", "--quiet", *options]
        environment = dict(os.environ, RAYON_NUM_THREADS="1")
        with open(os.path.join(folder, "out"), "w+") as out, open(os.path.join(folder, "err"), "w+") as err:
            process = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
            timer = None
            try:
                began = time.monotonic()
                while True:
                    pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                    if pid:
                        break
                    if time.monotonic() - began > limit:
                        process.send_signal(signal.SIGKILL)
                        _, status, usage = os.wait4(process.pid, 0)
                        timer = "took too long"
                        break
                    time.sleep(0.005)
            finally:
                process.returncode = 0
            out.seek(0)
            err.seek(0)
            seconds = usage.ru_utime + usage.ru_stime
            if status or timer:
                return seconds, None, timer or err.read().strip()
            return seconds, json.load(out), err.read().strip()


def case(arguments, system, noise, start):
    names = [f"x_{i}" for i in range(len(system["equations"]))]
    times = np.linspace(0, system["end"], arguments.points)
    true = [
        integrate(field(system["equations"], names), times, x0, 1e-12, 1e-13)
        for x0 in system["initial_values"]
    ]
    random = np.random.RandomState([system["id"], start, round(1e6 * noise)])
    values = true[start] * (1 + noise * random.randn(*true[start].shape))
    if arguments.program == "pysindy":
        predict = lambda equations, x0: integrate(
            field(equations, names, CANDIDATE_EVALUATIONS), times, x0, 1e-6, 1e-9
        )
        seconds, found, message = arguments.peer(times, values, names, predict, explained)
    else:
        seconds, found, message = discover(
            arguments.program, times, values, names, arguments.options, arguments.limit
        )
    row = dict(id=system["id"], noise=noise, start=start, seconds=round(seconds, 2))
    row.update(reconstruction=0.0, generalization=0.0, message=message.replace("\n", " | "))
    if found:
        right_hand_sides = [equation["rhs"] for equation in found["equations"]]
        if found["states"] == names:
            for key, place in [("reconstruction", start), ("generalization", 1 - start)]:
                derivative = field(right_hand_sides, found["symbols"])
                predicted = integrate(derivative, times, true[place][0], 1e-8, 1e-10)
                row[key] = round(explained(true[place], predicted), 4)
        row["equations"] = " | ".join(right_hand_sides)
        chosen = [tried["model"] for tried in found.get("tried", []) if tried["chosen"]]
        row["model"] = ", ".join(chosen)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("program", help="the program mnn, or pysindy")
    parser.add_argument("--noise", default="0,0.01,0.05", help="levels σ of the noise")
    parser.add_argument("--ids", default="", help="numbers of the systems [default: all]")
    parser.add_argument("--starts", default="0,1", help="initial states to learn from")
    parser.add_argument("--jobs", type=int, default=1, help="searches at a time")
    parser.add_argument("--limit", type=float, default=120, help="seconds for one search")
    parser.add_argument("--out", help="a CSV table with every case")
    parser.epilog = "After -- come options of mnn discover."
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments = parser.parse_args(sys.argv[1:end])
    arguments.options = sys.argv[end + 1 :]
    if arguments.program == "pysindy":
        # The processor time of a case is that of the process.
        if arguments.jobs > 1 or arguments.options:
            parser.error("with pysindy there is one search at a time, without options")
        import sindy

        arguments.peer = sindy.discover
    benchmark = json.loads(DATA.read_text())
    arguments.points = benchmark["points"]
    ids = {int(i) for i in arguments.ids.split(",") if i}
    cases = [
        (system, float(noise), int(start))
        for noise in arguments.noise.split(",")
        for system in benchmark["systems"]
        if not ids or system["id"] in ids
        for start in arguments.starts.split(",")
    ]
    fields = "id noise start seconds reconstruction generalization model equations message".split()
    rows = []
    with ThreadPoolExecutor(arguments.jobs) as pool, open(arguments.out or os.devnull, "w", newline="") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        for row in pool.map(lambda c: case(arguments, *c), cases):
            rows.append(row)
            writer.writerow(row)
            file.flush()
            shown = [f"{row[key]}" for key in fields[:6]] + [row.get("model") or row["message"][:60]]
            print("  ".join(shown), file=sys.stderr, flush=True)
    print("| noise | cases | reconstruction | generalization | seconds, median (largest) |")
    print("|---|---|---|---|---|")
    for noise in dict.fromkeys(row["noise"] for row in rows):
        group = [row for row in rows if row["noise"] == noise]
        share = lambda key: 100 * np.mean([row[key] > SUCCESS for row in group])
        seconds = [row["seconds"] for row in group]
        print(
            f"| {noise:g} | {len(group)} | {share('reconstruction'):.1f} % | {share('generalization'):.1f} % "
            f"| {np.median(seconds):.1f} ({max(seconds):.1f}) |"
        )


if __name__ == "__main__":
    main()
