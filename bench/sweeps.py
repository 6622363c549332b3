"""How rates, particles, sizes, batches and epochs matter for a data set:  ``python -m bench.sweeps [DATA] [-o FILE]``.

Every fifth row is held out. A figure is the mean log p(x) of these rows in nats, by importance sampling, averaged over
the seeds, with the standard deviation between them. From sweep to sweep one thing changes, the rest is `COMMON`, and
what `RULES` says of either rule.
"""

import argparse
from pathlib import Path

import numpy as np

from bench.report import machine as this_machine
from bench.report import table
from wakesleep import HelmholtzMachine, datasets
from wakesleep.likelihood import independent_log_likelihood

SEEDS, PARTICLES = (0, 1, 2), 1000
COMMON = {"hidden_layer_sizes": (32, 16), "batch_size": 20, "n_iter": 100}
REWEIGHTED = {"rule": "reweighted", "optimizer": "adam", "learning_rate": 0.01, "n_particles": 10}
RULES = {"wake-sleep": {"optimizer": "sgd", "learning_rate": 0.3}, "reweighted, K = 10": REWEIGHTED}

RATES = {"sgd": (0.03, 0.1, 0.3, 1.0, 3.0), "adam": (0.001, 0.003, 0.01, 0.03, 0.1)}
SIZES = ((8,), (16,), (32,), (64,), (128,), (16, 8), (32, 16), (64, 32), (128, 64), (32, 16, 8), (64, 32, 16))
N_PARTICLES = (2, 5, 10, 20, 50)
FEW_ROWS, FEW_EPOCHS = (60, 200, 400), ((0.1, 200), (0.3, 200), (0.3, 600))  # numbers of rows; rates of sgd, and epochs
FEW_RULES = {
    "wake-sleep": {},
    "reweighted, K = 10": {"rule": "reweighted", "n_particles": 10},
    "reweighted, weight_decay=0.003": {"rule": "reweighted", "n_particles": 10, "weight_decay": 0.003},
}


def by_rule(name, values, **others):
    """Lines of a sweep of one argument, by both rules."""
    return {f"{value}": [rule | {name: value} | others for rule in RULES.values()] for value in values}


def sweeps():
    """Of each: its title, the heads of its columns, and its lines, {label: [arguments of either figure]}."""
    for optimizer, rates in RATES.items():
        lines = by_rule("learning_rate", rates, optimizer=optimizer)
        yield f"Learning rates of {optimizer}", ["learning_rate", *RULES], lines
    lines = {
        str(k): [REWEIGHTED | {"n_particles": k, "n_iter": epochs} for epochs in (100, 1000 // k)] for k in N_PARTICLES
    }
    yield "Particles", ["n_particles", "reweighted, 100 epochs", "reweighted, 1,000 / K epochs"], lines
    yield "Sizes", ["hidden_layer_sizes", *RULES], by_rule("hidden_layer_sizes", SIZES)
    yield "Batches", ["batch_size", *RULES], by_rule("batch_size", (5, 20, 100, 500))
    yield "Epochs", ["n_iter", *RULES], by_rule("n_iter", (10, 30, 100, 300, 1000))
    yield "Decay of weights", ["weight_decay", *RULES], by_rule("weight_decay", (0.0, 0.001, 0.003, 0.01, 0.03))


def few_rows(train, held_out):
    """The head and the lines of a table of machines that learn by sgd from few rows, taken at equal distances."""
    yield ["rows", "learning_rate", "n_iter", "independent columns", *FEW_RULES]
    for n in FEW_ROWS:
        rows = train[np.arange(n) * len(train) // n]
        floor = f"{independent_log_likelihood(rows, held_out).mean():.2f}"
        for rate, epochs in FEW_EPOCHS:
            how = {"learning_rate": rate, "n_iter": epochs}
            cells = (log_p(rows, held_out, rule | how) for rule in FEW_RULES.values())
            yield [str(n), str(rate), str(epochs), floor, *cells]


def log_p(train, held_out, params):
    """Held-out log p(x) of machines with these arguments, as text."""
    values = [
        HelmholtzMachine(**(COMMON | params), random_state=seed)
        .fit(train)
        .score(held_out, method="importance", n_particles=PARTICLES)
        for seed in SEEDS
    ]
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.sweeps", description=__doc__.partition(":")[0])
    parser.add_argument("data", nargs="?", help="rows to read, as wakesleep train reads them; the digits if left out")
    parser.add_argument("-o", "--output", type=Path, help="a Markdown file for what is printed")
    args = parser.parse_args()
    rows = datasets.read(args.data) if args.data else datasets.load_digits()
    held = np.arange(len(rows)) % 5 == 4
    train, held_out = rows[np.flatnonzero(~held)], rows[np.flatnonzero(held)]
    floor = independent_log_likelihood(train, held_out).mean()
    text = [
        f"{len(train):,} rows to learn from, {len(held_out):,} held out, {rows.n_features} columns; {len(SEEDS)} seeds;"
        f" importance sampling with {PARTICLES:,} samples per row. Independent columns: {floor:.2f} nats.",
        "Where a table does not say otherwise: "
        + "; ".join([said(COMMON), *(f"{name}: {said(rule)}" for name, rule in RULES.items())])
        + ".",
        this_machine(),
    ]
    print(*text, sep="\n\n", flush=True)
    for title, head, lines in sweeps():
        cells = [[label, *(log_p(train, held_out, params) for params in line)] for label, line in lines.items()]
        text.append(f"**{title}**\n\n{table(head, cells)}")
        print("", text[-1], sep="\n", flush=True)
    if len(train) > FEW_ROWS[-1]:
        head, *cells = few_rows(train, held_out)
        text.append(f"**Few rows**\n\n{table(head, cells)}")
        print("", text[-1], sep="\n", flush=True)
    if args.output:
        args.output.write_text("\n\n".join(text) + "\n", encoding="utf-8")


def said(params):
    return ", ".join(f"`{name}={value!r}`" for name, value in params.items() if name != "rule")


if __name__ == "__main__":
    main()
