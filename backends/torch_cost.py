"""What a torch module asks of a GPU, counted operator by operator in one call, and what a product of matrices reaches there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .cost import Operand, Tally, Work
from .torch_tf32 import Tf32

EDGE = 4096
"""Of the matrices of the timed product: 137 GFLOP, 0.2 ms in FP16 on an H100, 15 ms in FP32 on a laptop's GPU."""

TIMES = 5
NO_KERNEL = ("aten.empty", "aten.new_empty")
MANY_KERNELS = (
    "aten._native_multi_head",
    "aten._transformer_encoder",
    "aten._cudnn_rnn",
    "aten.lstm",
    "aten.gru",
    "aten.rnn",
)
"""Operators that launch many kernels each; so may any that is not torch's own."""

TYPES = {"fp32": "float32", "tf32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def count(torch: Any, call: Callable[[], Any], cache: int, fuses: bool) -> Work | None:
    """Of what `call` runs, under the same mode as a request. `fuses` as for `Tally.work`. None where the module does not bear being watched."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    tally, made = Tally(cache), set()
    shorter = Tf32(torch).state("cuda")

    def pipe(function: Any, operands: Iterable[Any]) -> str | None:
        kind = next((str(t.dtype).removeprefix("torch.") for t in operands if t.is_floating_point()), "")
        if kind != "float32":
            return {"float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}.get(kind)
        return "tf32" if shorter["conv" if "conv" in str(function) else "matmul"] else "fp32"

    def operands(values: Any) -> list[Any]:
        leaves = torch.utils._pytree.tree_leaves(values)
        return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]

    def sized(tensor: Any) -> Operand:
        storage = tensor.untyped_storage()
        return storage.data_ptr(), min(tensor.numel() * tensor.element_size(), storage.nbytes())

    class Watch(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if function._overloadpacket not in flop_registry:
                # Under inference mode composite operators come whole.
                with self:
                    result = function.decompose(*args, **kwargs)
                if result is not NotImplemented:
                    return result
            result = function(*args, **kwargs)
            self.add(function, operands((args, kwargs)), operands(result), args, kwargs, result)
            return result

        def add(
            self, function: Any, given: list[Any], out: list[Any], args: Any, kwargs: Any, result: Any
        ) -> None:
            reads, writes = [sized(t) for t in given], [sized(t) for t in out]
            for key, size in reads:
                if key not in made:
                    tally.leaf(key, size)
            made.update({key for key, _ in writes} - {key for key, _ in reads})
            returns = function._schema.returns
            view = any(r.alias_info is not None and not r.alias_info.is_write for r in returns)
            if view or not out or str(function).startswith(NO_KERNEL):
                return
            if str(function).startswith(MANY_KERNELS) or function.namespace != "aten":
                tally.joined = True
            formula = flop_registry.get(function._overloadpacket)
            flop = float(formula(*args, **kwargs, out_val=result)) if formula else 0.0
            tally.operator(reads, writes, pipe(function, given), flop)

    try:
        with Watch():
            call()
    except (
        Exception
    ):  # a person's module may refuse to be watched in any way; then nothing is known of its work
        return None
    return tally.work(fuses)


def reached(torch: Any, pipes: Iterable[str], device: str) -> dict[str, float]:
    """FLOP/s of a product of matrices by arithmetic pipe, the best of a few; what does not fit or is not there is left out."""
    found = {}
    switches = Tf32(torch)
    for pipe in TYPES.keys() & set(pipes):  # FP64 would take a laptop's GPU five seconds
        try:
            switches.choose(pipe, device)
            a = torch.randn(EDGE, EDGE, device=device, dtype=getattr(torch, TYPES[pipe]))
            found[pipe] = 2.0 * EDGE**3 / _quickest(torch, lambda a=a: a @ a)  # type: ignore[misc]
        except RuntimeError:
            continue  # no room for the matrices: the table of rates serves
        finally:
            switches.restore()
    return found


def _quickest(torch: Any, once: Callable[[], Any]) -> float:
    """s of the quickest of a few calls on the GPU."""
    times = []
    for _ in range(TIMES):
        begun, done = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begun.record()
        once()
        done.record()
        done.synchronize()
        times.append(begun.elapsed_time(done) / 1e3)
    return float(min(times))
