"""Of `bench.likelihood`: stages, a run that is stopped and resumed, the epoch that is reported, the direction."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bench import likelihood
from bench.tasks import SHIFTER, TASKS, Stage, Toy, direction, falling
from wakesleep import HelmholtzMachine, datasets

PARAMS = {"batch_size": 50, "learning_rate": (0.4, 0.2)}
STAGES = (Stage(3, 1.0, {"frozen": ("prior_logits",)}), Stage(4, 0.5), Stage(6, 0.1))
TINY = replace(
    TASKS["bars-wake-sleep"], data=Toy(datasets.make_bars, 500), params=PARAMS, stages=STAGES, watched_every=2
)


@pytest.mark.parametrize(
    ("epoch", "factor", "until"), [(0, 1, 2), (1, 1, 2), (2, 1, 3), (3, 0.5, 4), (4, 0.1, 6), (5, 0.1, 6)]
)
def test_arguments_change_where_the_stages_say(epoch, factor, until):
    arguments = likelihood.arguments(TINY, 7, epoch)
    assert (arguments["learning_rate"], arguments["n_iter"]) == ((0.4 * factor, 0.2 * factor), until)
    assert arguments["frozen"] == (("prior_logits",) if epoch < 3 else ())
    assert (arguments["hidden_layer_sizes"], arguments["batch_size"], arguments["random_state"]) == ((8, 1), 50, 7)


def test_falling_rates_end_with_the_last_epoch():
    assert [stage.until for stage in falling(40)] == [20, 25, 30, 35, 40]
    assert [stage.factor for stage in falling(40)] == pytest.approx([1, 1 / 3, 1 / 9, 1 / 27, 1 / 81])


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path, capsys):
    file = tmp_path / "stopped.npz"
    whole, _ = likelihood.train(TINY, 3, 1, tmp_path / "whole.npz", resume=False)
    likelihood.train(replace(TINY, stages=STAGES[:2]), 3, 1, file, resume=False)
    capsys.readouterr()
    stopped, _ = likelihood.train(TINY, 3, 1, file, resume=True)
    assert capsys.readouterr().out.count("epoch") == 1, "it began anew"
    assert stopped.step_ == whole.step_ == 60
    assert [entry["epoch"] for entry in stopped.history_ if "nll" in entry] == [2, 3, 4, 6]
    for one, other in zip(stopped.generative_, whole.generative_, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)


def test_the_epoch_that_is_best_on_the_validation_split_is_reported(tmp_path, monkeypatch):
    scores = iter([3.0, 1.0, 2.0, 4.0])
    monkeypatch.setattr(Toy, "selects", True)
    monkeypatch.setattr(Toy, "watch", lambda self, machine: {"nll": next(scores)})
    last, reported = likelihood.train(TINY, 0, 1, tmp_path / "run.npz", resume=False)
    assert (last.n_iter_, reported.n_iter_) == (6, 3)


def test_units_begin_where_the_recipe_says():
    machine = replace(TINY, biases=(-4.0, -3.0)).machine(1)
    as_ever = replace(TINY, biases=None).machine(1).set_params(n_iter=0).fit(TINY.data.rows(1))
    assert [set(layer.biases.tolist()) for layer in machine.generative_] == [{-4}, {-3}]
    assert [set(layer.biases.tolist()) for layer in machine.recognition_] == [{-3}, {0}]
    for one, other in zip(machine.generative_, as_ever.generative_, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)


def test_a_card_and_curves_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(likelihood, "FOLDER", tmp_path)
    facts, curve = likelihood.run("tiny", TINY, 0, 1, (10,), resume=False)
    kept, files = likelihood.keep("tiny", TINY, [facts], curve)
    assert files == (tmp_path / "tiny.json", tmp_path / "tiny.csv")
    card = json.loads((tmp_path / "tiny.json").read_text())
    assert card["median"] == facts["kl"] == curve[-1]["kl"] > 0
    assert card["runs"][0]["steps"] == 60
    assert len((tmp_path / "tiny.csv").read_text().splitlines()) == 1 + len(curve)
    assert card["initial_biases"] == {
        "visible, of p": -2, "hidden below the top, of p and of q": -3.5, "top, of p and of q": 0,
    }  # fmt: skip
    assert len(likelihood.line(card)) == len(likelihood.HEAD)
    assert likelihood.measured(kept) == likelihood.measured(card) == f"KL {facts['kl']:.3f} bits"


def test_the_named_biases_are_those_that_units_begin_with():
    machine, named = TINY.machine(1), likelihood.biases(TINY)
    visible, hidden, top = named.values()
    p, q = machine.generative_, machine.recognition_
    begun = [p[0].biases, p[1].biases, q[0].biases, machine.prior_logits_, q[1].biases]
    for biases, value in zip(begun, (visible, hidden, hidden, top, top), strict=True):
        assert set(biases.tolist()) == {value}


def test_other_seeds_are_counted_and_the_result_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(likelihood, "FOLDER", tmp_path)
    monkeypatch.setattr(likelihood, "report", lambda: None)
    task = replace(TINY, must="0.9", goal="-")
    runs = [likelihood.run("tiny", task, seed, 1, (10,), resume=False)[0] for seed in (0, 1)]
    likelihood.keep("tiny", task, runs, [{}])
    figures = map(np.float64, [0.5, 0.91, 0.9])
    monkeypatch.setattr(Toy, "measure", lambda self, machine, particles: {"kl": next(figures)})
    card, file = likelihood.others("tiny", task, 3, 1)
    assert card == json.loads(file.read_text())
    assert card["others"] == {"seeds": "1000 to 1002", "n": 3, "figures": [0.5, 0.91, 0.9], "must": 2}
    assert card["runs"] == json.loads(json.dumps(runs))
    capsys.readouterr()
    likelihood.told(card, (file,))
    result, counted, written = capsys.readouterr().out.splitlines()
    assert result == f"tiny: {likelihood.measured(card)}; seeds 0, 1; must 0.9, goal -"
    assert counted == "of 3 other seeds, 1000 to 1002, reach must; goal: 2 of 3"
    assert written == f"written: {file} {likelihood.RESULTS}"


@pytest.mark.parametrize(("nll", "direction", "reached"), [(9.0, 0.75, True), (9.1, 0.9, False), (8.5, 0.7, False)])
def test_both_figures_have_to_be_reached_where_there_are_two(nll, direction, reached):
    assert TASKS["shifter-reweighted"].reached({"nll": nll, "direction": direction}, "9.0, 0.75") == reached


@pytest.mark.parametrize(("sign", "share"), [(1, 1.0), (-1, 1.0), (0, 0.5)])
def test_direction_is_what_a_unit_tells_of_the_shift(monkeypatch, sign, share):
    """A unit that knows the shift, with either sign, and one that is always off."""
    images, _ = datasets.make_shifter(return_distribution=True)
    dense = images.to_dense()
    left = (np.roll(dense[:, :8], -1, 1) == dense[:, 16:24]).all(1)
    monkeypatch.setattr(HelmholtzMachine, "transform", lambda self, X: 0.5 + sign * (left[:, None] - 0.5))
    assert direction(HelmholtzMachine()) == pytest.approx(share)


def test_an_untrained_machine_is_far_from_the_shifter():
    machine = HelmholtzMachine((16, 4), n_iter=0, random_state=0, initial_biases="zero").fit(SHIFTER.rows(0)[:10])
    found = SHIFTER.watch(machine)
    assert 31 < found["nll"] < 33  # bits, of 32 units
    assert found["kl"] == pytest.approx(found["nll"] - 7.98872, abs=1e-5)
