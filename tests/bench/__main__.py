"""`make bench`: the budgets, measured and printed one table after another; `make bench ARGS='ring log'` runs only those."""

from __future__ import annotations

import importlib
import platform
import sys
import time
from pathlib import Path

from infertop import __version__


def names() -> list[str]:
    """The benchmarks: every module of this folder that has no underscore in front."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def main(wanted: list[str]) -> int:
    """Run those wanted, or all; 2 where one is not known."""
    known = names()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        sys.stderr.write(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(known)}\n")
        return 2
    print(
        f"infertop {__version__}, Python {platform.python_version()}, {platform.machine()}, {platform.system()}"
    )
    for name in wanted or known:
        module = importlib.import_module(f"{__package__}.{name}")
        assert module.__doc__ is not None
        print(f"\n## {name}: {module.__doc__.strip().splitlines()[0]}\n", flush=True)
        began = time.monotonic()
        module.main()
        print(f"\n({time.monotonic() - began:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
