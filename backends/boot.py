"""Starts a part of infertop under any interpreter, with infertop installed there or not.

Usage: PYTHON boot.py worker RING_FD PARENT_PID · PYTHON boot.py probe · PYTHON boot.py build PARENT_PID · PYTHON boot.py reference PARENT_PID

This file's folder, which Python puts first on sys.path, must go: a module of ours could hide a runtime's. `infertop` is registered
from this file's place, so that relative imports hold.
"""

import importlib
import importlib.util
import os
import sys


def register() -> None:
    """Make `import infertop` find the package that this file belongs to."""
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(here)
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != here]
    spec = importlib.util.spec_from_file_location(
        "infertop", os.path.join(root, "__init__.py"), submodule_search_locations=[root]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["infertop"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    register()
    if sys.argv[1] == "worker":
        importlib.import_module("infertop.backends.worker").main(int(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1] == "reference":
        importlib.import_module("infertop.backends.reference").main(int(sys.argv[2]))
    elif sys.argv[1] == "build":
        importlib.import_module("infertop.backends.trt_ahead").main(int(sys.argv[2]))
    else:
        importlib.import_module("infertop.backends.probes").main()
