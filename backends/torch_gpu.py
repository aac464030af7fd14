"""Why torch cannot use the GPU that is here."""

from __future__ import annotations

from typing import Any

from . import cuda, cuda_words
from .errors import MeasureError


def no_cuda(torch: Any) -> MeasureError:
    """What keeps it from CUDA: its build, the driver, or what it says itself."""
    driver = cuda.load()
    built, has = torch.version.cuda, ".".join(map(str, driver.version()))
    name = f"torch {torch.__version__}"
    if built is None:
        fix = f"the driver runs CUDA up to {has}: install a torch for it, or use --device cpu"
        return MeasureError("unsupported", f"{name} cannot use CUDA here: it was built without it", fix)
    if driver.version()[0] < int(built.partition(".")[0]):
        reason, fix = cuda_words.too_old("torch", built, has)
        return MeasureError("no-driver", reason, f"{fix}; --device cpu needs none")
    try:
        torch.cuda.init()
    except RuntimeError as error:
        found = cuda_words.explain(str(error), name)
        said = (str(error).strip().splitlines() or ["it does not say why"])[0]
        return found or MeasureError(
            "no-gpu", f"{name} cannot use CUDA here: {said[:200]}", "see what nvidia-smi lists", str(error)
        )
    return MeasureError(
        "no-gpu",
        f"{name} sees no GPU{cuda_words.visible()}",
        "see what nvidia-smi lists, or use --device cpu",
    )
