"""Mutants of the twin, each of which a check has to see. (The core equals the twin: see test_core and mutate_core.)"""

from pathlib import Path

import checks
import mutate_core
import numpy as np
import pytest
import steps
from checks import DIFFERENCE, TABLE
from twin import mutant, twin

from wakesleep.optimizers import Optimizer
from wakesleep.rules import Rule

CHECKS = {
    "golden probabilities": lambda m: checks.check_golden_probabilities(m, np.float64, TABLE),
    "golden gradients": lambda m: checks.check_golden_gradients(m, np.float64, TABLE),
    "golden likelihood": lambda m: checks.check_golden_likelihood(m, np.float64, TABLE),
    "normalised": lambda m: checks.check_normalised(m, np.float64, TABLE),
    "finite differences": lambda m: checks.check_finite_differences(m, np.float64, DIFFERENCE),
    "sampled verbs": lambda m: checks.check_sampled_verbs(m, np.float64),
    "sampled train": lambda m: steps.check_sampled_train(m, np.float64),
    "train by hand": lambda m: steps.check_train_by_hand(m, np.float64),
    "train by hand, float32": lambda m: steps.check_train_by_hand(m, np.float32),
    "sleep steps": lambda m: steps.check_train_by_hand(m, np.float64, Rule("reweighted", 3, 0.3, 2)),
    "sleep steps, clipped": lambda m: steps.check_train_by_hand(
        m, np.float64, Rule("reweighted", 3, 0.3, 2), Optimizer("sgd", 0.0, 0.2)),
    "adam": lambda m: steps.check_train_by_hand(m, np.float64, Rule("vimco", 3, 0.5, 2), Optimizer("adam", 0.1, 1e3)),
    "streams": lambda m: checks.check_streams(m, np.float32),
    "bernoulli": lambda m: checks.check_bernoulli(m, np.float32, 1 << 18),
    "decisions": lambda m: checks.check_decisions(m, np.float32),
    "certain": lambda m: checks.check_certain(m, np.float32),
    "epoch order": lambda m: checks.check_epoch_order(m, range(1, 131, 8)),
}

# what is wrong: (text, its replacement, the check that sees it)
MUTANTS = {
    "weight gradients do not accumulate": (
        "goal.weights[:] += scale", "goal.weights[:] = scale", "golden gradients"),
    "bias gradients do not accumulate": (
        "goal.biases[:] += scale", "goal.biases[:] = scale", "golden gradients"),
    "the error has the wrong sign": (
        "target.astype(z.dtype) - sigmoid(z)", "sigmoid(z) - target.astype(z.dtype)", "finite differences"),
    "weight gradients have source and target swapped": (
        "add_rows(source.T, error, method)",
        "add_rows(source.T, error, method).T.reshape(goal.weights.shape)", "finite differences"),
    "q has source and target swapped": (
        "(layer, bits[i], bits[i + 1], int(methods[i]))", "(layer, bits[i + 1], bits[i], int(methods[i]))",
        "normalised"),
    "log p and log q are exchanged": (
        "return sums[0], sums[1]", "return sums[1], sums[0]", "golden probabilities"),
    "bits have the wrong sign in log probabilities": (
        "np.where(target, -z, z)", "np.where(target, z, -z)", "golden probabilities"),
    "credits are left out": (
        "_error(*example) * credit[:, None]", "_error(*example)",
        "golden gradients"),
    "teach leaves the prior out": (
        "into_p = [g.prior, *", "into_p = [Layer(g.prior.weights, g.prior.biases.copy()), *", "golden gradients"),
    "train leaves the prior out": (
        "updates.add(of_p, errors_p, None,", "updates.add(of_p[1:], errors_p[1:], None,", "sampled train"),
    "train leaves the biases out": (
        "goal.biases[:] += scale", "goal.biases[:] += 0 * scale", "sampled train"),
    "the p rate is per row, not per particle": (
        "rate_p, 1.0, batch_size * rule.n_particles)", "rate_p, 1.0, batch_size)", "sampled train"),
    "a short batch takes a whole step of p": (
        "rate_p, 1.0, batch_size * rule.n_particles)", "rate_p, 1.0, n)", "train by hand"),
    "a short batch takes a whole step of q": (
        "rule.sleep_weight, batch_size)", "rule.sleep_weight, count)", "train by hand"),
    "the q rate is per sum, not per mean gradient": (
        "rule.sleep_weight, batch_size)", "rule.sleep_weight, 1)", "sampled train"),
    "the rates are exchanged": ("scale(rate_q, rule.sleep", "scale(rate_p, rule.sleep", "sampled train"),
    "the last batch is dropped": (
        "last = first + count == len(data)", "last = first + count + batch_size > len(data)", "train by hand"),
    "the last batch is dropped, float32": (
        "last = first + count == len(data)", "last = first + count + batch_size > len(data)",
        "train by hand, float32"),
    "the batches of an epoch are all the first one": (
        "epoch_order(seed, epoch, len(data), first, count)", "epoch_order(seed, epoch, len(data), 0, count)",
        "train by hand"),
    "every epoch has the order of the first": (
        "keys = random_words(seed, ORDER, 8, 2, 8 * epoch)", "keys = random_words(seed, ORDER, 8, 2)",
        "epoch order"),
    "the rows are not shuffled": ("for i in range(0, 8, 2):", "for i in range(0):", "epoch order"),
    "the rows are hardly shuffled": ("for i in range(0, 8, 2):", "for i in range(0, 2, 2):", "epoch order"),
    "an index outside the rows is folded back": ("outside = index >= n_rows", "index %= n_rows; break", "epoch order"),
    "p does not learn from every particle's row": (
        "np.repeat(data[rows], rule.n_particles, axis=0)", "np.tile(data[rows], (rule.n_particles, 1))",
        "train by hand"),
    "the samples of a row do not move along": (
        "seed, WAKE, seen * rule.n_particles)", "seed, WAKE, seen)", "train by hand"),
    "every dream is the same": (
        "SLEEP, seen * rule.sleep_steps + again * count)", "SLEEP)", "train by hand"),
    "every dream of a step is the same": ("+ again * count)", ")", "sleep steps"),
    "further dreams learn awake too": ("and not again:", ":", "sleep steps"),
    "q's updates are counted by steps": ("rate_q, int(n_updates[1]))", "rate_q, int(n_updates[0]))", "adam"),
    "p's updates are counted from 2": ("rate_p, int(n_updates[0]))", "rate_p, int(n_updates[0]) + 1)", "adam"),
    "q learns from its own dreams with the whole rate": (
        "scale(rate_q, rule.sleep_weight, batch_size)", "scale(rate_q, 1.0, batch_size)", "sleep steps"),
    "q learns awake with the weight of the sleep": (
        "1 - rule.sleep_weight, batch_size", "rule.sleep_weight, batch_size", "sleep steps"),
    "q's credits go to p": ("updates.add(of_p, errors_p, v,", "updates.add(of_p, errors_p, u,", "sleep steps"),
    "p's credits go to q": ("updates.add(of_q, errors_q, u,", "updates.add(of_q, errors_q, v,", "sleep steps"),
    "log weights leave the prior out": ("[*terms_p[:0:-1], terms_p[0]]", "terms_p[:0:-1]", "sleep steps"),
    "log weights leave q out": ("((-1, ordered_p), (1, terms_q))", "((-1, ordered_p),)", "sleep steps"),
    "the first layer learns from the first particle": (
        "axis=1)[:, -1]\n                    error,", "axis=1)[:, 0]\n                    error,", "sleep steps"),
    "gradients add up from step to step": ("gradient[i][...] = 0", "pass", "sleep steps, clipped"),
    "the norm is that of weights alone": (
        "np.concatenate([gradient.weights, gradient.biases[None]])",
        "np.concatenate([gradient.weights, 0 * gradient.biases[None]])", "sleep steps, clipped"),
    "small gradients are blown up": ("if norm > clip_norm else 1.0", "", "adam"),
    "biases decay": ("decayed=i == 0", "decayed=True", "adam"),
    "awake, all levels have one key": (
        "methods[level - 1]), seed, stream + level, first_sample)", "methods[level - 1]), seed, stream, first_sample)",
        "streams"),
    "asleep, all levels have one key": (
        "level), method), seed, stream + level, first_sample)", "level), method), seed, stream, first_sample)",
        "streams"),
    "wake and sleep have one key": ("stream: int = SLEEP", "stream: int = WAKE", "streams"),
    "the upper half of the seed is left out": ("[seed & 0xFFFFFFFF, seed >> 32]", "[seed & 0xFFFFFFFF, 0]", "streams"),
    "samples share a word": ("place = (sample % ", "place = (0 * sample % ", "streams"),
    "uniform numbers stop short of 1": ("dtype(2.0**-23)", "dtype(0.99 * 2.0**-23)", "bernoulli"),
    "uniform numbers have too few bits": (
        "half.astype(np.uint32)", "(half.astype(np.uint32) >> np.uint32(9) << np.uint32(9))", "bernoulli"),
    "uniform numbers are as often 0 as 1/2": ("+ dtype(2.0**-24)", "- dtype(2.0**-10)", "certain"),
    "uniform numbers lack the half": ("+ dtype(2.0**-24)", "", "decisions"),
    "bits are on with probability 1 - p": ("exp_minus(z)) < 1)", "exp_minus(z)) > 1)", "bernoulli"),
    "p dreams with q's biases": (
        "for level, layer, method in _p_layers(p, methods):\n        bits[level] = _draw(_logits(layer,",
        "for level, layer, method in _p_layers(p, methods):\n        layer = Layer(layer.weights, 0 * layer.biases)\n"
        "        bits[level] = _draw(_logits(layer,",
        "sampled verbs"),
    "importance weights are added, not averaged": ("np.log(w.mean(", "np.log(w.sum(", "golden likelihood"),
    "log w leaves log q out": ("(log_p - log_q).reshape(len(data)", "log_p.reshape(len(data)", "golden likelihood"),
    "exact leaves the prior out": ("softplus(z).sum(1) + log_prior", "softplus(z).sum(1)", "golden likelihood"),
    "all seeds have the same particles": (
        "keys = hash_rows(data, seed)", "keys = hash_rows(data, 0)", "golden likelihood"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHECKS)
def test_the_twin_passes(name):
    CHECKS[name](twin)


@pytest.mark.parametrize("wrong", MUTANTS)
def test_a_mutant_is_seen(wrong):
    text, replacement, name = MUTANTS[wrong]
    module = mutant(text, replacement)
    with pytest.raises(AssertionError):
        CHECKS[name](module)


SOURCES = Path(__file__).parents[1] / "wakesleep"


@pytest.mark.skipif(not (SOURCES / mutate_core.LOOP).exists(), reason="no sources here")
def test_the_core_has_what_its_mutants_change():
    """`python tests/mutate_core.py` builds each of them."""
    texts = {name: (SOURCES / name).read_text(encoding="utf-8") for _, name, _, _ in mutate_core.MUTANTS}
    assert [wrong for wrong, name, text, _ in mutate_core.MUTANTS if text not in texts[name]] == []
