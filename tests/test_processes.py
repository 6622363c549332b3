"""Teams of threads in other processes, under Ctrl-C, and where there is no room for threads."""

import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest
from checks import posix
from machines import learned
from trainings import CASES, Case, golden, sha256
from trainings import learned as parameters

from wakesleep import HelmholtzMachine, processors

CASE, WANTED = CASES["walk"], golden()["walk"]
SECONDS = 60  # after which a process hangs


def start(program, *arguments, **more):
    """Another Python, which finds the modules that this one finds."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **more}
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], env=environment, text=True, stdout=subprocess.PIPE
    )


def output(process):
    """What it prints until it ends, which it has to."""
    try:
        return process.communicate(timeout=SECONDS)[0]
    finally:
        process.kill()


# ---- pools of processes ----


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_teams_work_in_a_pool_of_processes(method):
    assert sha256(parameters(CASE, 3)) == WANTED  # a fork begins where there has been a team
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        tasks = [pool.submit(parameters, CASE, n_threads) for n_threads in (1, 2, 3)]
        try:
            assert [sha256(task.result(timeout=SECONDS)) for task in tasks] == [WANTED] * 3
        except TimeoutError:
            for child in multiprocessing.active_children():
                child.kill()
            raise


def test_teams_work_under_joblib():
    joblib = pytest.importorskip("joblib")
    tasks = [joblib.delayed(parameters)(CASE, n_threads) for n_threads in (1, 2, 3)]
    assert list(map(sha256, joblib.Parallel(2, timeout=SECONDS)(tasks))) == [WANTED] * 3


def test_a_worker_of_joblib_has_its_share_of_the_processors(monkeypatch):
    joblib = pytest.importorskip("joblib")
    for share in (1, 1000):
        with joblib.parallel_config("loky", inner_max_num_threads=share):
            found = joblib.Parallel(2, timeout=SECONDS)(joblib.delayed(processors.count)() for _ in range(2))
        assert found == [min(share, processors.count())] * 2
    before = processors.count()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert processors.count() == before, "elsewhere the variable is not for this package"


# ---- Ctrl-C ----

LONG = Case((205, 77), 0.15, 60_000, 100)  # an epoch takes longer than one compiled call
TRAIN_FOR_EVER = """
import sys
from test_processes import LONG
path, n_threads = sys.argv[1:]
machine = LONG.machine(int(n_threads)).set_params(n_iter=10**9)
try:
    machine.fit(LONG.rows, callbacks=[lambda entry: print(entry["epoch"], flush=True)])
except KeyboardInterrupt:
    machine.sample(3)
    machine.save(path)
    print("interrupted")
"""


@posix
@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_stops_a_fit_that_goes_on_as_if_it_had_not(tmp_path, n_threads):
    path = tmp_path / "machine.npz"
    with start(TRAIN_FOR_EVER, path, n_threads) as process:
        assert process.stdout.readline() == "1\n"
        process.send_signal(signal.SIGINT)
        assert output(process).endswith("interrupted\n")
    machine = HelmholtzMachine.load(path)
    assert machine.step_ >= LONG.batches
    machine.set_params(n_iter=machine.n_iter_ + 1).fit(LONG.rows, resume=True)
    assert learned(machine) == learned(LONG.machine().set_params(n_iter=machine.n_iter_).fit(LONG.rows))


# ---- no room for threads ----

TRAIN_IN_A_TIGHT_PLACE = """
import resource, threading
from trainings import CASES, learned, sha256
learned(CASES["walk"], 1)
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20),) * 2)  # room for about twelve stacks of 8 MiB
print(sha256(learned(CASES["walk"], 64)))
wait = threading.Event()
try:
    for _ in range(64):
        threading.Thread(target=wait.wait).start()
    print("there is room for all")
except RuntimeError:
    print("no more threads")
wait.set()
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory in use is not known here")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="AddressSanitizer needs terabytes of addresses")
def test_threads_that_cannot_be_started_are_done_without():
    with start(TRAIN_IN_A_TIGHT_PLACE, MALLOC_ARENA_MAX="1") as process:
        assert output(process).splitlines() == [WANTED, "no more threads"]
