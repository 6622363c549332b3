"""Break a copy of the compiled core in many small ways, and see that tests/test_core.py fails each time.

python tests/mutate_core.py            (half a minute for each; needs Cython, setuptools and a C compiler)
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
CORE, PANELS, BODY, PHILOX = "_core.pyx", "_panels.pyx", "_kernels/body.h", "_kernels/philox.h"

MUTANTS = [  # (what is wrong, file, text, its replacement)
    ("p rate per row, not per particle", CORE, "<float>(rate_p / n)", "<float>(rate_p / count)"),
    ("q rate of a short batch", CORE, "<float>(rate_q / count)", "<float>(rate_q / batch_size)"),
    ("last batch dropped", CORE, "if position[1] == n_rows:", "if position[1] + batch_size > n_rows:"),
    ("samples do not move along", CORE, "<uint64_t>(position[2] * n_particles)", "<uint64_t>(position[2])"),
    ("wake and sleep have one key", CORE, "count, Source(seed, C_SLEEP,", "count, Source(seed, C_WAKE,"),
    ("p not taught", CORE, "machine.teach_p(machine.states, n, NULL, <float>(rate_p / n))", "pass"),
    ("two Feistel rounds, one key", CORE, "order.keys[i + 2], order.keys[i + 3]", "order.keys[i], order.keys[i + 1]"),
    ("one order for all epochs", CORE, "seed, position[0], n_rows)", "seed, 0, n_rows)"),
    ("one key for all blocks of states", CORE, "first_sample + <uint64_t>row", "first_sample"),
    ("padding counts as data", CORE, "(<uint64_t *>state)[words - 1] &= last_word", "pass"),
    ("p left out of log p", CORE, "machine.weigh(&machine.p[level], some, n, &p[row])", "pass"),
    ("gradient not checked", CORE, 'check_flat("gradient", gradient, len(parameters))', "pass"),
    ("batch_size not checked", CORE, '(("batch_size", batch_size), (', "(("),
    ("one key for all levels", PANELS, "source.stream += <uint32_t>layer.target", "pass"),
    ("one key for all panels", BODY, "(first_unit + BLOCK * block + ", "(BLOCK * block + "),
    ("prior not taught", PANELS, "for level in range(self.n_hidden, -1, -1):\n            self.learn(",
     "for level in range(self.n_hidden - 1, -1, -1):\n            self.learn("),
    ("top of q not taught", PANELS, "for level in range(self.n_hidden):\n            self.learn(",
     "for level in range(self.n_hidden - 1):\n            self.learn("),
    ("padding row of errors not zero", PANELS, "memset(error + n * blocks * BLOCK, 0,", "memset(error, 0, 0 *"),
    ("lanes not cleared", PANELS, "memset(self.lanes, 0, n * BLOCK * sizeof(float))", "pass"),
    ("gradient not read before teaching", PANELS, "self.unfold(gradient, True)", "pass"),
    ("biases do not accumulate", BODY, "((vf *)biases)[v] += scale * sum;", "((vf *)biases)[v] = scale * sum;"),
    ("walk does not accumulate", BODY, "out[v] += scale * (even[v] + odd[v]);", "out[v] = scale * (even[v] + odd[v]);"),
    ("tables do not accumulate", BODY, "into[v] += scale * sum[v];", "into[v] = scale * sum[v];"),
    ("groups do not accumulate", BODY, "out[v] += scale * sum[v];", "out[v] = scale * sum[v];"),
    ("credits left out", BODY, "if (credit) error *= credit[row];", ""),
    ("walk in one chain", BODY, "odd[v] += b[v];", "even[v] += b[v];"),
    ("tables in another order", BODY, "(t0[v] + t1[v]) + (t2[v] + t3[v])", "((t0[v] + t1[v]) + t2[v]) + t3[v]"),
    ("a wrong partial sum", BODY, "t[13 * V] = t5 + r3", "t[13 * V] = t6 + r3"),
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
        return not subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, timeout=600).returncode
    except subprocess.TimeoutExpired:
        return False


def build(folder: Path) -> None:
    (folder / "wakesleep/_kernels/dispatch.c").touch()  # headers are not looked at
    assert run(folder, "setup.py", "build_ext", "--inplace"), "the core does not build"


def tests_pass(folder: Path) -> bool:
    return run(folder, "-m", "pytest", "tests/test_core.py", "-x", "-q", "-p", "no:cacheprovider")


def main() -> int:
    survivors = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "copy")
        shutil.copytree(REPOSITORY, folder, ignore=shutil.ignore_patterns(".*", "build", "dist", "*.so"))
        build(folder)
        assert tests_pass(folder), "the tests fail without any mutant"
        for wrong, name, text, replacement in MUTANTS:
            file = folder / "wakesleep" / name
            source = file.read_text(encoding="utf-8")
            assert text in source, f"{name} no longer contains {text!r}"
            file.write_text(source.replace(text, replacement), encoding="utf-8")
            build(folder)
            survived = tests_pass(folder)
            survivors += survived
            print(f"{'survived' if survived else 'killed'}: {wrong}", flush=True)
            file.write_text(source, encoding="utf-8")
    print(f"{survivors} of {len(MUTANTS)} mutants survived")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
