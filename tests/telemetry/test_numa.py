"""How near a worker is to its GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from infertop.telemetry.numa import cpus, distances, nearness

NODES = {"0": "0-3,8-11", "1": "4-7,12-15"}
TABLE = {"0": [10, 21], "1": [21, 10]}


def test_a_list_of_cores_is_read_as_the_kernel_writes_it() -> None:
    assert cpus("0-2,5, 8-8") == {0, 1, 2, 5, 8}
    assert cpus("") == cpus("none") == set()


@pytest.mark.parametrize(
    ("cores", "nodes", "distance", "far"),
    [([0, 1], (0,), 10, False), ([4, 5], (1,), 21, True), (range(16), (0, 1), 21, False)],
)
def test_where_a_worker_may_run(cores: list[int], nodes: tuple[int, ...], distance: int, far: bool) -> None:
    found = nearness(0, cores, NODES, TABLE)
    assert found is not None
    assert (found.worker_nodes, found.distance, found.far) == (nodes, distance, far)
    assert bool(found.sentence()) is far


def test_what_is_not_known_or_cannot_differ_is_not_said() -> None:
    assert nearness(None, [0], NODES, TABLE) is None
    assert nearness(0, [0], {"0": "0-3"}, {}) is None
    assert nearness(3, [0], NODES, TABLE) is None
    found = nearness(0, [4], NODES, {})
    assert found is not None
    assert found.distance is None
    assert "distance" not in found.sentence()


def test_the_kernels_table_is_read(tmp_path: Path) -> None:
    for node, row in TABLE.items():
        folder = tmp_path / f"sys/devices/system/node/node{node}"
        folder.mkdir(parents=True)
        (folder / "distance").write_text(" ".join(map(str, row)) + "\n")
    assert distances(tmp_path) == TABLE
    assert distances(tmp_path / "nothing") == {}
