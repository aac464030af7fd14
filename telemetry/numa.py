"""Where a GPU hangs and where its worker runs: NUMA nodes, and how far apart they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Nearness:
    """The node of a GPU, the nodes of the cores that its worker may use, and the kernel's distance of the farthest of them
    (10 is the node itself, SLIT); None where the kernel gives none. `near` are the GPU's own cores, as the kernel writes them.
    """

    gpu_node: int
    worker_nodes: tuple[int, ...]
    distance: int | None
    near: str

    @property
    def far(self) -> bool:
        """Whether no core of the worker's is on the GPU's node."""
        return self.gpu_node not in self.worker_nodes

    def sentence(self) -> str:
        """What lowers the grade; empty where nothing does."""
        if not self.far:
            return ""
        nodes = ", ".join(map(str, self.worker_nodes))
        away = f", distance {self.distance}" if self.distance is not None else ""
        return (
            f"the worker runs on NUMA node {nodes}, its GPU hangs on node {self.gpu_node}{away}: "
            f"--cpu-affinity {self.near} keeps it near"
        )


def nearness(
    gpu_node: int | None,
    cores: Collection[int],
    nodes: Mapping[str, str],
    distances: Mapping[str, Sequence[int]],
) -> Nearness | None:
    """Of a GPU on `gpu_node` and a worker on `cores`; `nodes` are each node's cores, `distances` each node's row of the
    kernel's table. None where there is one node alone, or it is not known which.
    """
    if gpu_node is None or len(nodes) < 2 or str(gpu_node) not in nodes:
        return None
    homes = tuple(sorted(int(node) for node, listed in nodes.items() if cpus(listed) & set(cores)))
    if not homes:
        return None
    row = list(distances.get(str(gpu_node), ()))
    order = sorted(map(int, nodes))  # the table's columns are the nodes that are there
    known = [row[order.index(home)] for home in homes] if len(row) == len(order) else []
    return Nearness(gpu_node, homes, max(known, default=None), nodes[str(gpu_node)])


def cpus(listed: str) -> set[int]:
    """The cores of a list as the kernel writes it ("0-15,32-47"); of what is none, none."""
    found: set[int] = set()
    for part in listed.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit() and (last or first).isdigit():
            found |= set(range(int(first), int(last or first) + 1))
    return found


def distances(root: Path = Path("/")) -> dict[str, list[int]]:
    """Node → its row of the kernel's distance table; empty where it does not tell."""
    found: dict[str, list[int]] = {}
    for folder in sorted((root / "sys/devices/system/node").glob("node[0-9]*")):
        try:
            found[folder.name[4:]] = [int(word) for word in (folder / "distance").read_text().split()]
        except (OSError, ValueError):
            continue
    return found
