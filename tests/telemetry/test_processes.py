"""A real process tree: who is in it, and what it used."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest
from infertop.telemetry.metrics import SECOND
from infertop.telemetry.processes import Tree, available, descendants, usage

pytestmark = pytest.mark.skipif(not available(), reason="this system has no /proc to read processes from")

# A process with a child, both of which spend as many ms of CPU time as they are told, and answer when it is
# spent.
SPEND = """
import os, subprocess, sys, time
child = None
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
if sys.argv[1:] == ["parent"]:
    child = subprocess.Popen([sys.executable, "-c", os.environ["CODE"]], **pipes)
    print(child.pid, flush=True)
for line in sys.stdin:
    who, ms = line.split()
    if who == "child":
        child.stdin.write(b"me " + ms.encode() + b"\\n"); child.stdin.flush(); child.stdout.readline()
    elif who == "end":
        child.stdin.close(); child.wait()
    else:
        until = time.process_time() + int(ms) / 1000
        while time.process_time() < until:
            pass
    print("done", flush=True)
"""


class Worker:
    """The parent of the two, spoken to over its pipes."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SPEND, "parent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"CODE": SPEND},
        )
        assert self.process.stdout is not None
        self.child = int(self.process.stdout.readline())

    def do(self, who: str, ms: int = 0) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{who} {ms}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.process.kill()
    made.process.wait()


def test_usage_grows_with_what_is_spent(worker: Worker) -> None:
    before = usage(worker.process.pid)
    worker.do("me", 60)
    after = usage(worker.process.pid)
    assert before is not None
    assert after is not None
    assert after.cpu_ns - before.cpu_ns >= 50_000_000
    assert after.rss > 1 << 20
    assert after.threads == 1
    assert after.minor_faults >= before.minor_faults > 0


def test_descendants_of_this_process(worker: Worker) -> None:
    assert descendants(worker.process.pid) == [worker.child]
    assert {worker.process.pid, worker.child} <= set(descendants(os.getpid()))


def test_a_tree_counts_its_children(worker: Worker) -> None:
    tree = Tree(worker.process.pid)
    first = tree.read(0, 0)
    assert first is not None
    assert first.cpu is None
    worker.do("child", 60)
    worker.do("me", 60)
    second = tree.read(SECOND, SECOND)  # a nominal second: 120 ms of it are 12 %
    assert second is not None
    assert second.cpu is not None
    assert second.cpu >= 10
    alone = usage(worker.process.pid)
    assert alone is not None
    assert second.rss > alone.rss
    assert second.threads == 2
    assert tree.pids == {worker.process.pid, worker.child}


def test_children_are_looked_for_when_something_was_started_on_this_machine(worker: Worker) -> None:
    tree = Tree(os.getpid())
    tree.read(0, 0, 7)
    assert worker.process.pid in tree.pids
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    tree.read(SECOND, SECOND, 7)
    assert child.pid not in tree.pids
    tree.read(2 * SECOND, 2 * SECOND, 8)
    assert child.pid in tree.pids
    child.communicate(b"\n")
    tree.read(3 * SECOND, 3 * SECOND, 8)
    assert child.pid not in tree.pids, "whoever ends is missed without a look"
    assert worker.child in tree.pids
    tree.close()


def test_a_child_that_could_not_be_read_is_looked_for_again_though_nothing_was_started(
    worker: Worker,
) -> None:
    tree = Tree(worker.process.pid)
    tree.read(0, 0, 7)
    tree.close()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    parent = os.open(f"/proc/{worker.process.pid}/stat", os.O_RDONLY)  # the lowest number that is free
    os.close(parent)
    resource.setrlimit(resource.RLIMIT_NOFILE, (parent + 1, limits[1]))
    try:  # room for the parent's file alone
        tree.read(SECOND // 4, SECOND // 4, 7)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert tree.pids == {worker.process.pid}
    tree.read(SECOND, SECOND, 7)
    assert tree.pids == {worker.process.pid, worker.child}
    tree.close()


def test_a_tree_holds_no_file_of_a_process_that_is_gone(worker: Worker) -> None:
    tree = Tree(worker.process.pid)
    before = len(os.listdir("/proc/self/fd"))
    tree.read(0, 0)
    assert len(os.listdir("/proc/self/fd")) == before + 2
    worker.do("end")
    tree.read(SECOND, SECOND)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    worker.process.kill()
    worker.process.wait()
    assert tree.read(2 * SECOND, 2 * SECOND) is None
    assert len(os.listdir("/proc/self/fd")) == before


def test_totals_do_not_fall_when_a_child_ends(worker: Worker) -> None:
    tree = Tree(worker.process.pid)
    tree.read(0, 0)
    worker.do("child", 30)
    before = tree.read(SECOND, SECOND)
    worker.do("end")
    after = tree.read(2 * SECOND, 2 * SECOND)
    assert before is not None
    assert after is not None
    assert after.minor_faults >= before.minor_faults
    assert after.cpu is not None
    assert after.cpu >= 0
    assert tree.pids == {worker.process.pid}


def test_a_process_that_is_gone_is_no_reading(worker: Worker) -> None:
    worker.process.kill()
    worker.process.wait()
    assert usage(worker.process.pid) is None
    assert Tree(worker.process.pid).read(0, 0) is None
    assert descendants(worker.process.pid) == []
