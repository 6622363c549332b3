"""`Learner`: how a machine is trained. It consumes the one loop: records, measures, prints, stops, keeps the best."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps
from inspect import signature
from typing import Any, Self, TypeVar, cast

import numpy as np

from wakesleep import _panels, hyperparameters, monitor, schedules, state, tables, training
from wakesleep.bits import Bits
from wakesleep.estimator import Estimator
from wakesleep.probabilities import Probabilities
from wakesleep.progress import Progress
from wakesleep.rows import Given, Rows, Selection, as_rows, drawn, drawn_by_content, given, has_gaps

Callback = Callable[[dict[str, Any]], object]
NAMELESS = (Bits, Probabilities, Selection)  # what needs no names of features, and has those of a file at most
FITTED = ("_state", "_aside", "_given", "_feature_names", "_gaps", "history_")


@dataclass(frozen=True)
class _Run:
    """What one call trains with."""

    data: Rows
    held_out: Bits | None
    settings: hyperparameters.Settings
    n_threads: int
    each_epoch: list[Callback]
    each_steps: list[tuple[Callback, int]]
    progress: Progress = field(default_factory=Progress)
    seed: int = 0

    @cached_property
    def independent(self) -> float:
        """Mean log p(x) of the measured rows under independent units, nats."""
        return monitor.independent(drawn(self.data, self.seed, 0), self.held_out, self.seed)


_at_work: dict[int, object] = {}  # the machines that are being trained, by id; a copy of one is another machine
Training = TypeVar("Training", bound=Callable[..., Any])


def _as_a_whole(training: Training) -> Training:
    """Let a machine be trained by one call at a time, and a call that ends before its first step change nothing.

    What has been learned is kept, whatever ends the call.
    """

    known = list(signature(training).parameters)[1:]

    @wraps(training)
    def call(self: Learner, *args: Any, **how: Any) -> Any:
        for name in (name for name in how if name not in known):
            raise TypeError(f"{name}: not supported by {training.__name__}, which takes {', '.join(known)}")
        before, key, refused = {name: vars(self)[name] for name in FITTED if name in vars(self)}, id(self), False
        try:
            if _at_work.setdefault(key, before) is not before:  # in one operation, so that one of two threads is first
                refused = True
                raise RuntimeError(
                    f"{training.__name__}: want one training of a machine at a time, got a second one, "
                    "from a callback, a rule or another thread, while the first goes on"
                )
            return training(self, *args, **how)
        except BaseException:  # whatever a rule raises, and Ctrl-C, too
            if not (refused or self._learned_since(before)):
                for name in set(FITTED) - set(before):
                    vars(self).pop(name, None)
                vars(self).update(before)
            raise
        finally:
            if not refused:
                _at_work.pop(key, None)

    return cast(Training, call)


class Learner(Estimator):
    """`fit` and `partial_fit`."""

    binarize: Any
    missing: Any
    n_threads: Any
    random_state: Any
    verbose: Any

    @_as_a_whole
    def fit(
        self, X: Any, y: None = None, *, validation: Any = None,
        callbacks: Iterable[Callback | tuple[Callback, int]] = (), resume: bool = False,
    ) -> Self:  # fmt: skip
        """Train until `n_iter` epochs are done, or fewer with `patience` or if a callback says so.

        Whatever ends it early, Ctrl-C or an error of a rule, what has been learned is kept; if that comes before the
        first minibatch is done, nothing is changed.

        Parameters
        ----------
        X : array-like, data frame, SciPy sparse matrix, Bits or Probabilities of shape (n, D)
        y : ignored
        validation : like X, or float, optional
            Held-out rows, or the share of X, between 0 and 1, that is held out, chosen by the seed. Up to 1,000 of
            them, chosen by the seed, are measured after every epoch: `history_` gets their reconstruction
            cross-entropy and log p(x), in nats. `patience` needs them.
        callbacks : iterable of callable, or of (callable, int)
            A callable is called with the record of every epoch, a dict as in `history_`; with a number n, after every
            n-th minibatch, counted since training began, with epoch, step, seconds and rows_per_second of the epoch
            under way. Training ends as if `n_iter` were reached if one returns True; if one raises, the machine stays
            where it is, and can resume. Callbacks do not change what is learned, and may copy or save the machine, but
            not train it. docs/callbacks.md has recipes.
        resume : bool, default=False
            Go on where an earlier call, or the machine that was loaded, stopped, instead of beginning anew. What comes
            out is what one uninterrupted call would have learned, so that X must be the same rows, and `validation`
            the same: held-out rows of their own may be left out, but a share of X may not, because X would then have
            other rows to learn from, and `patience` needs either. `partial_fit` takes other rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For an argument, or a parameter of the machine, that is not what it should be. Nothing is changed.
        DivergenceError
            If parameters become NaN or infinite; the machine keeps the last ones from before that.
        RuntimeError
            If this machine is being trained already.

        Warns
        -----
        SampleSizeWarning
            If the estimates of log p(x), or those of many rows, have rested on a single sample for several epochs.
        PoorFitWarning
            If log p(x) of held-out rows, without any that of rows of X, is not above that of independent units in the
            end, after five epochs or more, or after fewer than 1,000 steps less than 2 % above it; or if that of
            held-out rows has been far below it for five epochs. In the latter case, most often, the learning rate is
            too large.
        UserWarning
            If X has values below 0 or above 1, and `binarize` is between: most often, another is meant. Also if nothing
            is observed in some columns or rows.
        """
        settings, n_threads = self._settings_here()
        resume = hyperparameters.flag("resume", resume)
        each_epoch, each_steps = _sorted_callbacks(callbacks)
        going_on = resume and self._fitted
        data = self._rows(X, fitted=going_on)
        names = tables.feature_names(X, "X")
        if validation is None and settings.patience is not None:
            raise ValueError("validation: want held-out rows, or a share of X, because patience needs them, got None")
        n_held_out, rows = 0, None
        if isinstance(validation, numbers.Real):
            n_held_out = monitor.n_held_out("validation", validation, len(data))
        elif validation is not None:
            self._check_names(names, validation, "validation")
            rows = as_rows(
                validation, binarize=self.binarize, n_features=data.n_features, name="validation", missing=self.missing
            )
        if going_on:
            self._check_sizes(settings)
            seed = self._state.seed
        else:
            hyperparameters.check_total((data.n_features, *settings.hidden_layer_sizes))
            seed = hyperparameters.seed(self.random_state)
        held_out = None if rows is None else drawn_by_content(rows, seed)
        if n_held_out:
            data, held_out = monitor.split(data, n_held_out, seed)
        now = given(data, held_out)
        run = _Run(data, held_out, settings, n_threads, each_epoch, each_steps)
        if going_on:
            self._given = self._checked(now, n_held_out)
        else:
            self._begin(data, settings, seed, now, names)
        self._train(run, settings.n_iter)
        if len(self.history_) >= monitor.EPOCHS_BEFORE:
            monitor.warn_of_poor_fit_in_the_end(
                self._state, drawn(data, seed, 0), held_out, self.history_, n_threads,
                by_patience=settings.patience is not None and len(self.history_) < settings.n_iter,
            )  # fmt: skip
        return self

    @_as_a_whole
    def partial_fit(self, X: Any, y: None = None) -> Self:
        """Make one more pass, over these rows. n calls on the same X are ``fit(X)`` with ``n_iter=n``.

        (That takes the same `n_iter` for both where `schedule` is a curve that ends with it.) `patience` plays no
        part: after early stopping, it goes on from the best parameters.

        Parameters
        ----------
        X : array-like, data frame, SciPy sparse matrix, Bits or Probabilities of shape (n, D), or an iterator of them
            The first call fixes D, the initial biases, and the order of sums. An iterator is read once, and every
            block of rows that it yields is a call of its own, with an epoch and minibatches of its own, so that only
            one block has to be in memory. If one is refused, those before it have been learned.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError, DivergenceError, RuntimeError
            As `fit` does; also for an iterator that yields nothing.

        Examples
        --------
        >>> import wakesleep
        >>> X = wakesleep.datasets.load_digits()
        >>> blocks = (X[start : start + 600] for start in range(0, 1797, 600))
        >>> wakesleep.HelmholtzMachine(random_state=0).partial_fit(blocks).n_iter_
        3
        """
        if not isinstance(X, Iterator):
            return self._pass(X)
        n_blocks = 0
        for n_blocks, block in enumerate(X, 1):  # noqa: B007
            self._pass(block)
        if not n_blocks:
            raise ValueError("X: want blocks of rows, got an iterator that yields nothing")
        return self

    def _pass(self, X: Any) -> Self:
        settings, n_threads = self._settings_here()
        data = self._rows(X, fitted=self._fitted)
        if self._fitted:
            self._check_sizes(settings)
            epoch, row, seen = self._frontier.position
            position = np.array([epoch + (row > 0), 0, seen], np.int64)
            started = replace(self._state, position=position, step=self._frontier.step)
            vars(self).update(_state=started, _aside=None, _given=None)
        else:
            hyperparameters.check_total((data.n_features, *settings.hidden_layer_sizes))
            self._begin(data, settings, hyperparameters.seed(self.random_state), None, tables.feature_names(X, "X"))
        run = _Run(data, None, replace(settings, patience=None), n_threads, [], [])
        return self._train(run, self._state.epoch + 1)

    def _settings_here(self) -> tuple[hyperparameters.Settings, int]:
        settings = self._settings()
        _panels.check_precision(settings.precision)
        schedules.check(settings.schedule, settings.n_iter)
        return settings, hyperparameters.threads(self.n_threads)

    def _checked(self, now: Given, n_held_out: int) -> Given:
        """What training has been given, if it goes on with the same."""
        before = self._given
        if before is None:
            done = int(self._frontier.position[1])
            if done >= now.rows.n_rows:
                raise ValueError(
                    f"X: want the rows of the epoch to resume, of which {done} are done, got only {now.rows.n_rows}"
                )
            return now
        if now.held_out is not None and before.held_out not in (None, now.held_out):
            raise ValueError(
                f"validation: want the {before.held_out.n_rows} rows that have been held out, "
                f"got {now.held_out.n_rows} others"
            )
        if now.rows != before.rows:
            without = f", {n_held_out} of X being held out" if n_held_out else ""
            raise ValueError(
                f"X: want the {before.rows.n_rows} rows that training began with, got {now.rows.n_rows} others{without}"
            )
        return Given(now.rows, now.held_out or before.held_out)

    def _begin(
        self, data: Rows, settings: hyperparameters.Settings, seed: int, now: Given | None,
        names: tuple[str, ...] | None,
    ) -> None:  # fmt: skip
        started = state.start(drawn(data, seed, 0), settings.hidden_layer_sizes, seed, settings.initial_biases)
        vars(self).update(  # at once, as wherever this is written
            _state=started, _aside=None, _given=now, _feature_names=names, _gaps=False, history_=[]
        )

    def _learned_since(self, before: dict[str, Any]) -> bool:
        """Whether a step has been done since these were the fitted attributes."""
        if not self._fitted or not self._frontier.step:
            return False
        states = [before[name] for name in ("_state", "_aside") if before.get(name) is not None]
        return all(self._frontier.parameters is not known.parameters for known in states)

    def _train(self, run: _Run, n_epochs: int) -> Self:
        run = replace(run, progress=Progress(self.verbose), seed=self._state.seed)
        settings, self._gaps = run.settings, self._gaps or has_gaps(run.data)
        self._state, self._aside = self._frontier, self._best if settings.patience is not None else None
        done, rows, seen = (int(number) for number in self._state.position)
        if self.verbose and done < n_epochs:
            print(monitor.heading(self._state.parameters.sizes, len(run.data), run.held_out), flush=True)
        with run.progress.shown(done + 1, n_epochs, (n_epochs - done) * len(run.data) - rows, seen):
            if not (self._catch_up(run) or self._exhausted(settings)):
                self._loop(run, n_epochs)
        if self._aside is not None:
            self._state, self._aside = self._aside, self._state
        return self

    def _loop(self, run: _Run, n_epochs: int) -> None:
        settings, stop = run.settings, False
        for record in training.train(
            self._state, run.data, n_epochs=n_epochs, learning_rates=settings.learning_rates,
            batch_size=settings.batch_size, schedule=settings.schedule, n_iter=settings.n_iter,
            stops=[every for _, every in run.each_steps], rule=settings.rule,
            final_sleep_weight=settings.final_sleep_weight, optimizer=settings.optimizer, n_threads=run.n_threads,
            precision=settings.precision,
        ):  # fmt: skip
            entry = {
                "epoch": record.epoch, "step": record.state.step, "seconds": record.seconds,
                "rows_per_second": record.rows / max(record.seconds, 1e-9),
            }  # fmt: skip
            changed: dict[str, Any] = {"_state": record.state}
            run.progress.follow(record.epoch, n_epochs, int(record.state.position[2]))
            if record.epoch_done:
                changed["history_"] = [*self.history_, entry]  # another list: a copy of the machine keeps its own
            vars(self).update(changed)
            for callback, every in run.each_steps:
                if record.state.step % every == 0:
                    stop |= _says_stop(callback(dict(entry)))
            if record.epoch_done:
                stop |= self._close_epoch(run, record.data) or self._exhausted(settings)
            if stop:
                break

    def _catch_up(self, run: _Run) -> bool:
        """Measure the last epoch, if an earlier call was stopped before it had; whether that says to stop."""
        if run.held_out is None or not self.history_ or "log_likelihood" in self.history_[-1]:
            return False
        if self.history_[-1]["step"] != self._state.step:
            return False
        return self._close_epoch(run, run.held_out)

    def _close_epoch(self, run: _Run, rows: Bits | Selection[Bits]) -> bool:
        """Measure, print and tell the callbacks; keep the best; whether a callback says to stop."""
        *earlier, entry = self.history_
        if run.held_out is not None or self.verbose:
            measured = monitor.measure(self._state, rows, run.held_out, run.n_threads)
            entry = entry | measured  # an entry that has this needs nothing more when training is resumed
            better = run.settings.patience is not None and measured["log_likelihood"] > self._best_so_far()
            vars(self).update(_aside=self._state if better else self._aside, history_=[*earlier, entry])
        with run.progress.above():
            if run.held_out is not None or self.verbose:
                monitor.warn_of_few(self.history_)
                monitor.warn_of_poor_fit(self.history_, lambda: run.independent, run.data.n_features)
            if self.verbose:
                print(monitor.line(entry), flush=True)
            answers = [_says_stop(callback(dict(entry))) for callback in run.each_epoch]  # of all of them
        return any(answers)

    def _best_so_far(self) -> float:
        """Held-out log p(x) of the best epoch."""
        if self._aside is None:
            return -np.inf
        entries = [entry for entry in self.history_ if entry.get("step") == self._aside.step]
        return float(entries[-1].get("log_likelihood", -np.inf)) if entries else -np.inf

    def _exhausted(self, settings: hyperparameters.Settings) -> bool:
        if settings.patience is None or self._aside is None:
            return False
        return self._state.epoch - self._aside.epoch >= settings.patience

    def _rows(self, X: Any, *, fitted: bool, missing: str | None = None) -> Rows:
        if fitted:
            self._check_names(self._feature_names, X, "X")
        n_features = self.n_features_in_ if fitted else None
        rows = as_rows(X, binarize=self.binarize, n_features=n_features, missing=missing or self.missing)
        if not fitted:
            names = tables.feature_names(X, "X")
            monitor.warn_of_values(rows, names)
            monitor.warn_of_unobserved(rows, names)
        return rows

    def _check_names(self, fitted: tuple[str, ...] | None, X: Any, name: str) -> None:
        if not isinstance(X, NAMELESS) or (fitted is not None and X.feature_names is not None):
            tables.check_feature_names(fitted, X, name, type(self).__name__)

    def _seed(self, random_state: Any) -> int:
        return self._state.seed if random_state is None else hyperparameters.seed(random_state)


def _says_stop(answer: object) -> bool:
    return isinstance(answer, bool | np.bool_) and bool(answer)


def _sorted_callbacks(callbacks: Any) -> tuple[list[Callback], list[tuple[Callback, int]]]:
    """Those of epochs, and those of every so many steps."""
    if not isinstance(callbacks, Iterable) or getattr(callbacks, "ndim", 1) == 0:
        raise TypeError(f"callbacks: want an iterable of callables or (callable, steps), got {callbacks!r:.80}")
    of_epochs, of_steps = [], []
    for callback in callbacks:
        if isinstance(callback, tuple) and len(callback) == 2 and callable(callback[0]):
            of_steps.append((callback[0], hyperparameters.count("callbacks", callback[1])))
        elif callable(callback):
            of_epochs.append(callback)
        else:
            raise TypeError(f"callbacks: want an iterable of callables or (callable, steps), got {callback!r:.80}")
    return of_epochs, of_steps
