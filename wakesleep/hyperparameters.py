"""What the constructor's arguments mean: one check for each, and the settings that come out."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from wakesleep import processors
from wakesleep._packing import as_threshold, check_missing, shown, whole_number
from wakesleep._panels import PRECISIONS
from wakesleep.optimizers import OPTIMIZERS, RATES, Optimizer
from wakesleep.parameters import PRIOR, names_of_layers
from wakesleep.rules import BASELINES, RULES, Rule, kind_of
from wakesleep.schedules import Schedule, parse

MOST = 2**31 - 1  # of anything that is counted
MOST_SEED = 2**64 - 1
INITIAL_BIASES = ("data", "zero")


@dataclass(frozen=True)
class Settings:
    """Checked hyper-parameters of a training."""

    hidden_layer_sizes: tuple[int, ...]
    rule: Rule  # with the sleep weight of the first epoch;
    final_sleep_weight: float  # and this is that of the last one
    optimizer: Optimizer
    learning_rates: tuple[float, float]
    schedule: Schedule
    batch_size: int
    n_iter: int
    patience: int | None  # None: train to the end
    initial_biases: str
    precision: str  # which this processor may not have: `_panels.check_precision`
    n_threads: int | None  # None: what `threads` finds


def settings(params: dict[str, Any]) -> Settings:
    """Check the constructor's arguments.

    Raises
    ------
    ValueError, TypeError
        For the first argument that is not what it should be, by name.
    """
    if not isinstance(params["verbose"], bool):
        count("verbose", params["verbose"], least=0)
    check_binarize(params["binarize"])
    check_missing(params["missing"])
    if params["missing"] is not None and isinstance(params["binarize"], str):
        raise ValueError(f'missing: want None with binarize="sample", got {shown(params["missing"])}')
    check_random_state(params["random_state"])
    kind = optimizer(params)
    checked = Settings(
        hidden_layer_sizes=layer_sizes(params["hidden_layer_sizes"]),
        rule=rule(params),
        final_sleep_weight=sleep_weights(params)[1],
        optimizer=kind,
        learning_rates=rates(RATES[kind.name] if params["learning_rate"] is None else params["learning_rate"]),
        schedule=parse(params["schedule"]),
        batch_size=count("batch_size", params["batch_size"]),
        n_iter=count("n_iter", params["n_iter"], least=0),
        patience=None if params["patience"] is None else count("patience", params["patience"]),
        initial_biases=choice("initial_biases", params["initial_biases"], INITIAL_BIASES),
        precision=choice("precision", params["precision"], PRECISIONS),
        n_threads=None if params["n_threads"] is None else count("n_threads", params["n_threads"]),
    )
    samples = checked.batch_size * checked.rule.n_particles
    if samples > MOST:
        raise ValueError(f"n_particles: want at most {MOST} samples in a batch, got {samples}")
    rate, decay = max(checked.learning_rates), checked.optimizer.weight_decay
    if rate * decay > 1:
        raise ValueError(
            f"weight_decay: want at most 1/learning_rate, {1 / rate:g}, with which weights shrink to 0 in one step, "
            f"got {decay:g}"
        )
    return checked


def rule(params: dict[str, Any]) -> Rule:
    """The rule, named or a function of log weights, with what a step takes from it."""
    name = params["rule"]
    if not callable(name) and (not isinstance(name, str) or name not in RULES):
        raise ValueError(f"rule: want one of {', '.join(RULES)}, or a function (log_w) -> (v, u), got {shown(name)}")
    kind = kind_of(name)
    n_particles = kind.n_particles if params["n_particles"] is None else count("n_particles", params["n_particles"])
    if n_particles < kind.fewest_particles:
        raise ValueError(
            f"n_particles: want {kind.fewest_particles} or more with rule {name!r}, which compares particles, "
            f"got {n_particles}"
        )
    sleep_weight, _ = sleep_weights(params)
    sleep_steps = count("sleep_steps", params["sleep_steps"])
    gamma, baseline = number("gamma", params["gamma"], 0, 1), choice("baseline", params["baseline"], BASELINES)
    return Rule(name, n_particles, sleep_weight, sleep_steps, gamma, baseline)


def sleep_weights(params: dict[str, Any]) -> tuple[float, float]:
    """The sleep weights of the first and of the last epoch, from one number, a pair, or what the rule wants."""
    name, value = params["rule"], params["sleep_weight"]
    if value is None:
        value = kind_of(name).sleep_weight
    pair = value if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"sleep_weight: want a number or a pair (first, last) of numbers, got {shown(value)}")
    first, last = (number("sleep_weight", part, 0, 1) for part in pair)
    if name == "wake-sleep" and not (first and last):
        raise ValueError(
            f"sleep_weight: want more than 0 with rule 'wake-sleep', whose q learns asleep only, got {shown(value)}"
        )
    return first, last


def optimizer(params: dict[str, Any]) -> Optimizer:
    """The optimizer, with what a step takes from it."""
    name, clip_norm = choice("optimizer", params["optimizer"], OPTIMIZERS), params["clip_norm"]
    weight_decay = number("weight_decay", params["weight_decay"], 0, MOST)
    if clip_norm is not None:
        clip_norm = number("clip_norm", clip_norm, -math.inf, math.inf)
        if not 0 < clip_norm < math.inf:
            raise ValueError(f"clip_norm: want a positive, finite number or None, got {shown(params['clip_norm'])}")
    return Optimizer(name, weight_decay, clip_norm, frozen(params))


def frozen(params: dict[str, Any]) -> frozenset[str]:
    """The parts that do not learn."""
    value = params["frozen"]
    if not isinstance(value, list | tuple):
        raise TypeError(f"frozen: want a sequence of names such as '{PRIOR}', got {shown(value)}")
    n_hidden = len(layer_sizes(params["hidden_layer_sizes"]))
    known = [name for pair in names_of_layers(n_hidden) for name in pair if name is not None]
    for name in value:
        choice("frozen", name, known)
    return frozenset(value)


def number(name: str, value: Any, least: float, most: float) -> float:
    """A real number from `least` to `most`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: want a number, got {shown(value)}")
    try:
        result = float(value)
    except OverflowError:
        result = math.nan
    if not least <= result <= most:
        raise ValueError(f"{name}: want a number from {least:g} to {most:g}, got {shown(value)}")
    return result


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: want True or False, got {shown(value)}")
    return bool(value)


def count(name: str, value: Any, least: int = 1, most: int = MOST) -> int:
    """A whole number from `least` to `most`."""
    if not least <= (result := whole_number(name, value)) <= most:
        raise ValueError(f"{name}: want a whole number from {least} to {most}, got {shown(value)}")
    return result


def choice(name: str, value: Any, known: Iterable[str]) -> str:
    """One of the known names."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name}: want one of {', '.join(known)}, got {shown(value)}")
    return value


def check_binarize(value: Any) -> None:
    """Refuse what is neither None, nor a finite number, nor "sample"."""
    if not isinstance(value, str):
        as_threshold(value)
    elif value != "sample":
        raise ValueError(f'binarize: want None, "sample" or a finite number, got {shown(value)}')


def layer_sizes(value: Any) -> tuple[int, ...]:
    """Units per hidden level, bottom level first; a single number is one level."""
    sizes = (value,) if isinstance(value, numbers.Integral) else value
    if isinstance(sizes, np.ndarray):
        sizes = sizes.tolist()
    if not isinstance(sizes, list | tuple | range):
        raise TypeError(f"hidden_layer_sizes: want a sequence of whole numbers, got {shown(value)}")
    checked = tuple(count("hidden_layer_sizes", size) for size in sizes)
    if not checked:
        raise ValueError("hidden_layer_sizes: want one level or more, got none")
    return checked


def check_total(sizes: tuple[int, ...]) -> None:
    """Refuse a machine whose parameters would not fit into 8 GiB."""
    total = sum((low + 1) * high + (high + 1) * low for low, high in pairwise(sizes))
    if total > MOST:
        raise ValueError(f"hidden_layer_sizes: want at most {MOST} parameters, got {total} for levels of {sizes} units")


def rates(value: Any) -> tuple[float, float]:
    """The rates of p and of q, from one number or a pair."""
    pair = value if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2 or not all(isinstance(r, numbers.Real) and not isinstance(r, bool | np.bool_) for r in pair):
        raise TypeError(f"learning_rate: want a number or a pair (p, q) of numbers, got {shown(value)}")
    try:
        rate_p, rate_q = float(pair[0]), float(pair[1])
    except OverflowError:
        rate_p = rate_q = math.inf
    if not (0 < rate_p < math.inf and 0 < rate_q < math.inf):
        raise ValueError(f"learning_rate: want positive, finite numbers, got {shown(value)}")
    return rate_p, rate_q


def threads(value: int | None) -> int:
    """Threads to use: by default WAKESLEEP_NUM_THREADS, else the processors that this process may run on."""
    if value is not None:
        return count("n_threads", value)
    wanted = os.environ.get("WAKESLEEP_NUM_THREADS", "")
    if not wanted:
        return processors.count()
    if not wanted.isdecimal() or len(wanted) > len(str(MOST)) or not 1 <= int(wanted) <= MOST:
        raise ValueError(f"WAKESLEEP_NUM_THREADS: want a whole number from 1 to {MOST}, got {shown(wanted)}")
    return int(wanted)


def check_random_state(value: Any) -> None:
    """Refuse what is neither None, nor a number from 0 to 2**64 − 1, nor a NumPy generator."""
    if value is None or isinstance(value, np.random.Generator | np.random.RandomState):
        return
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise TypeError(f"random_state: want None, a whole number or a NumPy generator, got {shown(value)}")
    if not 0 <= int(value) < 2**64:
        raise ValueError(f"random_state: want a whole number from 0 to 2**64 - 1, got {shown(value)}")


def seed(random_state: Any) -> int:
    """A 64-bit seed: the number given, the next word of a NumPy generator, or with None a fresh one."""
    check_random_state(random_state)
    if random_state is None:
        return int.from_bytes(os.urandom(8), "little")
    if isinstance(random_state, np.random.Generator):
        return int(random_state.bit_generator.random_raw()) & (2**64 - 1)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(0, 2**63, dtype=np.int64))
    return int(random_state)
