"""What can be typed: the arguments of all commands, and their help."""

from __future__ import annotations

import argparse
import csv
import difflib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import wakesleep
from wakesleep import imputer, likelihood, plotting
from wakesleep._panels import PRECISIONS
from wakesleep.cli.commands import diagnose, impute, info, sample, score
from wakesleep.cli.plot import KINDS, plot
from wakesleep.cli.reports import N_DRAWN, OPTIONS
from wakesleep.cli.train import train
from wakesleep.drawing import printable
from wakesleep.optimizers import OPTIMIZERS
from wakesleep.rules import BASELINES, RULES

EPILOG = """\
examples:
  wakesleep train                                   the 8x8 digits that come with the package
  wakesleep train data.csv -o data-model.npz        rows of 0 and 1, or numbers (see --binarize)
  wakesleep train data.csv --drop id,date           all columns but these two
  wakesleep train --epochs 80 --resume              go on with digits-model.npz
  wakesleep train mnist.npz --split train --held-out-split test --hidden 200 --batch-size 100
  wakesleep sample digits-model.npz -n 8            fantasies, drawn on the terminal
  wakesleep score digits-model.npz --particles 10000
  wakesleep impute data-model.npz data.csv -o filled.csv    after train --missing marginalise
  wakesleep diagnose digits-model.npz               how well q follows p, level by level
  wakesleep plot digits-model.npz                   curves, fields, fantasies, codes: digits-model.png
  wakesleep info digits-model.npz                   its levels, arguments and last epoch
"""

TRAIN_EPILOG = """\
The defaults are for data of a few thousand rows; in Python, those of HelmholtzMachine are a
rate of 0.1 (0.003 with rmsprop and adam), batches of 100 and 20 epochs. In the table,
cross-entropy is that of rows and their mean-field reconstructions, by q upwards and p downwards
without sampling, in nats; log p(x) is estimated by K samples from q.

"""

DATA_HELP = (
    "rows: .npy, .npz, .csv or IDX (also .gz) or .bits, of an array of images one row for each; "
    "the digits in the package if left out"
)
NUMBER = re.compile(r"-?\.?\d[\d.]*")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help that tells the defaults, where there are any."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        untold = isinstance(action.default, bool) or action.default in (None, [], argparse.SUPPRESS)
        return text if untold else f"{text} (default: %(default)s)"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was typed; anything unknown ends the program, with the usage of the command that it was typed for."""
    top = _parser()
    args, unknown = top.parse_known_args(arguments)
    command = getattr(args, "parser", top)
    if unknown or (unknown := [text for text in [getattr(args, "data", None)] if text and NUMBER.fullmatch(text)]):
        command.error(f"unrecognized arguments: {' '.join(unknown)}{_hint(command, unknown[0])}")
    if command is top:
        top.print_help(sys.stderr)
        top.exit(2)
    return args


def _hint(command: argparse.ArgumentParser, unknown: str) -> str:
    """What may have been meant: the option for an argument of Python, one of a name that is near, or commas."""
    typed, known = unknown.partition("=")[0], command._option_string_actions
    if NUMBER.fullmatch(unknown) and "--hidden" in known:
        return "; several numbers for one option are joined by commas, as in --hidden 32,16"
    option = OPTIONS.get(typed[2:].replace("-", "_"))
    near = [option] if option in known else difflib.get_close_matches(typed, known, n=1, cutoff=0.8)
    return f"; is {near[0]} meant?" if near else ""


def _parser() -> argparse.ArgumentParser:
    """The arguments of all commands."""
    top = _Parser(
        prog="wakesleep",
        description="Train deep Helmholtz machines on binary data, and use them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"wakesleep {wakesleep.__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND")

    def add(
        name: str, command: Callable[[argparse.Namespace], int], text: str, files: str = "MODEL [DATA]"
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", usage=f"wakesleep {name} [options] {files}",
            formatter_class=_Help,
            epilog="\n".join(["examples:", *(line for line in EPILOG.splitlines() if f" wakesleep {name} " in line)]),
        )  # fmt: skip
        sub.set_defaults(command=command, parser=sub)
        return sub

    _train(add("train", train, "learn from data, measure on held-out rows, and save the machine", "[DATA]"))
    _sample(add("sample", sample, "draw fantasies from a machine", "MODEL"))
    _score(add("score", score, "tell how probable rows are: log p(x) in nats"))
    filling = "fill missing cells in: by the probability of a 1 given the others, or by draws"
    _impute(add("impute", impute, filling, "MODEL DATA -o FILE"))
    _diagnose(add("diagnose", diagnose, "tell at which level likelihood is lost, and which units do nothing"))
    _plot(add("plot", plot, "draw curves, fields, fantasies, reconstructions and activity into a file"))
    showing = add("info", info, "show what a file holds, or without one, what runs here", "[MODEL]")
    showing.add_argument("model", nargs="?", metavar="MODEL", help="a file that train wrote")
    return top


def _train(fit: argparse.ArgumentParser) -> None:
    fit.epilog = f"{TRAIN_EPILOG}{fit.epilog}"
    fit.add_argument("data", nargs="?", metavar="DATA", help=DATA_HELP)
    data = fit.add_argument_group("data")
    data.add_argument("--split", metavar="NAME", help="the array of an .npz to learn from")
    held_out = data.add_mutually_exclusive_group()
    held_out.add_argument(
        "--held-out", type=_number, default=0.2, metavar="SHARE", help="share of the rows to hold out and measure on"
    )
    held_out.add_argument("--held-out-split", metavar="NAME", help="an array of the .npz to measure on instead")
    data.add_argument(
        "--binarize", type=_threshold, default=0.5, metavar="T",
        help="cells are 1 above this value; sample: they are probabilities, drawn anew for every epoch",
    )  # fmt: skip
    data.add_argument(
        "--missing", choices=["marginalise"],
        help="cells that are empty, NA, nan, null, none, n/a or ? are missing, and summed out; an error if left out",
    )  # fmt: skip
    _drop_argument(data)
    _shape_argument(data)

    model = fit.add_argument_group("machine")
    model.add_argument(
        "--hidden", dest="hidden_layer_sizes", type=_numbers, default="32,16", metavar="N,N",
        help="hidden units of each level, bottom level first",
    )  # fmt: skip
    model.add_argument(
        "--frozen", type=_names, default=argparse.SUPPRESS, metavar="NAME,NAME",
        help="parts that do not learn, such as prior_logits, generative.0.biases, recognition.1.weights",
    )  # fmt: skip
    model.add_argument(
        "--seed", dest="random_state", type=_whole, default=0, metavar="N",
        help="the same seed and rows give the same machine",
    )  # fmt: skip

    rule = fit.add_argument_group("rule")
    rule.add_argument("--rule", default="wake-sleep", choices=RULES, help="how p and q learn")
    rule.add_argument(
        "--particles", dest="n_particles", type=_whole, metavar="K",
        help="samples of the hidden units for each row; if left out, 1 with wake-sleep, else 5",
    )  # fmt: skip
    rule.add_argument(
        "--sleep-weight", type=_one_or_pair, metavar="S[,S]",
        help="share of the sleep phase in what q learns, 0 to 1, or that of the first and of the last epoch; if left "
        "out, 1 with wake-sleep, 0.5 with reweighted, else 0",
    )  # fmt: skip
    rule.add_argument("--sleep-steps", type=_whole, default=1, metavar="N", help="sleep phases for each wake phase")
    rule.add_argument(
        "--gamma", type=_number, default=argparse.SUPPRESS, metavar="G",
        help="with --rule ovis: 0 to 1, where only 0 is unbiased; 1 if left out",
    )  # fmt: skip
    rule.add_argument(
        "--baseline", default=argparse.SUPPRESS, choices=BASELINES,
        help="with --rule vimco: the mean of the other samples that stands for one; geometric if left out",
    )  # fmt: skip

    steps = fit.add_argument_group("steps")
    steps.add_argument("--epochs", dest="n_iter", type=_whole, default=40, metavar="N", help="passes over the rows")
    steps.add_argument("--batch-size", type=_whole, default=20, metavar="N", help="rows for each step")
    steps.add_argument("--optimizer", default="sgd", choices=OPTIMIZERS, help="what follows the gradient")
    steps.add_argument(
        "--learning-rate", type=_one_or_pair, metavar="R[,R]",
        help="that of p and q, or that of p and that of q; if left out, 0.01 with rmsprop and adam, else 0.3",
    )  # fmt: skip
    steps.add_argument(
        "--schedule", default="constant", metavar="S",
        help="how the rates go on: constant, linear, cosine or decay, with options as in cosine:warm_up=5,final=0.1; "
        "linear and cosine end with the last of --epochs",
    )  # fmt: skip
    steps.add_argument(
        "--weight-decay", type=_number, default=0.0, metavar="D",
        help="share of the learning rate by which weights shrink in each step",
    )  # fmt: skip
    steps.add_argument("--clip-norm", type=_number, metavar="C", help="largest norm of the gradient of p, and of q")
    steps.add_argument("--patience", type=_whole, metavar="N", help="stop N epochs after the best one, and keep that")
    steps.add_argument(
        "--precision", default="float32", choices=PRECISIONS, help="of sums; bf16x2: faster with AMX, less exact"
    )
    steps.add_argument(
        "--threads", dest="n_threads", type=_whole, metavar="N",
        help="how many; all processors if left out; results are the same",
    )  # fmt: skip

    written = fit.add_argument_group("what is written")
    written.add_argument(
        "-o", "--output", metavar="MODEL", help="file to save to; DATA-model.npz in this folder if left out"
    )
    there = written.add_mutually_exclusive_group()
    there.add_argument(
        "--resume", action="store_true",
        help="go on with MODEL; only --epochs, --patience, --threads, --log and what is printed may change",
    )  # fmt: skip
    there.add_argument("--overwrite", action="store_true", help="begin anew where there is a MODEL, which is replaced")
    written.add_argument("--log", metavar="FILE", help="a file to append a line of JSON per epoch to; none if left out")
    written.add_argument("-q", "--quiet", action="store_true", help="print nothing but warnings and errors")


def _sample(sampling: argparse.ArgumentParser) -> None:
    _model_argument(sampling)
    sampling.add_argument("-n", dest="n_samples", type=_whole, default=N_DRAWN, metavar="N", help="how many fantasies")
    sampling.add_argument("-o", "--output", metavar="FILE", help="write them to a .npy, .csv or .bits file")
    sampling.add_argument(
        "--seed", dest="random_state", type=_whole, metavar="N",
        help="of the fantasies; the machine's own if left out: the same every time",
    )  # fmt: skip
    _shape_argument(sampling)


def _score(scoring: argparse.ArgumentParser) -> None:
    _model_argument(scoring)
    _data_arguments(scoring)
    scoring.add_argument(
        "--method", default="auto", choices=likelihood.METHODS, help="auto: exact if that is cheap, else importance"
    )
    _particles_argument(scoring, 1000)
    scoring.add_argument(
        "--steps", dest="n_steps", type=_whole, metavar="T",
        help=f"with --method ais: steps of annealing; {likelihood.N_STEPS} if left out",
    )  # fmt: skip
    scoring.add_argument(
        "-o", "--output", metavar="FILE",
        help="write log p(x) of every row to a .npy or .csv file; a .csv for a .csv begins with the columns left out",
    )  # fmt: skip


def _impute(filling: argparse.ArgumentParser) -> None:
    _model_argument(filling)
    _data_arguments(filling, needed=True)
    filling.add_argument(
        "-o", "--output", metavar="FILE", required=True,
        help="write the rows to a .npy or .csv file; a .csv for a .csv has all its columns in their places",
    )  # fmt: skip
    filling.add_argument(
        "--method", default="auto", choices=likelihood.WAYS, help="auto: exact if that is cheap, else importance"
    )
    filling.add_argument("--draws", action="store_true", help="zeros and ones in place of probabilities")
    _particles_argument(filling, imputer.N_PARTICLES)


def _diagnose(diagnosing: argparse.ArgumentParser) -> None:
    _model_argument(diagnosing)
    _data_arguments(diagnosing)
    _particles_argument(diagnosing, likelihood.N_PARTICLES)


def _plot(picturing: argparse.ArgumentParser) -> None:
    _model_argument(picturing)
    _data_arguments(picturing)
    picturing.add_argument(
        "-o", "--output", metavar="FILE", help="a .png or .svg file; MODEL.png in this folder if left out"
    )
    picturing.add_argument("--kind", default="all", choices=KINDS, help="which picture, or all in one")
    picturing.add_argument(
        "--layer", type=_whole, metavar="N",
        help="hidden level of fields (0 if left out), reconstructions or activity (-1, the top); 0 is at the bottom",
    )  # fmt: skip
    picturing.add_argument(
        "-n", dest="n_samples", type=_whole, metavar="N", help=f"how many fantasies ({plotting.N_IMAGES} if left out)"
    )
    _shape_argument(picturing)


def _model_argument(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("model", metavar="MODEL", help="a file that train wrote")


def _data_arguments(sub: argparse.ArgumentParser, needed: bool = False) -> None:
    if needed:
        sub.add_argument("data", metavar="DATA", help=DATA_HELP.partition(";")[0])
    else:
        sub.add_argument("data", nargs="?", metavar="DATA", help=f"{DATA_HELP}, those learned from among them")
    sub.add_argument("--split", metavar="NAME", help="the array of an .npz to read")
    _drop_argument(sub)
    sub.add_argument(
        "--binarize", type=_threshold, metavar="T",
        help="cells are 1 above this value, or sample; the machine's own if left out",
    )  # fmt: skip
    sub.add_argument(
        "--seed", dest="random_state", type=_whole, metavar="N", help="of what is drawn; the machine's own if left out"
    )


def _particles_argument(sub: argparse.ArgumentParser, default: int) -> None:
    sub.add_argument(
        "--particles", dest="n_particles", type=_whole, default=default, metavar="K", help="samples for each row"
    )


def _drop_argument(sub: argparse._ActionsContainer) -> None:
    sub.add_argument(
        "--drop", type=_columns, action="extend", default=[], metavar="NAME,NAME",
        help="columns of DATA to leave out, such as an index: by the name above them, or by number from 0",
    )  # fmt: skip


def _shape_argument(sub: argparse._ActionsContainer) -> None:
    sub.add_argument(
        "--shape", type=_shape, metavar="HxW", help="draw rows as images of this height and width; squares if left out"
    )


def _shape_of(text: str) -> tuple[int, ...]:
    height, width = (int(part) for part in text.lower().split("x"))
    return height, width


def _one_or_pair_of(text: str) -> float | tuple[float, ...]:
    values = tuple(float(part) for part in text.split(","))
    return values if len(values) > 1 else values[0]


def _columns_of(text: str) -> list[str]:
    """Names or numbers, as a line of a .csv file has them; nothing is an empty name."""
    try:
        return next(csv.reader([text])) or [""]
    except csv.Error as error:
        raise ValueError from error


def _typed(wanted: str, convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """What turns a text into a value, or tells what is wanted instead."""

    def typed(text: str) -> Any:
        try:
            return convert(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"want {wanted}, got {text!r}") from None

    return typed


_whole = _typed("a whole number", int)
_number = _typed("a number", float)
_numbers = _typed("whole numbers with commas between them", lambda text: tuple(map(int, text.split(","))))
_names = _typed("names with commas between them", lambda text: tuple(text.split(",")))
_columns = _typed("names or numbers of columns with commas between them", _columns_of)
_one_or_pair = _typed("a number, or two with a comma between them", _one_or_pair_of)
_threshold = _typed("a number, or sample", lambda text: text if text == "sample" else float(text))
_shape = _typed("height x width, such as 28x28", _shape_of)
