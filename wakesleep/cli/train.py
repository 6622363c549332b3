"""The command that trains: it holds rows out, saves now and then, and reports what came out."""

from __future__ import annotations

import argparse
import copy
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from wakesleep import drawing, hyperparameters, likelihood, monitor, schedules
from wakesleep.bits import Bits
from wakesleep.cli.files import Columns, check_output, read, read_for, writing
from wakesleep.cli.log import line, open_log, read_log
from wakesleep.cli.reports import N_DRAWN, OPTIONS, PARAMS, draw, failed, how, mean, n_of, saved_to
from wakesleep.drawing import printable
from wakesleep.machine import HelmholtzMachine
from wakesleep.rows import Rows, drawn
from wakesleep.training import DivergenceError

RULE_OF = {"gamma": "ovis", "baseline": "vimco"}
RATES = {"sgd": 0.3, "momentum": 0.3, "rmsprop": 0.01, "adam": 0.01}  # where none is given: for small batches
FINAL_ROWS, FINAL_PARTICLES = 10_000, 1000  # what the report after training takes: half a minute, not hours
SECONDS_BETWEEN_SAVES = 30.0
STOPPING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


def train(args: argparse.Namespace) -> int:
    """Learn from data, measure on held-out rows, and save the machine, whatever stops it."""
    by_default = f"{Path(args.data).name.split('.')[0] if args.data else 'digits'}-model.npz"
    output = by_default if args.output is None else args.output
    check_output(output, args.data, kinds=(".npz",))
    if args.log is not None:
        check_output(args.log, args.data, option="--log")
        if os.path.realpath(args.log) == os.path.realpath(output):
            raise ValueError(f"--log: want another file than the machine's, got {args.log}")
        read_log(args.log)
    for option, rule in RULE_OF.items():
        if option in args and args.rule != rule:
            raise ValueError(f"--{option}: want it with --rule {rule} only, got --rule {args.rule}")
    if args.resume and not os.path.exists(output):
        raise ValueError(f"--resume: want a machine to go on with, but {output} is not there; begin without --resume")
    machine = HelmholtzMachine(**{name: value for name, value in vars(args).items() if name in PARAMS})
    if machine.learning_rate is None:
        machine.set_params(learning_rate=RATES[machine.optimizer])
    machine._settings_here()
    if args.resume:
        machine = _resumed(output, machine)
    machine.set_params(verbose=0 if args.quiet else 2)
    rows, held_out = _split(args, machine)
    hyperparameters.check_total((rows.n_features, *machine.hidden_layer_sizes))
    shape = drawing.image_shape(rows.n_features, args.shape)
    if os.path.exists(output) and not (args.resume or args.overwrite):
        raise ValueError(f"{output}: is there already; --resume goes on with it, --overwrite begins anew")
    log = None if args.log is None else open_log(args.log, machine.history_ if args.resume else None)
    begun, saved = getattr(machine, "step_", 0), time.monotonic()

    def keep(entry: dict[str, Any]) -> None:
        nonlocal saved
        if log is not None:
            with writing(args.log):
                log.write(line(entry))
        if time.monotonic() > saved + SECONDS_BETWEEN_SAVES:
            _save(machine, output)
            saved = time.monotonic()

    alone = threading.current_thread() is threading.main_thread()  # the only one that is told of signals
    stopping = [number for number in STOPPING if alone and signal.getsignal(number) == signal.SIG_DFL]  # not nohup's
    for number in stopping:
        signal.signal(number, signal.default_int_handler)  # as Ctrl-C
    try:
        machine.fit(rows, validation=held_out, callbacks=[keep], resume=args.resume)
        _save(machine, output)
    except (KeyboardInterrupt, OSError, MemoryError, DivergenceError) as stopped:
        if getattr(machine, "step_", 0) == begun:
            raise
        _save(machine, output)
        done = f"{n_of(machine.n_iter_, 'epoch')} and {n_of(machine.step_, 'step')} are in {printable(output)}"
        if not isinstance(stopped, KeyboardInterrupt | BrokenPipeError):
            return failed(stopped, args, more=f"; {done}")
        how = "--resume instead of --overwrite" if args.overwrite else "--resume"
        closed = isinstance(stopped, BrokenPipeError)
        why = "the output was closed" if closed else "interrupted"
        print(f"wakesleep: {why}; {done}; the same command with {how} goes on", file=sys.stderr)
        if closed:
            raise
        return INTERRUPTED
    finally:
        for number in stopping:
            signal.signal(number, signal.SIG_DFL)
        if log is not None:
            log.close()
    if not args.quiet:
        try:
            _report(machine, rows, held_out, shape)
        except KeyboardInterrupt:
            print(f"wakesleep: interrupted; training is done, and saved to {printable(output)}", file=sys.stderr)
            return INTERRUPTED
        print()
        saved_to(output)
    return 0


def _resumed(path: str, wanted: HelmholtzMachine) -> HelmholtzMachine:
    """The machine of a file, if it is being trained in the way that is wanted; more epochs may be."""
    machine = HelmholtzMachine.load(path)
    found = machine.get_params() | {"hidden_layer_sizes": tuple(machine.hidden_layer_sizes)}
    for name, value in wanted.get_params().items():
        unused = RULE_OF.get(name, machine.rule) != machine.rule
        if not (unused or name in ("n_iter", "patience", "n_threads", "verbose")) and found[name] != value:
            was, now = (",".join(map(str, v)) or "none" if isinstance(v, tuple) else v for v in (found[name], value))
            raise ValueError(f"--resume: want the {OPTIONS[name]} of {path}, which is {was}, got {now}")
    if machine.n_iter_ >= wanted.n_iter:
        raise ValueError(f"--resume: {path} has {n_of(machine.n_iter_, 'epoch')} already, want more --epochs than that")
    _tell_of_jumps(machine, wanted)
    return machine.set_params(n_iter=wanted.n_iter, patience=wanted.patience, n_threads=wanted.n_threads)


def _tell_of_jumps(machine: HelmholtzMachine, wanted: HelmholtzMachine) -> None:
    """Tell what does not go on where it was, because it is a curve that comes to its end with the last epoch."""
    settings, epoch, old, new = wanted._settings(), machine.n_iter_, machine.n_iter, wanted.n_iter
    weights = settings.rule.sleep_weight, settings.final_sleep_weight
    factors = (schedules.factors(settings.schedule, epoch, 1, end)[0] for end in (old, new))
    sleep = (schedules.between(*weights, epoch, end) for end in (old, new))
    for curve, (was, now) in (("the factor of --schedule", factors), ("--sleep-weight", sleep)):
        if was != now:
            because = f"with --epochs {new} and no longer {old}"
            print(f"wakesleep: warning: {because}, {curve} goes on from {now:.3g}, not {was:.3g}", file=sys.stderr)


def _save(machine: HelmholtzMachine, path: str) -> None:
    with writing(path):
        copy.copy(machine).set_params(n_threads=None, verbose=0).save(path)  # which are of this run, not of the machine


def _split(args: argparse.Namespace, machine: HelmholtzMachine) -> tuple[Rows, Bits]:
    """Rows to learn from, and rows held out, those of probabilities drawn once for all."""
    seed = hyperparameters.seed(args.random_state)
    how = {"columns": Columns(args.data, args.drop), "missing": args.missing}
    data = read_for(machine, args)[0] if args.resume else read(args.data, args.split, args.binarize, **how)
    if args.held_out_split is not None:
        held_out = read(args.data, args.held_out_split, args.binarize, option="--held-out-split", **how)
        if held_out.n_features != data.n_features:
            want = f"want {data.n_features} features, as {args.split} has, got {held_out.n_features}"
            raise ValueError(f"--held-out-split: {want} in {args.held_out_split} of {args.data}")
        return data, monitor.split(held_out, len(held_out), seed)[1]
    if len(data) < 2:
        raise ValueError(f"{args.data}: want 2 rows or more, to hold some out, got {len(data)}")
    return monitor.split(data, monitor.n_held_out("--held-out", args.held_out, len(data)), seed)


def _report(machine: HelmholtzMachine, rows: Rows, held_out: Bits, shape: tuple[int, int] | None) -> None:
    """log p(x) of the held-out rows, beside that of independent units, and images; of many rows, the first.

    (They are in keyed order.)
    """
    if machine.patience is not None:
        print(f"\nthe parameters are those of epoch {machine.best_epoch_} of {machine.n_iter_}")
    held_out = held_out[:FINAL_ROWS]
    values, sizes, _ = machine._estimates(held_out, "auto", FINAL_PARTICLES, None, likelihood.N_STEPS)
    shared = likelihood.shared_variance(held_out, sizes, FINAL_PARTICLES)
    independent = likelihood.independent_log_likelihood(drawn(rows, machine._state.seed, 0), held_out)
    samples = how(machine, "auto", FINAL_PARTICLES)
    print(f"\nheld-out log p(x), nats  {mean(values, shared)}  ({samples}, {len(held_out):,} rows)")
    print(f"independent units        {mean(independent)}")
    better = values - independent
    words, better = ("worse by", -better) if better.mean() < 0 else ("better by", better)
    print(f"{words:24} {mean(better, shared)}")
    if shape is not None:
        draw("fantasies", machine.sample(N_DRAWN), shape)
        draw("held-out rows", held_out[:N_DRAWN].filled().to_dense(), shape)
        draw("their reconstructions", machine.reconstruct(held_out[:N_DRAWN]) > 0.5, shape)
