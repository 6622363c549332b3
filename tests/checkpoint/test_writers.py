"""Writers that are killed, and writers that work at once."""

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from checkpoints import ARRAYS, MANIFEST, assert_holds, assert_only, posix

from wakesleep import atomic
from wakesleep.checkpoint import load, save

# Writers that die, and writers that live ------------------------------------------------------------------------------


@pytest.fixture
def temporary(path, old, monkeypatch):
    """The path of a temporary file for `path`, with a dead writer."""
    seen = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: (seen.append(source), replace(source, target)))
    save(path, ARRAYS, MANIFEST)
    monkeypatch.undo()
    Path(seen[0]).write_bytes(b"half a file")
    return Path(seen[0])


def test_temporary_of_a_dead_writer_is_removed_by_the_next_save(path, temporary):
    save(path, ARRAYS, MANIFEST)
    assert_only(path)


def test_directory_name_is_no_pattern(tmp_path):
    path = tmp_path / "[a]" / "model.npz"
    path.parent.mkdir()
    save(path, ARRAYS, MANIFEST)
    stem = f".wakesleep-{hashlib.sha256(b'model.npz').hexdigest()[:16]}-"
    path.with_name(f"{stem}0123456789abcdef.tmp").touch()
    save(path, ARRAYS, MANIFEST)
    assert_only(path)


def test_temporary_of_a_dead_writer_is_removed_even_if_the_save_fails(path, temporary, monkeypatch):
    monkeypatch.setattr(atomic, "_renamed", lambda *_: [][0])
    with pytest.raises(IndexError):
        save(path, ARRAYS, MANIFEST)
    assert_only(path)


def test_files_of_others_are_not_removed(path, temporary):
    others = [".model.npz.tmp", "model.npz.tmp", ".wakesleep-backup.tmp", temporary.with_suffix(".npz").name]
    for other in others:
        path.with_name(other).touch()
    save(path.with_name("other.npz"), ARRAYS, MANIFEST)
    assert_only(path, "other.npz", temporary.name, *others)
    save(path, ARRAYS, MANIFEST)
    assert_only(path, "other.npz", *others)


@posix
def test_temporary_of_a_living_thread_is_left_to_it(path, old, monkeypatch):
    fsync, writing, go_on = os.fsync, threading.Event(), threading.Event()

    def wait_in_the_other_thread(descriptor):
        if threading.current_thread() is slow:
            writing.set()
            assert go_on.wait(10)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", wait_in_the_other_thread)
    slow = threading.Thread(target=save, args=(path, ARRAYS, {"who": "slow"}))
    slow.start()
    assert writing.wait(10)
    (temporary,) = path.parent.glob(".wakesleep-*.tmp")
    save(path, ARRAYS, {"who": "fast"})
    assert_holds(path, ARRAYS, {"who": "fast"})
    assert_only(path, temporary.name)
    go_on.set()
    slow.join()
    assert_holds(path, ARRAYS, {"who": "slow"})
    assert_only(path)


SLOW_WRITER = """if True:
    import os, sys
    import numpy as np
    from wakesleep import checkpoint
    def wait(descriptor):
        print("writing", flush=True)
        sys.stdin.readline()
    os.fsync = wait
    checkpoint.save(sys.argv[1], {}, {"who": "slow"})
"""


@posix
@pytest.mark.parametrize("lives", [True, False])
def test_temporary_of_another_process_goes_when_that_dies(path, old, lives):
    command = [sys.executable, "-c", SLOW_WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"writing\n"
        (temporary,) = path.parent.glob(".wakesleep-*.tmp")
        save(path, ARRAYS, {"who": "fast"})
        assert_only(path, temporary.name)
        if lives:
            child.communicate(b"\n\n")
            assert child.returncode == 0
            assert_holds(path, {}, {"who": "slow"})
        else:
            child.kill()
            child.wait()
            assert_only(path, temporary.name)
            save(path, ARRAYS, {"who": "fast"})
    assert_only(path)


@pytest.mark.parametrize("function", ["_lock", "fsync", "chmod"])
def test_writer_whose_temporary_was_swept_away_before_its_lock_writes_again(path, old, monkeypatch, function):
    home = atomic if function == "_lock" else os
    original, swept = getattr(home, function), []

    def sweep_once(*args):
        if not swept:
            swept.extend(path.parent.glob(".wakesleep-*.tmp"))
            swept[0].unlink()
        return original(*args)

    monkeypatch.setattr(home, function, sweep_once)
    save(path, ARRAYS, {"step": 2})
    assert swept
    assert_holds(path, ARRAYS, {"step": 2})
    assert_only(path)


@posix
def test_file_system_without_locks_saves_but_sweeps_nothing(path, temporary, monkeypatch):
    def no_locks(file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(atomic, "_lock", no_locks)
    save(path, ARRAYS, {"step": 2})
    assert_holds(path, ARRAYS, {"step": 2})
    assert_only(path, temporary.name)


BIG = 200_000


def state(step):
    return {"w": np.full(BIG, step, np.float32)}, {"step": step}


def loaded_step(path):
    """Which state the file holds; an error unless it holds the whole of one."""
    arrays, manifest = load(path)
    assert np.unique(arrays["w"]).tolist() == [manifest["step"]]
    assert arrays["w"].shape == (BIG,)
    return manifest["step"]


NURSERY = """if True:
    import os, sys
    import numpy as np
    from wakesleep import checkpoint
    for line in sys.stdin:  # each line asks for one child that saves until it is killed
        first = int(line)
        pid = os.fork()
        if pid == 0:
            step = first
            while True:
                checkpoint.save(sys.argv[1], {"w": np.full(int(sys.argv[2]), step, np.float32)}, {"step": step})
                step += 1
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("dead", flush=True)
"""


@posix
def test_kill_at_any_moment_leaves_the_old_file_or_the_new_one(path):
    rng, kills, leftovers, moved = random.Random(0), 60, 0, 0
    save(path, *state(0))
    command = [sys.executable, "-c", NURSERY, str(path), str(BIG)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as nursery:
        for kill in range(1, 10 * kills + 1):  # more than `kills` only where the disk is slow
            before = loaded_step(path)
            nursery.stdin.write(f"{kill * 1000}\n")
            pid = int(nursery.stdout.readline())
            time.sleep(rng.uniform(0, 0.05))
            os.kill(pid, signal.SIGKILL)
            assert nursery.stdout.readline() == "dead\n"
            step = loaded_step(path)
            assert step == before or kill * 1000 <= step < (kill + 1) * 1000
            moved += step != before
            leftovers += len(os.listdir(path.parent)) > 1
            assert len(os.listdir(path.parent)) <= 2, "each writer sweeps what the one before left"
            if kill >= kills and min(leftovers, moved) > kills / 10:
                break
        nursery.stdin.close()
    assert leftovers > kills / 10, "this test has no power: no kill came in the middle of a save"
    assert moved > kills / 10, "this test has no power: no save was finished before its kill"
    save(path, *state(1))
    assert_only(path)
    assert loaded_step(path) == 1


def test_concurrent_threads_and_readers_see_whole_files(path):
    save(path, *state(0))
    errors, done = [], threading.Event()

    def write(first):
        try:
            for step in range(first, first + 15):
                save(path, *state(step))
        except Exception as error:
            errors.append(error)

    def read():
        try:
            while not done.is_set():
                loaded_step(path)
        except Exception as error:
            errors.append(error)

    writers = [threading.Thread(target=write, args=(100 * i,)) for i in range(1, 5)]
    reader = threading.Thread(target=read)
    for thread in [reader, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert errors == []
    assert loaded_step(path) % 100 == 14, "the last save of some writer"
    assert_only(path)


WRITER = """if True:
    import sys
    import numpy as np
    from wakesleep import checkpoint
    path, first, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for step in range(first, first + 30):
        checkpoint.save(path, {"w": np.full(size, step, np.float32)}, {"step": step})
"""


def test_concurrent_processes_leave_a_whole_file_and_no_other(path):
    save(path, *state(0))
    commands = [[sys.executable, "-c", WRITER, str(path), str(1000 * i), str(BIG)] for i in (1, 2)]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE) for command in commands]
    seen = set()
    while any(child.poll() is None for child in children):
        with suppress(PermissionError):  # Windows, in the middle of a rename
            seen.add(loaded_step(path) // 1000)
    for child in children:
        assert child.communicate()[1] == b""
        assert child.returncode == 0
    assert {1, 2} <= seen | {loaded_step(path) // 1000}
    assert loaded_step(path) % 1000 == 29
    assert_only(path)
