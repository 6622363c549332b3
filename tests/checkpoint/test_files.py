"""Errors of the file system are ordinary errors, and the old file survives them."""

import errno
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checkpoints import ARRAYS, MANIFEST, assert_holds, assert_only, posix

from wakesleep.checkpoint import load, save

# Ordinary errors of files ---------------------------------------------------------------------------------------------


def test_missing_file_is_file_not_found(path):
    with pytest.raises(FileNotFoundError, match=re.escape(path.name)):
        load(path)


@posix
def test_directory_is_no_checkpoint(tmp_path):
    with pytest.raises(IsADirectoryError, match=re.escape(str(tmp_path))):
        load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file_is_permission_error(path, old):
    path.chmod(0)
    with pytest.raises(PermissionError, match=re.escape(str(path))):
        load(path)


def test_saving_into_a_missing_directory_names_the_path(tmp_path):
    path = tmp_path / "missing" / "model.npz"
    with pytest.raises(FileNotFoundError, match=re.escape(str(path))):
        save(path, ARRAYS, MANIFEST)


def test_saving_below_a_file_names_the_path(path, old):
    with pytest.raises(OSError, match=re.escape(str(path / "below.npz"))):
        save(path / "below.npz", ARRAYS, MANIFEST)
    assert_only(path)


def test_saving_over_a_directory_is_refused(path):
    path.mkdir()
    with pytest.raises(IsADirectoryError, match=re.escape(str(path))):
        save(path, ARRAYS, MANIFEST)
    assert_only(path)


@posix
def test_saving_over_a_pipe_is_refused(path):
    os.mkfifo(path)
    with pytest.raises(OSError, match=f"not a regular file.*{re.escape(str(path))}"):
        save(path, ARRAYS, MANIFEST)
    assert_only(path)
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("open", PermissionError(errno.EACCES, "Permission denied", "a temporary name")),
        ("fsync", OSError(errno.ENOSPC, "No space left on device")),
        ("replace", OSError(errno.EIO, "Input/output error")),
        ("fsync", OSError("without a number")),
    ],
)
def test_error_while_writing_names_the_path_and_leaves_the_old_file_alone(path, old, monkeypatch, function, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error), match=re.escape(str(path))) as caught:
        save(path, {"a": np.ones(9)}, {})
    monkeypatch.undo()
    assert caught.value.errno == error.errno
    assert caught.value.filename == str(path)
    assert caught.value.strerror == (error.strerror or "without a number")
    assert path.read_bytes() == old
    assert_only(path)


@posix
def test_full_disk_leaves_the_old_file_alone(path, old):
    script = """if True:
        import resource, sys
        import numpy as np
        from wakesleep import checkpoint
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # stands for a disk that is full
        try:
            checkpoint.save(sys.argv[1], {"a": np.ones(1_000_000)}, {})
        except OSError as error:
            print(error.errno, error.filename)
    """
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(errno.EFBIG), str(path)]
    assert path.read_bytes() == old
    assert_only(path)


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_interrupt_leaves_the_old_file_alone(path, old, monkeypatch, function):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, function, interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(path, {"a": np.ones(9)}, {})
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert_only(path)


# The file and its neighbours ------------------------------------------------------------------------------------------


@posix
def test_data_reaches_the_disk_before_the_name_and_the_name_before_the_return(path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def log_fsync(descriptor):
        info = os.fstat(descriptor)
        calls.append("directory" if stat.S_ISDIR(info.st_mode) else info.st_size)
        fsync(descriptor)

    def log_replace(source, target):
        assert os.path.dirname(source) == os.path.dirname(target)
        calls.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", log_fsync)
    monkeypatch.setattr(os, "replace", log_replace)
    save(path, ARRAYS, MANIFEST)
    assert calls == [path.stat().st_size, "rename", "directory"]


@posix
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_new_file_has_the_mode_of_the_umask(path, umask, mode):
    before = os.umask(umask)
    try:
        save(path, ARRAYS, MANIFEST)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o444, 0])
def test_existing_file_keeps_its_mode_and_its_content_stays_private(path, old, monkeypatch, mode):
    path.chmod(mode)
    modes, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (modes.append(os.fstat(descriptor).st_mode), fsync(descriptor)))
    save(path, {"a": np.ones(3)}, {})
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert stat.S_IMODE(modes[0]) == 0o600
    path.chmod(0o600)
    assert_holds(path, {"a": np.ones(3)}, {})


@posix
def test_symbolic_link_is_followed(path, tmp_path):
    (tmp_path / "deep").mkdir()
    real = tmp_path / "deep" / "real.npz"
    path.symlink_to("deep/real.npz")
    for step in range(2):  # a dangling link first
        save(path, ARRAYS, {"step": step})
        assert path.is_symlink()
        assert not real.is_symlink()
        assert_holds(real, ARRAYS, {"step": step})
    assert_only(path, "deep")
    assert_only(real)


@posix
def test_circle_of_symbolic_links_is_an_os_error(path):
    path.symlink_to(path.name)
    with pytest.raises(OSError, match=re.escape(str(path))):
        save(path, ARRAYS, MANIFEST)
    assert_only(path)


@pytest.mark.parametrize("name", ["m" * 255, "no suffix", "[a]*?.npz", ".hidden", "ü.npz"])
def test_any_file_name_is_taken_as_it_is(tmp_path, name):
    path = tmp_path / name
    for step in range(2):
        save(path, ARRAYS, {"step": step})
        assert_holds(path, ARRAYS, {"step": step})
        assert_only(path)


def test_path_may_be_relative_and_str_or_pathlike_or_bytes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for step, path in enumerate(["model.npz", Path("model.npz"), b"model.npz"]):
        save(path, ARRAYS, {"step": step})
        assert_holds(path, ARRAYS, {"step": step})
    assert_only(tmp_path / "model.npz")
