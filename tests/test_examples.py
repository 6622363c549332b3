"""The worked examples: what they print, and what the training must reach; and that the README's code runs."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from wakesleep import datasets

EXAMPLES = Path(__file__).parents[1] / "examples"
MARGIN = 0.08  # nats below independent units, mean over ten seeds; about 0.15 is usual


def printed(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [name])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def test_inference_prints_the_published_digits(capsys, monkeypatch):
    lines = printed("inference.py", capsys, monkeypatch).splitlines()
    assert [line.split()[-n:] for line, n in zip(lines, (3, 8, 3), strict=False)] == [
        ["0.818", "0.269", "0.599"],
        ["0.691", "0.503", "0.579", "0.416", "0.642", "0.474", "0.559", "0.512"],
        ["0.550", "0.450", "0.500"],
    ]


def test_synthetic_prints_the_curve_the_entropy_and_five_fantasies(capsys, monkeypatch):
    lines = printed("synthetic.py", capsys, monkeypatch).splitlines()
    curve = [float(line.split()[1]) for line in lines[1:11]]
    assert lines[11].startswith("entropy of independent units: ")
    assert curve[-1] < float(lines[11].split()[4]) - MARGIN / 2
    fantasies = [line.strip() for line in lines[13:18]]
    assert all(len(fantasy) == 16 and set(fantasy) <= {"0", "1"} for fantasy in fantasies)


@pytest.mark.filterwarnings("ignore::wakesleep.PoorFitWarning")  # so little is there to learn
def test_synthetic_training_ends_below_independent_units():
    example = runpy.run_path(str(EXAMPLES / "synthetic.py"))
    X, _ = datasets.make_synthetic(2000, random_state=0)
    final = [example["trained"](X, seed).reconstruction_cross_entropy(X) for seed in range(10)]
    floor = example["entropy_of_independent_units"](X)
    assert sum(final) / 10 < floor - MARGIN
    untrained = example["HelmholtzMachine"]((4,), n_iter=0, random_state=0).fit(X).reconstruction_cross_entropy(X)
    assert untrained == pytest.approx(floor, abs=MARGIN / 4), "the margin is not there before training"


def test_the_code_of_the_readme_runs(tmp_path, monkeypatch):
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    assert len(blocks) > 3
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        if "sklearn" in block:
            pytest.importorskip("sklearn")
        exec(compile(block, "README.md", "exec"), names)
    assert 0 < np.nanmin(names["filled"][np.isnan(names["answers"])]) < 1
