"""What `python -m bench.peers` says about its measurements."""

import re
from pathlib import Path

import numpy as np
import pytest

from bench.cases import Work, tiny
from bench.contenders import Contender, Worker
from bench.contests import LearningError, Measured, check
from bench.implementations import IMPLEMENTATIONS
from bench.peers import report, told_of_others
from bench.report import RESULTS, write_section
from bench.rows import CORE, Row, comparison, straight_line, verdict
from wakesleep import _likelihood
from wakesleep.parameters import Parameters


class Learner:
    """A worker that gains so many nats."""

    def __init__(self, name, nats):
        self.contender, self.nats = Contender(name), nats

    def gain(self, few_rows):
        return self.nats, 2.0


def test_who_does_not_learn_the_same_is_refused():
    learners = [Learner("core", 384.0), Learner("peer", 385.5)]
    assert check(learners, few_rows=False) == {"core": 384.0, "peer": 385.5}
    for nats in (343.0, 387.0, float("nan")):
        with pytest.raises(LearningError, match="peer gains"):
            check([Learner("core", 384.0), Learner("peer", nats)], few_rows=False)


@pytest.fixture
def _all_here(monkeypatch):
    for name in ("PyTorch", "JAX"):
        monkeypatch.setattr(IMPLEMENTATIONS[name], "missing", lambda: "")


@pytest.mark.usefixtures("_all_here")
def test_core_is_compared_with_the_fastest_peer_by_medians():
    slow, fast = Contender("NumPy"), Contender("JAX", 1)
    measured = Measured({CORE: [9.0, 1.0, 1.0], slow: [5.0, 6.0, 7.0], fast: [1.0, 4.0, 8.0]}, {})
    row = comparison("work", measured, CORE, must=4, goal=5)
    assert (row.core, row.peer, row.ratio, row.verdict) == ("1 s", "JAX, 1 thread: 4 s", "4.00x", "must met")


def test_worker():
    """The core gains what `cases.tiny` says, in a process that is told what it may use."""
    with Worker(Contender("core", 1, 1), Work((16, 4), 1000, 64, None, case="tiny")) as worker:
        assert 0 < worker.epoch() < 60
        gained, tolerance = worker.gain()
    assert gained > tiny().margin
    assert tolerance == tiny().tolerance


@pytest.mark.parametrize("name", [name for name, each in IMPLEMENTATIONS.items() if each.rule == "importance"])
def test_log_p_is_the_exact_one(name):
    """To 0.05 nats; another machine's is not."""
    if lacks := IMPLEMENTATIONS[name].missing():
        pytest.skip(f"no {lacks}")
    work = Work((16, 5, 4), 40, density=None, n_particles=2000)
    random = np.random.default_rng(0)
    parameters = Parameters(work.sizes, random.normal(0, 0.5, Parameters(work.sizes).flat.size).astype(np.float32))
    machine = IMPLEMENTATIONS[name](work, work.rows())
    machine.load(parameters)
    machine.epoch()
    exact = likelihood(parameters, work)
    assert machine.log_p == pytest.approx(exact, abs=0.05)
    parameters.recognition[1].weights[:] += 0.1
    parameters.generative[1].weights[:] += 0.1
    assert machine.log_p != pytest.approx(likelihood(parameters, work), abs=0.05)


def likelihood(parameters, work):
    return _likelihood.exact(parameters.flat, work.sizes, work.rows().words).mean()


def test_worker_that_fails():
    with Worker(Contender("no such"), Work((16, 4), 1000)) as worker, pytest.raises(RuntimeError, match="no such"):
        worker.epoch()


def test_nothing_but_threads_is_forced_on_a_contender(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("WAKESLEEP_CPU", "baseline")
    free, held = (Contender("NumPy", 1, avx2=avx2).environment() for avx2 in (False, True))
    assert free["OPENBLAS_NUM_THREADS"] == held["OPENBLAS_NUM_THREADS"] == "1"
    assert "OPENBLAS_CORETYPE" not in free
    assert "WAKESLEEP_CPU" not in free
    assert held["WAKESLEEP_CPU"] == "avx2"


def test_without_a_peer_there_is_no_verdict(monkeypatch):
    measured = Measured({CORE: [1.0], Contender("NumPy"): [9.0]}, {})
    for name in ("PyTorch", "JAX"):
        monkeypatch.setattr(IMPLEMENTATIONS[name], "missing", lambda: "it")
    row = comparison("work", measured, CORE, must=4, goal=5)
    assert (row.ratio, row.verdict) == ("9.00x", "no verdict: PyTorch, JAX not installed")


@pytest.mark.parametrize(("share", "unreliable"), [(0.01, False), (0.5, False), (0.51, True), (1.9, True)])
def test_figures_that_other_programs_spoil_are_called_so(share, unreliable):
    text = told_of_others(share)
    assert text.startswith(f"; other programs used {share:.0%} of a core")
    assert text.endswith("not to be relied on") == unreliable


@pytest.mark.parametrize(
    ("reached", "words"), [(3.9, "below must"), (4.0, "must met"), (5.4, "must met"), (5.5, "goal met")]
)
def test_verdict(reached, words):
    assert verdict(reached, 4, 5.5) == words


def test_straight_line():
    x = np.array([1, 2, 4, 10])
    residual, slope = straight_line(x, 3 * x)
    assert residual == pytest.approx(0, abs=1e-12)
    assert slope == pytest.approx(1)
    assert straight_line(x, 5 + 3 * x)[0] == pytest.approx(0, abs=1e-12)
    residual, slope = straight_line(x, x**2)
    assert residual > 0.3
    assert slope == pytest.approx(2)


def test_a_section_replaces_only_itself(tmp_path):
    path = tmp_path / "RESULTS.md"
    write_section("bench.peers", "old \\1", path)
    write_section("bench.phases", "kept", path)
    write_section("bench.peers", "new \\1", path)
    text = path.read_text(encoding="utf-8")
    assert text.count("## `python -m bench.peers`") == text.count("new \\1") == text.count("kept") == 1
    assert "old" not in text
    assert text.index("new") < text.index("kept")


def shown_on_the_site(text):
    """The part of the results that the page on performance includes."""
    page = (Path(__file__).parents[1] / "docs" / "performance.md").read_text(encoding="utf-8")
    (start,), (end,) = (re.findall(rf'^:{mark}: "(.*)"$', page, re.M) for mark in ("start-after", "end-before"))
    return text.partition(start)[2].partition(end)[0]


def test_the_site_shows_what_was_measured_and_not_what_was_wanted(tmp_path):
    path = tmp_path / "RESULTS.md"
    rows = [
        Row("an epoch", "1 s", "JAX: 4 s", "4.00x", ">= 3x", "5x", "must met"),
        Row("another", must=">= 6x", verdict="not available here"),
    ]
    write_section("bench.peers", report(["- a machine"], rows, 7, []), path)
    text = path.read_text(encoding="utf-8")
    assert "| an epoch | 1 s | JAX: 4 s | 4.00x |" in shown_on_the_site(text)
    assert "| another | - | >= 6x | - | not available here |" in text
    for shown in map(shown_on_the_site, (text, RESULTS.read_text(encoding="utf-8"))):
        assert "- a machine" in shown or "- processor:" in shown
        assert not re.search("must|goal|verdict|another|What is wanted", shown)
