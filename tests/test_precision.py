"""Training with precision="bf16x2", in emulation where there are no tiles, and errors where it is asked for in vain."""

import os
import subprocess
import sys

import numpy as np
import pytest
from checks import TABLES, WALK
from machines import DIGITS, ROWS, everything, learned, small

from wakesleep import HelmholtzMachine, _core, _panels, checkpoint
from wakesleep.optimizers import SGD
from wakesleep.rules import WAKE_SLEEP

STANDARD_ERRORS = 3

needs_amx = pytest.mark.skipif(not _panels.has_amx(), reason="needs Linux on x86 with AMX")
without_amx = pytest.mark.skipif(_panels.has_amx(), reason="this processor has AMX")


# ---- where there are tiles ----


@needs_amx
@pytest.mark.parametrize("n_particles", [1, 3])
def test_tiles_train_another_machine_but_the_same_with_any_number_of_threads(n_particles):
    one, many, exact = (
        HelmholtzMachine(
            (200, 70), n_particles=n_particles, n_iter=2, precision=precision, n_threads=n_threads, random_state=0
        ).fit(DIGITS)
        for precision, n_threads in [("bf16x2", 1), ("bf16x2", 3), ("float32", 1)]
    )
    assert learned(one) == learned(many)
    assert learned(one) != learned(exact)


@needs_amx
def test_tiles_go_on_from_a_file_as_if_nothing_had_happened(tmp_path):
    machine = small(hidden_layer_sizes=(40, 20), precision="bf16x2", n_iter=2).fit(ROWS)
    machine.save(tmp_path / "machine.npz")
    resumed = HelmholtzMachine.load(tmp_path / "machine.npz").set_params(n_iter=4).fit(ROWS, resume=True)
    assert learned(resumed) == learned(small(hidden_layer_sizes=(40, 20), precision="bf16x2", n_iter=4).fit(ROWS))


def curves(precision, learning_rate):
    """Held-out log p(x) of five machines, epoch by epoch."""
    found = []
    for seed in range(5):
        machine = HelmholtzMachine(
            (32, 16), learning_rate=learning_rate, batch_size=20, n_iter=8, precision=precision, random_state=seed
        ).fit(DIGITS[:1400], validation=DIGITS[1400:])
        found.append([entry["log_likelihood"] for entry in machine.history_])
    return np.array(found)


def standard_errors(a, b):
    """By how many the means of two sets of curves differ, epoch by epoch."""
    return np.abs(a.mean(0) - b.mean(0)) / np.sqrt((a.var(0, ddof=1) + b.var(0, ddof=1)) / len(a))


@needs_amx
def test_tiles_learn_as_well_as_float32():
    tiles, exact, slower = curves("bf16x2", 0.3), curves("float32", 0.3), curves("float32", 0.2)
    assert (tiles[:, -1] != exact[:, -1]).all()
    assert standard_errors(tiles, exact).max() < STANDARD_ERRORS
    assert standard_errors(slower, exact).max() > STANDARD_ERRORS, "this test has no power"


@without_amx
def test_training_in_emulation(emulated_tiles):
    environment = {name: value for name, value in os.environ.items() if name != "WAKESLEEP_CPU"}
    environment["LD_PRELOAD"] = f"{environment.get('LD_PRELOAD', '')} {emulated_tiles}".strip()
    python = {"env": environment, "capture_output": True, "text": True, "check": False}
    asked = subprocess.run([sys.executable, "-c", "from wakesleep import _panels; print(_panels.has_amx())"], **python)
    assert asked.stdout == "True\n", asked.stderr
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "test_tiles_", __file__]
    done = subprocess.run(command, **python)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
    assert "skipped" not in done.stdout


# ---- where there are none, and everywhere ----


def test_a_level_below_the_best_has_no_tiles(cpu_level):
    if cpu_level != "avx512":
        assert not _panels.has_amx()
        with pytest.raises(ValueError, match=r"^precision: want float32 on this processor"):
            small(precision="bf16x2").fit(ROWS)


@pytest.mark.parametrize("value", ["float64", "", None, 16, ["bf16x2"]])
def test_an_unknown_precision_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"^precision: want one of float32, bf16x2, got "):
        small(precision=value).fit(ROWS)
    with pytest.raises(ValueError, match=r"^precision: want one of float32, bf16x2, got "):
        _panels.check_precision(value)


def test_a_machine_from_before_there_was_a_precision_still_loads(tmp_path):
    path, machine = tmp_path / "machine.npz", small().fit(ROWS)
    machine.save(path)
    arrays, manifest = checkpoint.load(path)
    del manifest["params"]["precision"]
    checkpoint.save(path, arrays, manifest)
    loaded = HelmholtzMachine.load(path)
    assert loaded.precision == "float32"
    assert learned(loaded) == learned(machine)


REFUSED = r"^precision: want float32 on this processor \(bf16x2 needs Linux on x86 with AMX\), got 'bf16x2'$"


@without_amx
@pytest.mark.parametrize("train", ["fit", "partial_fit"])
def test_where_there_is_no_amx_training_is_refused_and_changes_nothing(train):
    machine = small().fit(ROWS).set_params(precision="bf16x2")
    before = everything(machine)
    with pytest.raises(ValueError, match=REFUSED):
        getattr(machine, train)(ROWS)
    assert everything(machine) == before
    parameters, position = np.zeros(19, np.float32), np.zeros(3, np.int64)
    with pytest.raises(ValueError, match=REFUSED):
        _core.train(
            parameters, np.zeros((0, 19), np.float32), [3, 2], [WALK, TABLES], np.zeros((4, 1), np.uint64), position,
            np.zeros(2, np.int64), 1, 2, np.full((1, 2), 0.1), WAKE_SLEEP, SGD, precision="bf16x2",
        )  # fmt: skip
    assert not parameters.any()
    assert not position.any()


@without_amx
def test_where_there_is_no_amx_a_machine_is_still_good_for_all_but_training(tmp_path):
    exact = small().fit(ROWS)
    path = tmp_path / "machine.npz"
    exact.set_params(precision="bf16x2").save(path)
    loaded = HelmholtzMachine.load(path)
    assert loaded.precision == "bf16x2"
    assert learned(loaded) == learned(exact)
    np.testing.assert_array_equal(loaded.score_samples(ROWS), exact.score_samples(ROWS))
    np.testing.assert_array_equal(loaded.sample(5), exact.sample(5))
    with pytest.raises(ValueError, match=REFUSED):
        loaded.fit(ROWS, resume=True)


@without_amx
def test_the_command_line_tells_it_before_the_work(tmp_path):
    command = [sys.executable, "-m", "wakesleep", "train", "-o", tmp_path / "x.npz", "--precision", "bf16x2"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("wakesleep: error: --precision: want float32 on this processor")
    assert not list(tmp_path.iterdir())
