"""`python -m bench.likelihood TASK ...`: train a machine by its recipe, measure it, and keep what came out.

A card (JSON: recipe, seeds, figures, times, machine) and the curves (CSV) of each task go to `bench/results/`, and the
table of all cards to `bench/RESULTS.md`. Checkpoints go beside the cards, but not into git; with `--resume`, a run
that was stopped goes on from the last one, and comes to the same bits. `--others N` trains N further seeds of a toy
instead, from 1000, and adds to its card how many reach what is to be beaten.
"""

import argparse
import csv
import hashlib
import json
import statistics
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path

from bench.report import RESULTS, processor, table, write_section
from bench.tasks import TASKS
from wakesleep import HelmholtzMachine, __version__

FOLDER = Path(__file__).with_name("results")
HEAD = [
    "task", "measured", "s.e.", "K", "published", "must", "goal", "seeds", "other seeds that reach must; goal",
    "training, s", "epochs", "date",
]  # fmt: skip
FIRST_OTHER = 1000  # seed; those from 100 have chosen the recipes


def arguments(task, seed, epoch):
    """All of the constructor's arguments until `n_iter` epochs are done: the next change or measurement."""
    until, factor, other = next(stage for stage in task.stages if epoch < stage.until)
    machine = HelmholtzMachine(task.sizes, random_state=seed, **task.params | other)
    rate = machine.learning_rate
    scaled = tuple(r * factor for r in rate) if isinstance(rate, tuple) else rate * factor
    until = min(until, epoch - epoch % task.watched_every + task.watched_every)
    return machine.set_params(learning_rate=scaled, n_iter=until).get_params()


def train(task, seed, n_threads, file, resume):
    """Train to the end of the recipe, saving the machine after every measurement; the best one beside the last.

    Returns the last machine, whose `history_` has the measurements, and the one that is to be reported.
    """
    best_file = file.with_name(f"{file.stem}-best.npz")
    machine = HelmholtzMachine.load(file) if resume and file.is_file() else task.machine(seed)
    n_done = len(machine.history_) if hasattr(machine, "history_") else 0
    rows, n_epochs = task.data.rows(seed), task.stages[-1].until
    while n_done < n_epochs:
        machine.set_params(**arguments(task, seed, n_done) | {"n_threads": n_threads}).fit(rows, resume=True)
        n_done = machine.n_iter_
        found = task.data.watch(machine)
        best = min((entry["nll"] for entry in machine.history_ if "nll" in entry), default=float("inf"))
        machine.history_[-1] |= found | {"threads": n_threads}
        if task.data.selects and found["nll"] < best:
            machine.save(best_file)
        machine.save(file)
        figures = "  ".join(f"{name} {value:.4f}" for name, value in found.items())
        print(f"{file.stem}  epoch {n_done}  {figures}", flush=True)
    return machine, HelmholtzMachine.load(best_file).set_params(n_threads=n_threads) if task.data.selects else machine


def run(name, task, seed, n_threads, particles, resume):
    """Train and measure one machine.  Returns what the card tells of it, and its curve."""
    last, reported = train(task, seed, n_threads, FOLDER / f"{name}-{seed}.npz", resume)
    digest = hashlib.sha256()
    for layer in (*reported.generative_, *reported.recognition_):
        digest.update(layer.weights.tobytes() + layer.biases.tobytes())
    facts = {
        "seed": seed, "epochs": last.n_iter_, "steps": last.step_, "reported_epoch": reported.n_iter_,
        "training_seconds": sum(entry["seconds"] for entry in last.history_), "threads": last.history_[-1]["threads"],
        "sha256_of_layers": digest.hexdigest(), **task.data.measure(reported, particles),
    }  # fmt: skip
    return facts, [{"seed": seed, **entry} for entry in last.history_ if "nll" in entry]


def keep(name, task, runs, curve):
    """Write the card and the curves.  Returns the card, and the two files."""
    values = [facts[task.key] for facts in runs]
    stages = [(until, factor, dict(other)) for until, factor, other in task.stages]
    card = {
        "command": f"python -m bench.likelihood {name}", "task": name, "hidden_layer_sizes": task.sizes,
        "params": task.params, "stages": stages, "initial_biases": biases(task), "unit": task.data.unit,
        "figure": task.key, "median": statistics.median(values), "published": task.published,
        "must": task.must, "goal": task.goal, "runs": runs, "version": __version__,
        "processor": processor(), "date": f"{date.today():%Y-%m-%d}",
    }  # fmt: skip
    files = write(name, card), FOLDER / f"{name}.csv"
    with files[1].open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(curve[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(curve)
    return card, files


def write(name, card):
    """Write a card.  Returns the file."""
    file = FOLDER / f"{name}.json"
    file.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return file


def biases(task):
    """Where units begin, by what they are; None: where those of a new machine do."""
    if task.biases is None:
        return None
    visible, hidden = task.biases
    return {"visible, of p": visible, "hidden below the top, of p and of q": hidden, "top, of p and of q": 0.0}


def others(name, task, n_seeds, n_threads):
    """Train so many further seeds, and add to the card that is there how many succeed.  Returns card and file."""
    task, seeds = replace(task, watched_every=task.stages[-1].until), range(FIRST_OTHER, FIRST_OTHER + n_seeds)
    with tempfile.TemporaryDirectory() as folder:
        machines = [train(task, seed, n_threads, Path(folder) / f"{name}-{seed}.npz", False)[1] for seed in seeds]
    found = [task.data.measure(machine, ()) for machine in machines]
    card = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    card["others"] = {
        "seeds": f"{seeds[0]} to {seeds[-1]}", "n": n_seeds, "figures": [facts[task.key] for facts in found],
        **{wanted: sum(task.reached(facts, card[wanted]) for facts in found)
           for wanted in ("must", "goal") if card[wanted] != "-"},
    }  # fmt: skip
    return card, write(name, card)


def measured(card):
    """The figure of a card: of several seeds the median, and the range."""
    runs, text = card["runs"], f"{card['figure'].upper()} {card['median']:.3f} {card['unit']}"
    if len(runs) > 1:
        values = [facts[card["figure"]] for facts in runs]
        text += f" ({min(values):.3f} … {max(values):.3f})"
    if "direction" in runs[0]:
        text += f", direction {statistics.median(facts['direction'] for facts in runs):.3f}"
    return text


def successes(card):
    """Of how many other seeds the task succeeds."""
    if "others" not in card:
        return "-"
    found = card["others"]
    return "; ".join(str(found[wanted]) for wanted in ("must", "goal") if wanted in found) + f" of {found['n']}"


def line(card):
    """A card as a line of the table, as `HEAD` names its columns."""
    runs = card["runs"]
    estimates = runs[0].get("by_particles", {})
    k = ", ".join(f"{int(k):,}: {value:.2f}" for k, value in estimates.items()) or "exact"
    error = f"{runs[0]['standard_error']:.2f}" if estimates else "-"
    seeds = ", ".join(str(facts["seed"]) for facts in runs)
    seconds = statistics.median(facts["training_seconds"] for facts in runs)
    return [
        card["task"], measured(card), error, k, card["published"], card["must"], card["goal"], seeds, successes(card),
        f"{seconds:.1f} ({runs[0]['threads']} threads)", str(runs[0]["epochs"]), card["date"],
    ]  # fmt: skip


def report():
    """The table of all cards, into `RESULTS.md`."""
    cards = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*.json"))]
    versions = sorted({f"{card['processor']}, wakesleep {card['version']}" for card in cards})
    text = "\n\n".join(
        [
            "One row per card of `bench/results/`, which has the recipe, all seeds and the curves. Toys: exact, the "
            "median of the seeds, in brackets the range; other seeds are those of `--others`. Data sets: the test "
            "split, at the epoch that was best on the validation split; s.e. is the standard error over rows. Training "
            "is the median of the seeds, while other programs ran.",
            "\n".join(f"- {version}" for version in versions),
            table(HEAD, [line(card) for card in cards]),
        ]
    )
    write_section("bench.likelihood", text)


def told(card, files):
    """Bring the table up to date, and tell what came out and where it is."""
    report()
    seeds = ", ".join(str(facts["seed"]) for facts in card["runs"])
    print(f"{card['task']}: {measured(card)}; seeds {seeds}; must {card['must']}, goal {card['goal']}")
    if "others" in card:
        print(f"of {card['others']['n']} other seeds, {card['others']['seeds']}, reach must; goal: {successes(card)}")
    print("written:", *files, RESULTS)


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.likelihood", description=__doc__)
    parser.add_argument("tasks", nargs="+", choices=TASKS, metavar="TASK", help=f"of {', '.join(TASKS)}")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoints that there are")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--others", type=int, metavar="N", help="train N further seeds of a toy instead, and count")
    parser.add_argument("--particles", type=int, nargs="+", help="K, one or several; by default those of the task")
    options = parser.parse_args()
    if options.others is not None and (options.others < 1 or any(TASKS[name].data.selects for name in options.tasks)):
        parser.error("--others: want 1 or more, and toys, whose measures are exact")
    FOLDER.mkdir(exist_ok=True)
    for name in options.tasks:
        task, runs, curve = TASKS[name], [], []
        if options.others is not None:
            card, file = others(name, task, options.others, options.threads)
            told(card, (file,))
            continue
        for seed in task.seeds:
            particles = options.particles or task.particles
            facts, points = run(name, task, seed, options.threads, particles, options.resume)
            runs, curve = [*runs, facts], [*curve, *points]
            card, files = keep(name, task, runs, curve)
        told(card, files)


if __name__ == "__main__":
    main()
