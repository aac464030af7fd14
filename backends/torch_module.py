"""A torch module ready to be called: built, weighed, cast, moved; and the inputs that it takes."""

from __future__ import annotations

import inspect
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from . import cuda_words, factory, hf, zoo
from .backend import Input
from .configuration import Configuration, Options
from .errors import MeasureError
from .inputs import file_shapes, generate
from .models import Model, refuse_weights
from .shapes import parse_spec, show
from .signature import Declared, Signature, resolve
from .torch_files import Call, load_program, weigh
from .torch_precision import native

_NO_RULE = ("mask", "type")


@dataclass
class Built:
    """A module on the CPU as it was made, in evaluation mode."""

    module: Any
    declared: list[Declared]
    call: Call
    flexible: bool  # the declared sizes are examples: a module takes others
    tables: dict[str, int] = field(default_factory=dict)
    program: Any = None  # the torch.export program, where the model is one
    native: str = "fp32"  # the precision in which it was made
    model: Model | None = None
    certain: frozenset[str] = frozenset()  # inputs whose tables the model's configuration tells


def runtime() -> Any:
    """The module torch. Raises MeasureError kind "backend-missing"."""
    try:
        import torch
    except (ImportError, OSError) as error:
        raise MeasureError(
            "backend-missing", "torch cannot be imported", "pip install 'infertop[torch]'", str(error)
        ) from error
    return torch


def build(model: Model, options: Options) -> Built:
    """Make the module that `model` names. torch has been imported."""
    built = _build(model, options)
    return replace(built, native=native(built.module), model=model)


def _build(model: Model, options: Options) -> Built:
    if model.kind == "onnx":
        raise MeasureError(
            "unsupported",
            f"torch does not read the ONNX file {model.text}",
            "use --backend onnxruntime-cpu, or name a factory or a .pt2 file",
        )
    if model.kind == "engine":
        raise MeasureError(
            "unsupported",
            f"torch does not read the TensorRT engine {model.text}",
            "use --backend tensorrt or tensorrt-rtx",
        )
    refuse_weights(model, options.weights)
    if model.kind == "pt2":
        program, declared, call = load_program(model)
        return Built(program.module(), declared, call, flexible=False, program=program)
    if model.kind == "hf":
        module, declared, call, tables = hf.build(model)
        certain = frozenset(tables)
        return Built(module.eval(), declared, call, flexible=False, tables=tables, certain=certain)
    if model.kind == "factory":
        _seed(options.seed)
        module, example = factory.make(model.text, options)
        return replace(_with_example(module, example, model, options), module=module.eval())
    module = zoo.build(model, options)
    if options.weights is not None:
        weigh(module, model, options)
    return Built(module.eval(), zoo.declared(model), _positional, flexible=True)


def _seed(seed: int) -> None:
    """Random weights are then the same in every process that makes the model, the reference's included."""
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def signature(built: Built, configuration: Configuration) -> Signature:
    """The inputs with every size known, in the module's own types (see `cast`)."""
    found = resolve(
        built.declared, configuration, file_shapes(configuration.options), flexible=built.flexible
    )
    if built.model is not None:
        hf.refuse_long(built.model, found.inputs)
    return found


def tensors(torch: Any, arrays: Sequence[np.ndarray], inputs: Sequence[Input]) -> list[Any]:
    """The arrays as CPU tensors that share their memory; bfloat16 comes as its bits."""
    found = []
    for array, item in zip(arrays, inputs, strict=True):
        tensor = torch.from_numpy(array)
        found.append(tensor.view(torch.bfloat16) if item.dtype == "bfloat16" else tensor)
    return found


def channels_last(torch: Any, given: Sequence[Any]) -> list[Any]:
    """The tensors of four axes with the channels last in memory; copies keep that order."""
    return [t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t for t in given]


def leaves(torch: Any, result: Any) -> list[Any]:
    """The tensors of a module's result, flattened as a pytree."""
    if isinstance(result, torch.Tensor):
        return [result]
    return [leaf for leaf in torch.utils._pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]


def arrays(torch: Any, result: Any) -> list[np.ndarray]:
    """A result's tensors as numpy arrays in host memory; bfloat16 as float32, since numpy has no such type."""
    found = []
    for leaf in leaves(torch, result):
        host = leaf.detach().cpu()
        found.append((host.float() if host.dtype == torch.bfloat16 else host).numpy())
    return found


def equal(one: Any, other: Any) -> bool:
    """Whether two tensors of one shape hold the same numbers; what is no number equals itself."""
    return bool(((one == other) | ((one != one) & (other != other))).all())


def find_tables(torch: Any, built: Built, inputs: Sequence[Input], seed: int) -> dict[str, int]:
    """Integer input -> rows of the smallest embedding that it indexes, seen by running the module once.

    An input counts as indexing an embedding when that gets its memory or its numbers.
    """
    wanted = [
        i
        for i in inputs
        if i.dtype.startswith(("int", "uint"))
        and i.name not in built.certain
        and not any(w in i.name.lower() for w in _NO_RULE)
    ]
    if not wanted:
        return {}
    made = generate(list(inputs), dict.fromkeys((i.name for i in inputs), 2) | built.tables, seed, 0)
    fed = dict(zip((i.name for i in inputs), tensors(torch, list(made.values()), inputs), strict=True))
    tables: dict[str, int] = {}

    def look(embedding: Any, arguments: tuple[Any, ...]) -> None:
        for item in wanted:
            if arguments and _same(torch, fed[item.name], arguments[0]):
                rows = int(embedding.num_embeddings)
                tables[item.name] = min(rows, tables.get(item.name, rows))

    hooks = [
        part.register_forward_pre_hook(look)
        for part in built.module.modules()
        if isinstance(part, (torch.nn.Embedding, torch.nn.EmbeddingBag))
    ]
    if not hooks:
        return {}
    try:
        with torch.inference_mode():
            positional, named = built.call(list(fed.values()))
            built.module(*positional, **named)
    finally:
        for hook in hooks:
            hook.remove()
    return tables


def explain(
    torch: Any, error: Exception, inputs: Sequence[Input], assumed: dict[str, int], backend: str
) -> MeasureError:
    """A request that the module refused, in one sentence."""
    said = str(error)
    fault = cuda_words.explain(said, backend)
    if fault is not None:
        return fault
    if isinstance(error, getattr(torch, "OutOfMemoryError", MemoryError)) or "can't allocate memory" in said:
        return MeasureError("out-of-memory", f"{backend} ran out of memory", "try a smaller batch", said)
    shapes = ", ".join(f"{item.name} {show(item.shape)} {item.dtype}" for item in inputs)
    first = (said.strip().splitlines() or [type(error).__name__])[0][:200]
    message = f"the model refused {shapes}: {first}"
    if assumed:
        message += f" (assumed: {', '.join(f'{name}={size}' for name, size in assumed.items())})"
    return MeasureError(
        "shape", message, "give the sizes that it takes with --input-shape NAME=AxBxC[:DTYPE]", said
    )


def _positional(given: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(given), {}


def _with_example(module: Any, example: Any, model: Model, options: Options) -> Built:
    """What the factory's example inputs say of names, types and sizes; without them --input-shape has to."""
    import torch

    parameters = _parameters(module)
    if example is None:
        return _from_shapes(module, parameters, model, options)
    pytree = torch.utils._pytree
    positional, named = ((), example) if isinstance(example, dict) else (tuple(example), {})
    flat, spec = pytree.tree_flatten((positional, named))
    names = [
        _leaf_name(path, parameters) for path, _ in pytree.tree_flatten_with_path((positional, named))[0]
    ]
    places = [index for index, leaf in enumerate(flat) if isinstance(leaf, torch.Tensor)]
    if not places:
        raise MeasureError(
            "factory-failed",
            f"the example inputs of {model.text} hold no tensor",
            "return (module, example inputs) with torch tensors",
        )
    declared, tables = [], {}
    for place in places:
        leaf, name = flat[place], names[place]
        dtype = str(leaf.dtype).removeprefix("torch.")
        declared.append(Declared(name, dtype, tuple(leaf.shape)))
        if dtype.startswith(("int", "uint")) and leaf.numel():
            # Where no embedding shows the table, the example's own numbers say how far they may go.
            tables[name] = int(leaf.max()) + 1

    def call(given: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        filled = list(flat)
        for place, tensor in zip(places, given, strict=True):
            filled[place] = tensor
        arguments: tuple[tuple[Any, ...], dict[str, Any]] = pytree.tree_unflatten(filled, spec)
        return arguments

    return Built(module, declared, call, flexible=True, tables=tables)


def _from_shapes(module: Any, parameters: list[str], model: Model, options: Options) -> Built:
    shapes = options.input_shapes
    if not shapes:
        first = parameters[0] if parameters else "input"
        raise MeasureError(
            "shape",
            f"the factory {model.text} gives no example inputs, so the shape of {first} is not known",
            f"give it with --input-shape {first}=Bx3x224x224, or return (module, example inputs) from the factory",
        )
    names = list(shapes)
    if len(names) == 1:
        names = [names[0] or (parameters[0] if parameters else "input")]
    declared = []
    for name, spec in zip(names, shapes.values(), strict=True):
        given = parse_spec(spec, name)
        sizes = tuple("batch" if size == "B" else size for size in given.sizes)
        declared.append(Declared(name, given.dtype or "float32", sizes))
    if len(names) > 1 and all(name in parameters for name in names):
        return Built(
            module, declared, lambda given: ((), dict(zip(names, given, strict=True))), flexible=True
        )
    return Built(module, declared, _positional, flexible=True)


def _parameters(module: Any) -> list[str]:
    """Names of forward's parameters, for inputs that are given by position."""
    try:
        found = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _leaf_name(path: Sequence[Any], parameters: list[str]) -> str:
    """`x`, `past.0.1`, `batch.ids`: forward's parameter, then the way inside it. `path` begins with (positional, named)."""
    words = [str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path]
    if words[0] == "0":
        index = int(words[1])
        words[1] = parameters[index] if index < len(parameters) else f"input{index}"
    return ".".join(words[1:])


def _same(torch: Any, fed: Any, used: Any) -> bool:
    if not isinstance(used, torch.Tensor) or used.numel() != fed.numel():
        return False
    if used.untyped_storage().data_ptr() == fed.untyped_storage().data_ptr():
        return True
    return bool(torch.equal(used.reshape(-1).long(), fed.reshape(-1).long()))
