"""Implementations in processes of their own, because libraries read the number of threads when they are loaded."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

FORCED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "WAKESLEEP_CPU", "WAKESLEEP_NUM_THREADS", "XLA_FLAGS")
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
AVX2 = {  # what holds each library to these instructions
    "WAKESLEEP_CPU": "avx2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
}
ONE_THREAD_OF_XLA = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


@dataclass(frozen=True)
class Contender:
    """An implementation, by its name, and what it may use."""

    name: str
    n_threads: int = 2
    n_cpus: int = 2
    avx2: bool = False

    def __str__(self):
        threads = f"{self.n_threads} thread{'s' if self.n_threads > 1 else ''}"
        return f"{self.name}, {threads}{', AVX2' if self.avx2 else ''}"

    def environment(self):
        """Nothing is forced on a library but the threads, and AVX2 where that is wanted."""
        names = {name: value for name, value in os.environ.items() if name not in FORCED}
        names |= dict.fromkeys(THREADS, str(self.n_threads)) | (AVX2 if self.avx2 else {})
        if self.n_threads == 1:
            names["XLA_FLAGS"] = f"{names.get('XLA_FLAGS', '')} {ONE_THREAD_OF_XLA}".strip()
        return names


@contextmanager
def processors(n):
    """Within, this process and those that it starts have n processors."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(all_of_them)[-n:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)


class Worker:
    """A contender at work, until it is closed."""

    def __init__(self, contender, work):
        self.contender, self.work = contender, work
        task = json.dumps({"name": contender.name, "n_threads": contender.n_threads, "work": asdict(work)})
        with processors(contender.n_cpus):
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.worker", task], cwd=Path(__file__).parents[1],
                env=contender.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip

    def epoch(self):
        """Train on all rows once.  Returns seconds."""
        return self._ask("epoch")

    def gain(self, few_rows=False):
        """Nats of held-out log p(x) that a little training gains, and the tolerance; None where data are missing."""
        return self._ask("gain of few rows" if few_rows else "gain")

    def _ask(self, question):
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.contender}: ended with status {self.process.wait()}")
        return json.loads(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
