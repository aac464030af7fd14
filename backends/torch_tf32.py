"""Shorter products of float32 under torch: switched for what is measured, read back, given back; a factory's own choice is `native`'s.

On a GPU that is TF32, on a CPU oneDNN's TF32 and bfloat16. Up to 2.8 torch has `allow_tf32` and `set_float32_matmul_precision`, from 2.9
on also a word for each kind of operator (`fp32_precision`). Inductor reads them all, and reading one raises where the others say
different things, so all are set: https://docs.pytorch.org/docs/stable/notes/cuda.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import MeasureError

PARTS = ("matmul", "conv", "rnn")
_SHORT = ("tf32", "bf16")


@dataclass(frozen=True)
class _Chosen:
    """The old interface's word for products and its flag for convolutions, and the words of the new one by their owners."""

    products: str  # "highest", "high", "medium"
    cudnn: bool
    words: tuple[str, ...]  # empty where there is no new interface


class Tf32:
    """The switches of one process."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._before: _Chosen | None = None  # what was there before ours

    def choose(self, precision: str, device: str) -> None:
        """Off for `fp32`, on for `tf32`, in all operators; every other precision leaves what torch and the model's code chose.

        Raises MeasureError kind "unsupported" where torch does not keep it.
        """
        if precision not in ("fp32", "tf32"):
            return
        on = precision == "tf32"
        self._before = self._read()
        word = "tf32" if on else "ieee"
        # The first owner is everything there is, whose word the others would have if they had none.
        self._write(_Chosen("high" if on else "highest", on, ("none", *[word] * 7)))
        other = self.other_than(precision, device)
        if other:
            raise MeasureError(
                "unsupported",
                f"torch {self._torch.__version__} does not switch TF32 {'on' if on else 'off'} for {other}",
                "use --precision native",
            )

    def restore(self) -> None:
        """Give back what was there before `choose`."""
        if self._before is not None:
            self._write(self._before)
            self._before = None

    def other_than(self, precision: str, device: str) -> str:
        """The operators that are not as `fp32` or `tf32` have them, in words; empty where all are, and for other precisions."""
        if precision not in ("fp32", "tf32"):
            return ""
        return ", ".join(name for name, on in self.state(device).items() if on != (precision == "tf32"))

    def state(self, device: str) -> dict[str, bool]:
        """Whether each kind of operator may use a shorter type than float32."""
        chosen = self._read()
        cpu = device == "cpu"
        if chosen.words:
            words = chosen.words[5:] if cpu else chosen.words[2:5]
            return {name: word in _SHORT for name, word in zip(PARTS, words, strict=True)}
        products = chosen.products != "highest"
        return (
            {"matmul": products} if cpu else {"matmul": products, "conv": chosen.cudnn, "rnn": chosen.cudnn}
        )

    def _owners(self) -> list[Any]:
        """Who has a `fp32_precision`: everything; all of CUDA's, then each of PARTS; each of oneDNN's. None before 2.9.

        That of all of oneDNN's sets everything's (torch 2.14), so it is left out.
        """
        backends = self._torch.backends
        if not hasattr(getattr(backends.cudnn, "conv", None), "fp32_precision"):
            return []
        cuda, cpu = backends.cudnn, backends.mkldnn
        return [backends, cuda, backends.cuda.matmul, cuda.conv, cuda.rnn, cpu.matmul, cpu.conv, cpu.rnn]

    def _read(self) -> _Chosen:
        words = tuple(str(owner.fp32_precision) for owner in self._owners())
        if words:
            # The old interface may be unreadable, and says nothing that the words do not.
            return _Chosen("high" if words[2] in _SHORT else "highest", words[3] in _SHORT, words)
        torch = self._torch
        return _Chosen(torch.get_float32_matmul_precision(), bool(torch.backends.cudnn.allow_tf32), ())

    def _write(self, chosen: _Chosen) -> None:
        """The old interface first: setting it resets the words of its operators."""
        self._torch.set_float32_matmul_precision(chosen.products)
        self._torch.backends.cudnn.allow_tf32 = chosen.cudnn
        for owner, word in zip(self._owners(), chosen.words, strict=False):
            owner.fp32_precision = word
