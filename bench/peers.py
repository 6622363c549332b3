"""`python -m bench.peers`: the core against its peers, as a table; a full run writes it to `bench/RESULTS.md`."""

import argparse
import sys
import time

from bench.contests import LearningError
from bench.report import foreign_seconds, machine, table, write_section
from bench.rows import SECTIONS, lacking, seconds

FIGURES = ["work", "core (median)", "fastest peer (median)", "ratio"]
TARGETS = ["work", "ratio", "must", "goal", "verdict"]
WANTED = "What is wanted of these ratios, and what was reached:"  # docs/performance.md ends before it
DETAILS = ["work", "who", "median", "from", "to", "nats gained before, or log p(x)"]

MOST_OTHERS = 0.5  # of a core, by other programs


def lines_of(work, measured):
    """Everybody who was timed."""
    for who, taken in measured.seconds.items():
        nats = f"{measured.nats[who.name]:.1f}" if measured.nats else "-"
        yield [work, str(who), *map(seconds, (measured.median(who), min(taken), max(taken))), nats]


def report(facts, rows, n_rounds, details):
    """What was measured, on what; then what was wanted; then all that was timed."""
    measured = [row for row in rows if row.core != "-"]
    return "\n\n".join(
        [
            *facts,
            table(FIGURES, [[row.work, row.core, row.peer, row.ratio] for row in measured]),
            WANTED,
            table(TARGETS, [[row.work, row.ratio, row.must, row.goal, row.verdict] for row in rows]),
            f"All that was timed, {n_rounds} times by turns:",
            table(DETAILS, details),
        ]
    )


def told_of_others(share):
    """How much of a core other programs used, and what that is worth."""
    warning = ": too much, so that the figures are not to be relied on" if share > MOST_OTHERS else ""
    return f"; other programs used {share:.0%} of a core{warning}"


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="ROW", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="three rounds in place of seven")
    options = parser.parse_args()
    n_rounds = 3 if options.quick else 7
    rows, details, failures = [], [], []
    began, foreign = time.perf_counter(), foreign_seconds()
    for name in options.only or SECTIONS:
        print(f"{time.perf_counter() - began:6.0f} s  {name}", file=sys.stderr, flush=True)
        try:
            found, measurements = SECTIONS[name](n_rounds)
        except LearningError as error:
            failures.append(f"{name}: {error}")
            continue
        rows += found
        for work, measured in measurements.items():
            details += lines_of(work, measured)
    took = time.perf_counter() - began
    others = "" if foreign is None else told_of_others((foreign_seconds() - foreign) / took)
    facts = [
        f"{machine()}\n- took {took:.0f} s{others}",
        *(f"{name} is not installed, and was skipped." for name in lacking()),
    ]
    text = report(facts, rows, n_rounds, details)
    print(text)
    if failures:
        sys.exit("\n".join(failures))
    if not options.only:
        write_section("bench.peers", text)


if __name__ == "__main__":
    main()
