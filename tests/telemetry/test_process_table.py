"""The table of processes: how often, and how sparingly, it is made."""

from __future__ import annotations

import os

import pytest
from infertop.telemetry.metrics import SECOND
from infertop.telemetry.process_table import MOST, PERIOD_NS, ProcessTable
from infertop.telemetry.processes import Usage
from infertop.telemetry.tenants import GpuProcess, Tenants


class Clock:
    """A clock that a look through the host moves on by `cost`."""

    def __init__(self, cost: int = 0) -> None:
        self.now, self.cost = 10 * SECOND, cost

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> dict[int, Usage]:
    found = {
        7: Usage(1 * SECOND, 5 << 20, 1, 0, 0),
        8: Usage(0, 9 << 20, 3, 0, 0),
        os.getpid(): Usage(0, 1 << 20, 1, 0, 0),
    }
    monkeypatch.setattr(ProcessTable, "_host", staticmethod(lambda: dict(found)))
    return found


def test_shares_are_over_the_time_between_two_tables(host: dict[int, Usage]) -> None:
    clock = Clock()
    table = ProcessTable(clock)
    first = table.read({})
    assert first is not None
    assert first.rows == (), "nothing is known of a time before the first look"
    clock.now += PERIOD_NS - 1
    assert table.read({}) is None, "not due"
    clock.now += 1
    host[7] = Usage(2 * SECOND, 6 << 20, 1, 0, 0)
    host[8] = Usage(PERIOD_NS * 3, 9 << 20, 3, 0, 0)
    found = table.read({})
    assert found is not None
    assert [(row.pid, row.cpu, row.rss) for row in found.rows] == [(8, 300.0, 9 << 20), (7, 50.0, 6 << 20)]
    assert found.count == 3


def test_an_id_that_was_used_again_has_no_negative_share(host: dict[int, Usage]) -> None:
    clock = Clock()
    table = ProcessTable(clock)
    table.read({"gpu0": Tenants((GpuProcess(7, "old", 1, False),), "")})
    clock.now += PERIOD_NS
    host[7] = Usage(5, 6 << 20, 1, 0, 0)
    found = table.read({"gpu0": Tenants((GpuProcess(7, "new", 1, False),), "")})
    assert found is not None
    assert found.rows[0].cpu == 0.0


def test_a_machine_where_looking_is_dear_is_looked_at_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()

    def slow() -> dict[int, Usage]:
        clock.now += SECOND // 10
        return {}

    monkeypatch.setattr(ProcessTable, "_host", staticmethod(slow))
    table = ProcessTable(clock)
    assert table.read({}) is not None
    looks = 0
    for _ in range(60):
        clock.now += SECOND
        looks += table.read({}) is not None
    assert looks <= 6, "at most a hundredth of the time"


def test_a_crowd_is_cut_to_those_with_the_most_memory(host: dict[int, Usage]) -> None:
    crowd = tuple(GpuProcess(1000 + i, f"p{i}", i, False) for i in range(3 * MOST))
    found = ProcessTable(Clock()).read({"gpu0": Tenants(crowd, "")})
    assert found is not None
    assert [row.pid for row in found.rows] == [1000 + i for i in reversed(range(2 * MOST, 3 * MOST))]
