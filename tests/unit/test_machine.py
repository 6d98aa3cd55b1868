import psutil
import pytest

from greenai_nb import machine


def test_limits_of_both_versions_are_seen_where_they_are_set(tmp_path):
    own, root = tmp_path / "own", tmp_path / "cgroups"
    assert machine.container_limits(own, root) == (None, None)
    own.write_text("0::/pod/notebook\n5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n")
    for path, text in {
        "pod/cpu.max": "150000 100000",
        "pod/notebook/cpu.max": "max 100000",
        "pod/memory.max": "max",
        "cpu,cpuacct/cpu.cfs_quota_us": "-1",
        "cpu,cpuacct/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": "2000000000",
        "memory/docker/1/memory.limit_in_bytes": "9223372036854771712",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text + "\n")
    machine.container_limits.cache_clear()
    assert machine.container_limits(own, root) == (1.5, 2000.0)


@pytest.mark.parametrize(
    ("limit_mb", "least"), [(None, "installed"), (100.0, 100.0), (1e12, "installed")]
)
def test_memory_is_limited_by_the_container_and_the_machine(monkeypatch, limit_mb, least):
    monkeypatch.setattr(machine, "container_limits", lambda: (None, limit_mb))
    installed_mb = psutil.virtual_memory().total / machine.MB
    assert machine.memory_limit_mb() == (installed_mb if least == "installed" else least)
