"""The processors that a container may use are those of its quota, if these are fewer."""

import os
from pathlib import Path

import pytest

from wakesleep import HelmholtzMachine, hyperparameters, processors

N = 16  # processors in the mask


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Make control groups out of {path: content}, and out of the text of /proc/self/cgroup."""
    monkeypatch.setattr(processors, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(processors, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(N)), raising=False)
    monkeypatch.delenv("WAKESLEEP_NUM_THREADS", raising=False)

    def make(own, files):
        (tmp_path / "own").write_text(own)
        for name, content in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    return make


V1 = "cpu.cfs_quota_us", "cpu.cfs_period_us"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "1000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, N),
        ("0::/\n", {"cpu.max": "max 100000\n"}, N),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "300000 100000\n", "a/cpu.max": "500000 100000\n"}, 3),
        ("0::/gone\n", {"cpu.max": "300000 100000\n"}, 3),  # the path is that of the host
        ("0::/../../x\n", {"cpu.max": "300000 100000\n"}, 3),
        ("4:cpu,cpuacct:/a\n", {f"cpu/a/{V1[0]}": "400000\n", f"cpu/a/{V1[1]}": "100000\n"}, 4),
        ("4:cpu,cpuacct:/a\n", {f"cpu/{V1[0]}": "50000\n", f"cpu/{V1[1]}": "10000\n"}, 5),
        ("4:cpu:/\n", {f"cpu/{V1[0]}": "-1\n", f"cpu/{V1[1]}": "100000\n"}, N),
        ("4:cpu:/\n", {f"cpu/{V1[0]}": "50000\n"}, N),
        ("4:cpuset:/\n0::/\n", {f"cpu/{V1[0]}": "50000\n", f"cpu/{V1[1]}": "10000\n"}, N),
        ("0::/\n", {"cpu.max": "100000 0\n"}, N),
        ("0::/\n", {"cpu.max": "nonsense\n"}, N),
        ("0::/\n", {"cpu.max": ""}, N),
        ("nonsense\n\n", {"cpu.max": "100000 100000\n"}, N),
        ("", {}, N),
    ],
)
def test_a_quota_counts_where_it_is_smaller(groups, own, files, expected):
    groups(own, files)
    assert processors.count() == hyperparameters.threads(None) == expected


def test_without_control_groups_the_mask_counts(groups, monkeypatch):
    assert not Path(processors.OWN_CGROUPS).exists()
    assert processors.count() == N
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors.count() == 1


def test_a_number_that_was_asked_for_is_not_cut(groups, monkeypatch):
    groups("0::/\n", {"cpu.max": "200000 100000\n"})
    assert hyperparameters.threads(5) == 5
    monkeypatch.setenv("WAKESLEEP_NUM_THREADS", "7")
    assert hyperparameters.threads(None) == 7
    HelmholtzMachine(2, n_iter=1, n_threads=3, random_state=0).fit([[0, 1]])
