"""The recipes of docs/callbacks.md, run as they stand there; trackers are played by modules that only remember."""

import json
import re
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from machines import DIGITS, small

from wakesleep import HelmholtzMachine

TEXT = (Path(__file__).parents[1] / "docs" / "callbacks.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^## (.*?)\n.*?^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))
N_ITER = 3


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(title, **params):
    """The machine that a recipe has trained."""
    machine = small(**{"n_iter": N_ITER, **params})
    exec(compile(RECIPES[title], title, "exec"), {"machine": machine, "X": DIGITS[:200]})
    assert machine.n_features_in_ == 64
    return machine


def fake(monkeypatch, name, **content):
    """A module of this name, and all those around it."""
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:i]), ModuleType(".".join(parts[:i])))
    vars(sys.modules[name]).update(content)


class Recorder:
    """Stands for a run of a tracker: a context that remembers."""

    def __init__(self, **about):
        self.about, self.logged, self.open = about, [], False

    def __enter__(self):
        self.open = True
        return self

    def __exit__(self, *error):
        self.open = False

    def log(self, record, step):
        assert self.open
        self.logged.append((step, dict(record)))

    def add_scalar(self, name, value, step):
        assert self.open
        self.logged.append((name, float(value), step))


def test_every_recipe_is_tested():
    tested = set(re.findall(r'run\("(.*?)"', Path(__file__).read_text(encoding="utf-8")))
    assert tested == set(RECIPES)
    assert len(RECIPES) == TEXT.count("```python") == TEXT.count("\n## ")


def test_json_lines_are_the_history():
    machine = run("A file of JSON lines")
    assert [json.loads(line) for line in Path("log.jsonl").read_text().splitlines()] == machine.history_


@pytest.mark.parametrize("params", [{}, {"hidden_layer_sizes": (4,)}], ids=["estimated", "exact"])
def test_mlflow(monkeypatch, params):
    recorder, told = Recorder(), []

    def log_metrics(metrics, step):
        assert all(type(value) in (int, float) for value in metrics.values())
        recorder.log(metrics, step)

    fake(
        monkeypatch, "mlflow", start_run=lambda: recorder, log_metrics=log_metrics,
        log_params=lambda params: told.append((recorder.open, params)),
    )  # fmt: skip
    machine = run("MLflow", **params)
    assert told == [(True, machine.get_params())]
    assert recorder.logged == [
        (entry["epoch"], {name: value for name, value in entry.items() if value is not None})
        for entry in machine.history_
    ]
    assert not recorder.open


def test_tensorboard(monkeypatch):
    writers = []
    fake(monkeypatch, "torch.utils.tensorboard", SummaryWriter=lambda: writers.append(Recorder()) or writers[-1])
    machine = run("TensorBoard")
    assert writers[0].logged == [
        (name, entry[name], entry["epoch"])
        for entry in machine.history_
        for name in ("log_likelihood", "reconstruction_cross_entropy")
    ]


def test_weights_and_biases(monkeypatch):
    runs = []
    fake(monkeypatch, "wandb", init=lambda **about: runs.append(Recorder(**about)) or runs[-1])
    machine = run("Weights & Biases")
    assert runs[0].about == {"project": "digits", "config": machine.get_params()}
    assert runs[0].logged == [(entry["epoch"], entry) for entry in machine.history_]


def test_an_end_after_an_hour(monkeypatch):
    clock = iter(range(0, 10**6, 1000))
    with monkeypatch.context() as patched:
        patched.setattr(time, "monotonic", lambda: next(clock))
        machine = run("An end after an hour", n_iter=1000, batch_size=1)
    assert machine.step_ == 400  # an hour is over at the fourth look


def test_a_copy_after_every_epoch():
    machine = run("A copy on disk after every epoch")
    copy = HelmholtzMachine.load("machine.npz")
    assert copy.n_iter_ == N_ITER
    np.testing.assert_array_equal(copy.generative_[0].weights, machine.generative_[0].weights)


def test_a_film():
    pytest.importorskip("matplotlib")
    run("A film of the generative fields")
    assert sorted(path.name for path in Path().glob("*.png")) == [f"fields-000{n}.png" for n in (1, 2, 3)]


def test_what_a_record_has_is_what_the_table_says():
    table = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE))))
    seen = {}
    small(n_iter=1).fit(
        DIGITS[:200], validation=0.2, callbacks=[seen.update, (lambda entry: seen.update(step_entry=set(entry)), 1)]
    )
    assert seen.pop("step_entry") == set(list(seen)[:4]) == {"epoch", "step", "seconds", "rows_per_second"}
    assert set(seen) == table
