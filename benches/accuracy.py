"""Discovers equations that are known, from simulated data, and prints a table of the errors.

    cargo build --release
    python3 benches/accuracy.py

Every line is one run of `mnn simulate` (with the seed given there) and one of `mnn discover`;
lynx and hare is the real series of data/lynx_hare.csv, which has no truth: it is compared with a
prototype's figures, to see whether they stay.
"""

import json
import os
import subprocess
import tempfile
import time

PROGRAM = os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release", "mnn")

LORENZ = {
    "x'": {"x": -10, "y": 10},
    "y'": {"x": 28, "y": -1, "x z": -1},
    "z'": {"x y": 1, "z": -8 / 3},
}
LINEAR = {"x'": {"x": -0.1, "y": 2}, "y'": {"x": -2, "y": -0.1}}
CUBIC = {"x'": {"x x x": -0.1, "y y y": 2}, "y'": {"x x x": -2, "y y y": -0.1}}
HARE = {
    "hare'": {"hare": 0.483, "hare lynx": -0.0249},
    "lynx'": {"lynx": -0.917, "hare lynx": 0.0273},
}

# Name, arguments of simulate (or a file), arguments of discover, truth.
CASES = [
    ("Lorenz, noise 0", ["lorenz", "--noise", "0"], [], LORENZ),
    ("Lorenz, σ = 0.1", ["lorenz", "--noise", "0.1"], [], LORENZ),
    ("Lorenz, σ = 1", ["lorenz", "--noise", "1"], [], LORENZ),
    ("linear, 1 % noise", ["linear", "--noise", "1%"], [], LINEAR),
    ("cubic, 1 % noise", ["cubic", "--noise", "1%"], ["--degree", "3"], CUBIC),
    ("lynx and hare, 21 real points", "data/lynx_hare.csv", [], HARE),
    ("linear, 1 % noise, network", ["linear", "--noise", "1%"], ["--method", "network"], LINEAR),
    (
        "cubic, 1 % noise, network",
        ["cubic", "--noise", "1%"],
        ["--degree", "3", "--method", "network"],
        CUBIC,
    ),
    ("Lorenz, σ = 0.1, network", ["lorenz", "--noise", "0.1"], ["--method", "network"], LORENZ),
]


def discover(data, options):
    """The found equations as {lhs: {factors: coefficient}}, and the seconds that it took."""
    start = time.perf_counter()
    command = [PROGRAM, "discover", data, "--quiet", "--format", "json", *options]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - start
    found = {
        equation["lhs"]: {" ".join(t["factors"]): t["coefficient"] for t in equation["terms"]}
        for equation in json.loads(output)["equations"]
    }
    return found, seconds


def compare(found, truth):
    """Whether the terms are the true ones, and the worst relative error of a coefficient."""
    if {lhs: set(terms) for lhs, terms in found.items()} != {k: set(v) for k, v in truth.items()}:
        return "other terms", ""
    worst = max(
        abs(found[lhs][term] / value - 1) for lhs, terms in truth.items() for term, value in terms.items()
    )
    return "exact", f"{100 * worst:.2g} %"


def main():
    print("| data | terms | worst coefficient | seconds |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, source, options, truth in CASES:
            data = source
            if isinstance(source, list):
                data = os.path.join(folder, "data.csv")
                subprocess.run([PROGRAM, "simulate", *source, "--seed", "1", "-o", data], check=True)
            found, seconds = discover(data, options)
            terms, worst = compare(found, truth)
            print(f"| {name} | {terms} | {worst} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
