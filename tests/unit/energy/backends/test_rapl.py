"""RAPL's path on trees that are written here, as real machines show them."""

from pathlib import Path

import pytest

from greenai_nb.energy.backends import rapl
from greenai_nb.energy.backends.rapl import Rapl
from greenai_nb.energy.meter import Meter, packages

RANGE_UJ = 100_000_000


@pytest.fixture
def tree(tmp_path):
    """Write zones as ``tree(zone, name, microjoules)``; the files are in ``tree.folder``."""

    def write(zone, name, count, range_uj=RANGE_UJ, **files):
        folder = tmp_path / zone
        folder.mkdir(exist_ok=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text(f"{count}\n")
        (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
        for file, content in files.items():
            (folder / file).write_text(f"{content}\n")

    write.folder = tmp_path
    return write


def forbid(monkeypatch, *ends):
    """As root, permissions do not hold: refuse to open files whose path ends so."""
    true = Path.read_text

    def read_text(path, *arguments, **named):
        if path.as_posix().endswith(ends):
            raise PermissionError(13, "Permission denied", str(path))
        return true(path, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", read_text)


def test_packages_and_dram_of_all_sockets_add_up_and_core_is_not_counted_twice(tree):
    zones = {
        "intel-rapl:0": ("package-0", 1_000_000),
        "intel-rapl:0:0": ("core", 2_000_000),
        "intel-rapl:0:1": ("dram", 3_000_000),
        "intel-rapl:1": ("package-1", 40_000_000),
        "intel-rapl:1:0": ("core", 5_000_000),
        "intel-rapl:2": ("psys", 20_000_000),
        "intel-rapl-mmio:0": ("package-0", 1_000_000),
    }
    for zone, (name, count) in zones.items():
        tree(zone, name, count)
    meter = Meter("rapl", powercap=tree.folder)
    for joules, (zone, (name, count)) in zip((10, 7, 2, 20, 9, 45, 10), zones.items(), strict=True):
        tree(zone, name, count + joules * 1_000_000)
    reading = meter.read()
    assert reading.components == pytest.approx({"package": 30, "core": 16, "dram": 2, "psys": 45})
    assert reading.energy_j == pytest.approx(32)
    assert reading.provenance == "measured" and "2 package counters and dram" in reading.method


def test_the_board_counts_where_there_is_no_package(tree):
    tree("intel-rapl:0", "psys", 0)
    meter = Meter("rapl", powercap=tree.folder)
    tree("intel-rapl:0", "psys", 5_000_000)
    assert meter.read().energy_j == pytest.approx(5) and "psys" in meter.read().method


def test_only_packages_are_listed(tree):
    for zone, name in (
        ("intel-rapl:0", "package-0"),
        ("intel-rapl:0:0", "core"),
        ("amd-rapl:1", "package-1"),
    ):
        tree(zone, name, 1)
    assert [zone.name for zone in packages(tree.folder)] == ["amd-rapl:1", "intel-rapl:0"]
    assert packages(tree.folder / "absent") == []


def test_dies_that_mirror_one_counter_count_once(tree):
    def show(count):
        tree("intel-rapl:0", "package-0-die-0", count)
        tree("intel-rapl:0:0", "core", count // 2)
        tree("intel-rapl:1", "package-0-die-1", count + 2_000)
        tree("intel-rapl:1:0", "core", count // 2)
        tree("intel-rapl:2", "package-1-die-0", count + 20_000_000)

    show(70_000_000)
    meter = Meter("rapl", powercap=tree.folder)
    show(75_000_000)
    reading = meter.read()
    assert reading.energy_j == pytest.approx(10) and reading.components["core"] == pytest.approx(2.5)
    assert "2 package counters" in reading.method and "1 mirrored left out" in reading.method


def test_sockets_that_started_alike_and_part_are_two(tree):
    tree("intel-rapl:0", "package-0", 1_000_000)
    tree("intel-rapl:1", "package-1", 1_000_000)
    meter = Meter("rapl", powercap=tree.folder)
    tree("intel-rapl:0", "package-0", 4_000_000)
    tree("intel-rapl:1", "package-1", 9_000_000)
    assert meter.read().energy_j == pytest.approx(11)


def test_a_counter_that_turns_is_followed_once_a_reading(tree):
    tree("intel-rapl:0", "package-0", 90_000_000)
    meter = Meter("rapl", powercap=tree.folder)
    for count, joules in ((10_000_000, 20), (95_000_000, 105), (5_000_000, 115)):
        tree("intel-rapl:0", "package-0", count)
        reading = meter.read()
        assert reading.energy_j == pytest.approx(joules)


@pytest.mark.parametrize(
    "limit_w, used_uj, low_j, high_j",
    [
        (None, 0, 0, 0.5),
        (None, 10_000_000, 9.5, 10.5),
        (100, 10_000_000, 9.9, 10.1),
        (100, 20_000, 0, 0.12),
    ],
)
def test_a_measured_reading_is_as_wide_as_a_renewal_of_its_counter(
    tree, limit_w, used_uj, low_j, high_j
):
    limit = {"enabled": 1, "constraint_0_power_limit_uw": limit_w * 10**6} if limit_w else {}
    tree("intel-rapl:0", "package-0", 5, **limit)
    tree("intel-rapl:0:0", "core", 5)  # not in the sum, and not in its width
    meter = Meter("rapl", powercap=tree.folder)
    tree("intel-rapl:0", "package-0", 5 + used_uj, **limit)
    reading = meter.read()
    assert (reading.low_j, reading.high_j) == pytest.approx((low_j, high_j))
    assert reading.energy_j == pytest.approx(used_uj / 1e6)


def test_the_counters_of_two_sockets_and_dram_may_all_be_late(tree):
    for zone, name, count in (("0", "package-0", 5), ("1", "package-1", 9_000_000), ("1:0", "dram", 5)):
        tree(f"intel-rapl:{zone}", name, count)
    reading = Meter("rapl", powercap=tree.folder).read()
    assert (reading.low_j, reading.high_j) == pytest.approx((0, 3 * 0.5))


def replayed(tree, count, time_s, **files):
    tree("intel-rapl:0", "package-0", count, **files)
    (tree.folder / rapl.REPLAYED).write_text(f"{time_s}\n")


def test_where_a_counter_may_have_turned_unseen_the_reading_is_an_interval(tree):
    replayed(tree, 0, 0.0)
    meter = Meter("rapl", powercap=tree.folder)
    replayed(tree, 10_000_000, 0.5)  # 500 W x 0.5 s = 250 J: 10 J, 110 J and 210 J are possible
    reading = meter.read()
    assert (reading.low_j, reading.energy_j, reading.high_j) == pytest.approx((10, 10, 210))
    assert "every 0.2 s" in reading.method
    replayed(tree, 20_000_000, 0.6)
    assert meter.read().high_j == pytest.approx(220), "what was unclear stays so"


def test_reading_often_enough_leaves_nothing_open(tree):
    replayed(tree, 0, 0.0)
    meter = Meter("rapl", powercap=tree.folder)
    for step in range(1, 11):
        replayed(tree, 40_000_000 * step % RANGE_UJ, 0.1 * step)
        reading = meter.read()
    assert reading.high_j == reading.energy_j == pytest.approx(400)


def test_a_limit_that_holds_bounds_the_power(tree):
    limits = {
        "enabled": 1,
        "constraint_0_power_limit_uw": 65_000_000,
        "constraint_1_power_limit_uw": 95_000_000,
    }
    for enabled, safe_s in ((1, 100 / 95), (0, 0.2), ("?", 0.2)):
        tree("intel-rapl:0", "package-0", 0, **limits | {"enabled": enabled})
        assert Rapl(tree.folder).counters[0].safe_s == pytest.approx(safe_s)
    tree("intel-rapl:0", "package-0", 0, enabled=1, constraint_0_power_limit_uw=4_095_875_000)
    assert Rapl(tree.folder).counters[0].max_power_w == rapl.MAX_POWER_W
    tree("intel-rapl:0", "package-0", 0, enabled=1, constraint_0_power_limit_uw="none")
    assert Rapl(tree.folder).counters[0].max_power_w == rapl.MAX_POWER_W


def test_655_seconds_at_100_watts(tree):
    limit = {"enabled": 1, "constraint_0_power_limit_uw": 100_000_000}
    tree("intel-rapl:0", "package-0", 0, range_uj=65_536_000_000, **limit)
    assert Rapl(tree.folder).counters[0].safe_s == pytest.approx(655.36)


def test_a_machine_without_counters_says_what_to_do(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileNotFoundError, match=r"Meter\('vcpu'\).*PowercapTree"):
            Meter("rapl", powercap=folder)
    (tmp_path / "intel-rapl:0").mkdir()
    with pytest.raises(FileNotFoundError, match="vcpu"):
        Meter("rapl", powercap=tmp_path)


def test_no_permission_says_what_to_do_and_nothing_that_opens_the_counters_to_all(tree, monkeypatch):
    tree("intel-rapl:0", "package-0", 1)
    forbid(monkeypatch, "energy_uj")
    with pytest.raises(PermissionError, match="energy_uj") as error:
        Meter("rapl", powercap=tree.folder)
    text = str(error.value)
    assert all(part in text for part in ("CVE-2020-8694", "as root", "one trusted group", "udev rule"))
    assert "chmod" not in text and "do not open it to every user" in text
    meter = Meter(powercap=tree.folder)
    assert meter.backend == "vcpu"
    assert "Meter('rapl') says why" in meter.read().method


@pytest.mark.parametrize("content", ["", "abc", "-5", "1.5", "1 2", str(RANGE_UJ + 1)])
def test_garbage_in_a_counter_is_an_error_and_not_a_number(tree, content):
    tree("intel-rapl:0", "package-0", content)
    with pytest.raises(ValueError, match="energy_uj"):
        Meter("rapl", powercap=tree.folder)
    tree("intel-rapl:0", "package-0", 5)
    meter = Meter("rapl", powercap=tree.folder)
    tree("intel-rapl:0", "package-0", content)
    with pytest.raises(ValueError, match="energy_uj"):
        meter.read()


def test_a_range_of_zero_is_an_error(tree):
    tree("intel-rapl:0", "package-0", 0, range_uj=0)
    with pytest.raises(ValueError, match=r"max_energy_range_uj.*0.*from 1"):
        Meter("rapl", powercap=tree.folder)


def test_a_counter_that_vanishes_is_an_error_and_not_zero(tree):
    tree("intel-rapl:0", "package-0", 5)
    meter = Meter("rapl", powercap=tree.folder)
    (tree.folder / "intel-rapl:0" / "energy_uj").unlink()
    with pytest.raises(OSError, match=r"intel-rapl:0.*anew"):
        meter.read()


def test_a_part_without_a_counter_is_left_out_and_a_package_is_not(tree):
    tree("intel-rapl:0", "package-0", 5)
    tree("intel-rapl:0:0", "dram", 5)
    (tree.folder / "intel-rapl:0:0" / "energy_uj").unlink()
    reading = Meter("rapl", powercap=tree.folder).read()
    assert reading.components == {"package": 0}
    assert "a dram counter cannot be read and is not counted" in reading.method
    (tree.folder / "intel-rapl:0" / "energy_uj").unlink()
    with pytest.raises(OSError, match=r"intel-rapl:0/energy_uj.*Meter\('vcpu'\)"):
        Meter("rapl", powercap=tree.folder)
    assert "RAPL not counted, Meter('rapl') says why" in Meter(powercap=tree.folder).read().method


ZONES = {"0": "package-0", "0:0": "core", "0:1": "uncore", "0:2": "dram", "1": "psys"}


@pytest.mark.parametrize(
    "zones", [["0:0"], ["0:1"], ["0:2"], ["1"], ["0:0", "0:2"], ["0:0", "0:1", "1"]]
)
def test_a_part_that_may_not_be_read_is_left_out_and_named(tree, monkeypatch, zones):
    for zone, name in ZONES.items():
        tree(f"intel-rapl:{zone}", name, 5)
    forbid(monkeypatch, *(f"intel-rapl:{zone}/energy_uj" for zone in zones))
    meter = Meter(powercap=tree.folder)
    for zone, name in ZONES.items():
        tree(f"intel-rapl:{zone}", name, 1_000_005)
    reading = meter.read()
    assert meter.backend == "rapl" and reading.provenance == "measured"
    assert reading.energy_j == pytest.approx(1 if "0:2" in zones else 2)
    for zone, name in ZONES.items():
        assert (f"a {name} counter cannot be read" in reading.method) == (zone in zones)
    assert ("and is not counted" in reading.method) == ("0:2" in zones)


def test_a_dram_counter_of_one_socket_that_may_not_be_read_is_named(tree, monkeypatch):
    for socket, count in enumerate((5, 9_000_000)):
        tree(f"intel-rapl:{socket}", f"package-{socket}", count)
        tree(f"intel-rapl:{socket}:0", "dram", count)
    forbid(monkeypatch, "intel-rapl:1:0/energy_uj")
    method = Meter("rapl", powercap=tree.folder).read().method
    assert "2 package counters and dram" in method
    assert "a dram counter cannot be read and is not counted" in method


@pytest.mark.parametrize("zones", [["0"], ["0", "1"], ["0:1"]])
def test_a_package_or_a_lone_board_that_may_not_be_read_is_an_error(tree, monkeypatch, zones):
    board = zones == ["0:1"]
    for zone, name in (("0:0", "core"), ("0:1", "psys")) if board else ZONES.items():
        tree(f"intel-rapl:{zone}", name, 5)
    forbid(monkeypatch, *(f"intel-rapl:{zone}/energy_uj" for zone in zones))
    with pytest.raises(PermissionError, match=r"intel-rapl:0.*energy_uj may not be read.*as root"):
        Meter("rapl", powercap=tree.folder)
    assert "RAPL not counted, Meter('rapl') says why" in Meter(powercap=tree.folder).read().method
