"""Break a copy of the compiled core in many small ways, and see that its tests fail each time.

python tests/mutate_core.py            (half a minute for each; needs Cython, setuptools and a C compiler)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from checkout import BUILD, copy_to, replace

TESTS = "tests/test_core.py", "tests/test_border.py", "tests/test_threads.py"
CORE, ORDER, VERBS, PANELS = "_core.pyx", "_order.pxd", "_verbs.pyx", "_panels.pyx"
ROWS, BODY, PHILOX = "_kernels/rows.h", "_kernels/body.h", "_kernels/philox.h"

MUTANTS = [  # (what is wrong, file, text, its replacement)
    ("p rate per row, not per particle", CORE, "<float>(t.rate_p / n)", "<float>(t.rate_p / (n // t.n_particles))"),
    ("q rate of a short batch", CORE, "<float>(t.rate_q / n)", "<float>(t.rate_q / t.batch_size)"),
    ("last batch dropped", CORE, "if row == t.n_rows:", "if row + t.batch_size > t.n_rows:"),
    ("samples do not move along", CORE, "seen * <uint64_t>t.n_particles", "seen"),
    ("wake and sleep have one key", CORE, "Source(t.seed, C_SLEEP,", "Source(t.seed, C_WAKE,"),
    ("p not taught", CORE, "teach_p_and_dream(m, me, awake, n, <float>(t.rate_p / n), &t.asleep, count, sleep)",
     "_verbs.dream(m, me, &t.asleep, count, sleep)"),
    ("two Feistel rounds, one key", ORDER, "order.keys[i + 2], order.keys[i + 3]", "order.keys[i], order.keys[i + 1]"),
    ("the first rows in place of those chosen", ORDER, "order.chosen != NULL", "False"),
    ("one order for all epochs", CORE, "t.seed, epoch, t.n_rows,", "t.seed, 0, t.n_rows,"),
    ("one key for all blocks of states", CORE, "first_sample + <uint64_t>row", "first_sample"),
    ("padding counts as data", CORE, "row[whole] & last", "row[whole]"),
    ("rows of probabilities drawn alike", CORE, "<uint64_t>row + first_sample", "first_sample"),
    ("grey levels are not scaled", CORE, "<double>word[i, unit] * scale", "<double>word[i, unit]"),
    ("p left out of log p", VERBS, "add_log_p(m, me, &m.p[level], batch, n, log_p)", "pass"),
    ("gradient not checked", CORE, 'check_flat("gradient", gradient, len(parameters))', "pass"),
    ("batch_size not checked", CORE, '(("batch_size", batch_size), (', "(("),
    ("one key for all levels", VERBS, "source.stream += <uint32_t>layer.target", "pass"),
    ("one key for all panels", BODY, "NAME(units)(BLOCK * block + LANES * v)", "NAME(units)(LANES * v)"),
    ("prior not taught", VERBS, "learn_panel(m, me, layer, &panel, &rows, &columns, awake, n, NULL, scale)",
     "if layer.n_source:\n            learn_panel(m, me, layer, &panel, &rows, &columns, awake, n, NULL, scale)"),
    ("the next rows in place of these", CORE, "&t.awake[(step + 1) & 1]", "&t.awake[step & 1]"),
    ("top of q not taught", VERBS, "for level in range(m.n_hidden):\n        learn(",
     "for level in range(m.n_hidden - 1):\n        learn("),
    ("lanes not cleared", VERBS, "memset(lanes, 0, n * BLOCK * sizeof(float))", "pass"),
    ("gradient not read before teaching", PANELS, "self.unfold(gradient, True)", "pass"),
    ("biases do not accumulate", BODY, "biases[v] += scale * sum;", "biases[v] = scale * sum;"),
    ("walk does not accumulate", ROWS, "goal[v] += scale * (even", "goal[v] = scale * (even"),
    ("long walk does not accumulate", ROWS, "goal[i + v] += scale", "goal[i + v] = scale"),
    ("every chunk begins anew", ROWS, "(chunk ? out[v] : start[v])", "start[v]"),
    ("the last of an odd list twice", ROWS, "SPLAT_I(i[0] != i[1])", "SPLAT_I(1)"),
    ("tables do not accumulate", ROWS, " goal[v] += scale * sum[v];", " goal[v] = scale * sum[v];"),
    ("groups do not accumulate", ROWS, "goal[m * width + v] += scale", "goal[m * width + v] = scale"),
    ("a single row unscaled", ROWS, "added[v] = scale * row[v];", "added[v] = row[v];"),
    ("credits left out", BODY, "if (credit) error *= credit[row];", ""),
    ("walk in one chain", ROWS, "odd[v] += b[v];", "even[v] += b[v];"),
    ("tables in another order", ROWS, "sum[v] += low[v] + high[v];", "sum[v] = sum[v] + low[v] + high[v];"),
    ("a wrong partial sum", ROWS, "t[13 * V] = t5 + r3", "t[13 * V] = t6 + r3"),
    ("biased uniform", BODY, "* 0x1p-23f + 0x1p-24f", "* 0x1p-23f"),
    ("exp off by 1e-6", BODY, "p = p * f + 0.24022242f;", "p = p * f + 0.24022342f;"),
    ("no clamp of exp", BODY, "NAME(at_least)(NAME(at_most)(z * -1.44269504f, 126.f), -126.f)", "z * -1.44269504f"),
    ("softplus off by 1e-6", BODY, "p = p * t + 0.66666317f;", "p = p * t + 0.66666217f;"),
    ("padding units in log p", BODY, "NAME(keep)(term, valid >> (LANES * v))", "term"),
    ("padding units drawn", BODY, "(half_word)(bits & valid)", "(half_word)bits"),
    ("propagate forgets the biases", BODY, "sum[r][v] = start[v];", "sum[r][v] = SPLAT_F(0);"),
    ("nine rounds of Philox", PHILOX, "round < 10", "round < 9"),
    ("upper half of the seed left out", PHILOX, "k1 = (uint32_t)(seed >> 32)", "k1 = 0"),
]  # fmt: skip


def run(folder: Path, *command: str) -> bool:
    """Whether a command succeeds; one that hangs does not."""
    try:
        return not subprocess.run(command, cwd=folder, capture_output=True, timeout=600).returncode
    except subprocess.TimeoutExpired:
        return False


def build(folder: Path) -> None:
    assert run(folder, *BUILD), "the core does not build"


def tests_pass(folder: Path) -> bool:
    return run(folder, sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *TESTS)


def main() -> int:
    survivors = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = copy_to(Path(temporary, "copy"))
        build(folder)
        assert tests_pass(folder), "the tests fail without any mutant"
        for wrong, name, text, replacement in MUTANTS:
            file = folder / "wakesleep" / name
            before = replace(file, text, replacement)
            build(folder)
            survived = tests_pass(folder)
            survivors += survived
            print(f"{'survived' if survived else 'killed'}: {wrong}", flush=True)
            file.write_text(before, encoding="utf-8")
    print(f"{survivors} of {len(MUTANTS)} mutants survived")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
