"""Break a copy of the compiled core in many small ways, and see that its tests fail each time.

python tests/mutate_core.py            (half a minute for each; needs Cython, setuptools and a C compiler)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from checkout import BUILD, copy_to, replace

TESTS = [f"tests/test_{name}.py" for name in ("core", "steps", "missing_steps", "frozen", "border", "threads", "rules")]
CORE, ORDER, VERBS, PANELS = "_core.pyx", "_order.pxd", "_verbs.pyx", "_panels.pyx"
LOOP, PHASES, CREDITS, UPDATES = "_learning.pyx", "_phases.pyx", "_credits.pyx", "_updates.pyx"
ROWS, BODY, PHILOX, LEARNING = "_kernels/rows.h", "_kernels/body.h", "_kernels/philox.h", "_kernels/learning.h"
LANES = "_kernels/lanes.h"

MUTANTS = [  # (what is wrong, file, text, its replacement)
    ("p rate per row, not per particle", PHASES, "step.rate_p, 1, job.n_particles)", "step.rate_p, 1)"),
    ("q rate per particle", PHASES, "step.rate_q, job.sleep_weight)", "step.rate_q, job.sleep_weight, 2)"),
    ("a batch is a row", PHASES, "(job.capacity // job.n_particles * n_states)", "n_states"),
    ("last batch dropped", LOOP, "if row == t.n_rows:", "if row + t.batch_size > t.n_rows:"),
    ("samples do not move along", LOOP, "seen * <uint64_t>job.n_particles", "seen"),
    ("dreams do not move along", LOOP, "seen * <uint64_t>t.sleep_steps", "seen"),
    ("every dream of a step is the same", LOOP, "sleep.first_sample += <uint64_t>now.count", "pass"),
    ("wake and sleep have one key", LOOP, "Source(t.seed, C_SLEEP,", "Source(t.seed, C_WAKE,"),
    ("p not taught", LOOP, "_phases.teach_p_and_dream(job, me, &now, sleep)",
     "_verbs.dream(m, me, &t.asleep, now.count, sleep)"),
    ("further dreams learn awake too", LOOP, "job.wake_q and not again", "job.wake_q"),
    ("q's updates are counted by steps", LOOP, "now.number_q = of_q", "now.number_q = of_p"),
    ("updates are counted from this call on", LOOP, "<uint64_t>t.n_updates[0], of_q = <uint64_t>t.n_updates[1]",
     "0, of_q = 0"),
    ("moments are not kept", LOOP, " fold(t.learning.machine, me, t.moments + i * t.n_parameters, MOMENTS + i)",
     " pass"),
    ("arithmetic is geometric", LOOP, 'rule.baseline == "arithmetic"', "False"),
    ("one particle is enough", LOOP, 'rule.name == "wake-sleep" else 2', 'rule.name == "wake-sleep" else 1'),
    ("rates not checked", LOOP, 'check_array("rates", rates, np.float64, (None, 2))', "pass"),
    ("particles are all the first", PHASES, "z + row // copies * width", "z"),
    ("the first layer learns from the first particle", PHASES,
     "sources, n_awake, n_particles = examples_of(job, step), step.count, job.n_particles",
     "sources, n_awake, n_particles = examples_of(job, step), step.count, 1"),
    ("q weighs as p does", PHASES, "job.log_w[state] += terms[state]", "job.log_w[state] -= terms[state]"),
    ("p's credits go to q", PHASES, "n_particles, job.u, of_particles)", "n_particles, job.v, of_particles)"),
    ("q's credits go to p", PHASES, "step.awake, n, 1, job.v,", "step.awake, n, 1, job.u,"),
    ("sleep has the whole weight", PHASES, "step.rate_q, job.sleep_weight)", "step.rate_q, 1)"),
    ("wake has the whole weight", PHASES, "step.rate_q, 1 - job.sleep_weight)", "step.rate_q, 1)"),
    ("weights do not decay", PHASES, "1 - step.rate_q * job.updates.weight_decay", "1"),
    ("biases decay", UPDATES, "update(update, n, 1, layer.biases", "update(update, n, kept, layer.biases"),
    ("frozen weights learn", UPDATES, "if not layer.frozen:", "if True:"),
    ("frozen biases count in the norm", UPDATES, "memset(panel.goal_biases, 0,", "memset(panel.goal_biases, 0, 0 *"),
    ("small gradients are blown up", UPDATES, "if norm > updates.clip_norm else 1", ""),
    ("no bias correction", UPDATES, "rate * scale / (1 - power(updates.first, number))", "rate * scale"),
    ("powers off by one", UPDATES, "result *= base\n", "result *= base * base\n"),
    ("vimco without its second term", CREDITS, "- without) - credit)", "- without))"),
    ("ovis without gamma", CREDITS, "(1 - gamma) * (credit", "(credit"),
    ("the largest by subtraction", CREDITS, "rest[top] = x[second] + log(before)", "rest[top] = x[second]"),
    ("exp off by 1e-8", CREDITS, "0.6931471803691238", "0.6931471903691238"),
    ("terms in another order", LEARNING, "(q[0] + q[2]) + (q[1] + q[3])", "(q[0] + q[1]) + (q[2] + q[3])"),
    ("eight rows' terms in another order", LANES, "FOURS(a, b, 0x44) + FOURS(a, b, 0xee)",
     "FOURS(a, b, 0x88) + FOURS(a, b, 0xdd)"),
    ("padding units weigh", LEARNING, "NAME(keep)(sums[i], counted >> i % PER_BLOCK * LANES)", "sums[i]"),
    ("padding units count in the norm", LEARNING, "lane < BLOCK; lane++) lanes[lane] = 0;", "lane < 0; lane++) {}"),
    ("credits of particles left out", LEARNING, "sum[v] += error[v] * *credit;", "sum[v] += error[v];"),
    ("gradients add up from step to step", LEARNING, "gradient[i] = SPLAT_F(0);", ""),
    ("squares are not averaged", LEARNING, "u->old_second * second[i] + u->new_second", "u->new_second"),
    ("two Feistel rounds, one key", ORDER, "order.keys[i + 2], order.keys[i + 3]", "order.keys[i], order.keys[i + 1]"),
    ("the first rows in place of those chosen", ORDER, "order.chosen != NULL", "False"),
    ("one order for all epochs", LOOP, "t.seed, rows.place.epoch,", "t.seed, 0,"),
    ("one key for all blocks of states", CORE, "first_sample + <uint64_t>row", "first_sample"),
    ("padding counts as data", LOOP, "row[whole] & last", "row[whole]"),
    ("rows of probabilities drawn alike", CORE, "<uint64_t>row + first_sample", "first_sample"),
    ("grey levels are not scaled", CORE, "<double>word[i, unit] * scale", "<double>word[i, unit]"),
    ("p left out of log p", VERBS, "add_log_p(m, me, &m.p[level], batch, n, log_p)", "pass"),
    ("gradient not checked", CORE, 'check_flat("gradient", gradient, len(parameters))', "pass"),
    ("batch_size not checked", LOOP, '(("batch_size", batch_size), (', "(("),
    ("missing cells are zeros to the errors", BODY, "if (observed) error =", "if (0) error ="),
    ("missing cells are zeros to weighed errors", LEARNING, "if (observed) error =", "if (0) error ="),
    ("missing cells are zeros to log weights", BODY, "return observed ? valid &", "return 0 ? valid &"),
    ("dreams lack nothing", "_layers.pxd", "if observed != NULL:", "if False:"),
    ("dreams lack what another row lacks", LOOP, "asleep.observed.row *= job.n_particles", "pass"),
    ("the patterns of the next rows", LOOP, "asleep.observed = now.awake.observed",
     "asleep.observed = t.awake[(step + 1) % 3].observed"),
    ("one key for all levels", VERBS, "source.stream += <uint32_t>layer.target", "pass"),
    ("one key for all panels", BODY, "NAME(units)(BLOCK * block + LANES * v)", "NAME(units)(LANES * v)"),
    ("prior not taught", PHASES, "if job.rule == WAKE_SLEEP:\n        learn_panel(",
     "if job.rule == WAKE_SLEEP and layer.n_source:\n        learn_panel("),
    ("the next rows in place of these", LOOP, "&t.awake[step % 3]", "&t.awake[(step + 1) % 3]"),
    ("rows gathered over those to come", LOOP, "&t.awake[(step + 2) % 3]", "&t.awake[(step + 1) % 3]"),
    ("a row that nobody gathers", LOOP, "range(count * rows.before // rows.shares,",
     "range(count * rows.before // rows.shares + 1,"),
    ("top of q not taught", VERBS, "for level in range(m.n_hidden):\n        learn(",
     "for level in range(m.n_hidden - 1):\n        learn("),
    ("lanes not cleared", VERBS, "memset(lanes, 0, n * BLOCK * sizeof(float))", "pass"),
    ("gradient not read before teaching", PANELS, "unfold(m, 0, &gradient[0], GOAL)", "pass"),
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
    ("open bits left open", BODY, "open |= sure", "open &= sure"),
    ("all sixteen bits of a half word", BODY, "(word << 7)) & 0x7fff80u", "(word << 7)) & 0x7fff00u"),
    ("the rest of the neighbour", BODY, "rest[v][j / 8][j % 8 / 2] << (j & 1 ? 0 : 16)",
     "rest[v][j / 8][j % 8 / 2] << 16"),
    ("a thread folds nothing back", LOOP, " fold(t.learning.machine, me, t.parameters",
     " fold(t.learning.machine, 0, t.parameters"),
    ("exp off by 1e-6", BODY, "0.24022242f, 0.693147f", "0.24022342f, 0.693147f"),
    ("no clamp of exp", BODY, "NAME(at_least)(NAME(at_most)(z[i] * -1.44269504f, 126.f), -126.f)",
     "z[i] * -1.44269504f"),
    ("softplus off by 1e-6", BODY, "0.66666317f, 2.f", "0.66666217f, 2.f"),
    ("padding units in log p", BODY, "NAME(keep)(terms[i], counted >> i % PER_BLOCK * LANES)", "terms[i]"),
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
