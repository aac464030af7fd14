"""From the inputs that a model declares and what a person asked for to inputs whose every size is known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .backend import Input
from .configuration import Configuration
from .dims import default_size, evaluate, is_batch_name, is_length_name, symbols
from .errors import MeasureError
from .registry import nearest
from .shapes import BATCH, DTYPES, Given, casts, parse_spec, show


@dataclass(frozen=True)
class Declared:
    """An input as the model declares it."""

    name: str
    dtype: str  # numpy's name, "bfloat16", or what the model calls a type that is neither
    sizes: (
        tuple[int | str | None, ...] | None
    )  # int, symbol or sum of symbols, None: unnamed; None: no shape given
    known: Mapping[int, int] = field(default_factory=dict)  # axis -> size that the graph's weights demand


@dataclass(frozen=True)
class Signature:
    """The inputs with every size known, and how they came to be."""

    inputs: list[Input]
    batch: int | None
    dims: dict[str, int]
    assumed: dict[str, int]


def resolve(
    declared: Sequence[Declared],
    configuration: Configuration,
    from_file: Mapping[str, Given] | None = None,
    *,
    flexible: bool = False,
) -> Signature:
    """Every size of every input.

    `from_file` are the shapes of --inputs. `flexible` says that the declared sizes are examples (a torch module takes
    others too), so that given shapes replace them and a common axis 0 is the batch.
    Raises MeasureError kind "shape", "usage" or "unsupported"; its message names the input, its fix the option.
    """
    given = _match(declared, _given(configuration, from_file))
    return _Resolution(declared, given, configuration, flexible).signature()


def _given(configuration: Configuration, from_file: Mapping[str, Given] | None) -> dict[str, Given]:
    shapes = configuration.options.input_shapes
    if from_file is None:
        return {name: parse_spec(spec, name) for name, spec in shapes.items()}
    if shapes:
        raise MeasureError(
            "usage", "--inputs and --input-shape exclude each other", "leave --input-shape out"
        )
    return dict(from_file)


def _match(declared: Sequence[Declared], given: dict[str, Given]) -> dict[str, Given]:
    """Given shapes by the model's names: with one input any name does; what is not the model's is an error in a shape option."""
    names = [item.name for item in declared]
    if len(names) == 1 and len(given) == 1:
        return {names[0]: next(iter(given.values()))}
    matched = {name: shape for name, shape in given.items() if name in names}
    for name, shape in given.items():
        if name not in names and shape.source == "--input-shape":
            near = nearest(name, names)
            raise MeasureError(
                "usage",
                f"the model has no input named {name}" if name else "the model has several inputs: name one",
                f"did you mean {near[0]}?" if near else f"its inputs are {', '.join(names)}",
            )
    for name in names:
        if name not in matched and any(shape.samples for shape in given.values()):
            raise MeasureError(
                "shape",
                f"the --inputs file has no array for the model's input {name}",
                f"it holds {', '.join(given)}; save the missing one under its name",
            )
    return matched


class _Resolution:
    """One pass over the axes: which is the batch, what binds the others, what is left to assume."""

    def __init__(
        self,
        declared: Sequence[Declared],
        given: Mapping[str, Given],
        configuration: Configuration,
        flexible: bool,
    ) -> None:
        self.declared, self.given, self.configuration, self.flexible = (
            declared,
            given,
            configuration,
            flexible,
        )
        self.model = configuration.model
        self.axes: dict[
            str, list[int | str]
        ] = {}  # per input: size, symbol or sum, BATCH for an unnamed batch axis
        self.batch_names: set[str] = set()
        self.bound: dict[str, tuple[int, str]] = {}  # symbol -> size, and what gave it
        self.known: dict[str, int] = {}
        self.images: set[str] = set()
        self.example_batch = 1

    def signature(self) -> Signature:
        for item in self.declared:
            self.axes[item.name] = self._sizes(item)
        self._find_batch()
        self._bind_given()
        self._bind_asked()
        batch = self._batch()
        dims, assumed = self._bind_rest(batch)
        values = dims | dict.fromkeys(self.batch_names, batch or 1)
        inputs = [self._input(item, values) for item in self.declared]
        return Signature(inputs, batch, {k: v for k, v in dims.items() if k not in self.batch_names}, assumed)

    def _sizes(self, item: Declared) -> list[int | str]:
        """The input's axes with every unnamed one named: `NAME[axis]`, or the batch for axis 0."""
        if item.dtype not in DTYPES:
            kind = "strings" if item.dtype == "string" else f"the type {item.dtype}"
            raise MeasureError(
                "unsupported",
                f"input {item.name} takes {kind}, which infertop cannot feed",
                "measure the part of the model behind it, whose inputs are numbers",
            )
        given = self.given.get(item.name)
        sizes = item.sizes
        if given is not None and (sizes is None or self.flexible):
            sizes = given.sizes if sizes is None or not given.samples else (*sizes[:1], *given.sizes[1:])
        if sizes is None:
            raise MeasureError(
                "shape",
                f"the model does not say which shape its input {item.name} has",
                f"give it with --input-shape {item.name}=Bx3x224x224 (B is the batch)",
            )
        if given is not None and len(given.sizes) != len(sizes):
            raise MeasureError(
                "shape",
                f"input {item.name} has {_axes(len(sizes))}, {given.source} gives {_axes(len(given.sizes))}",
                f"the model declares {item.name} as {show(sizes)}",
            )
        images = image_axes(item.dtype, sizes)
        axes: list[int | str] = []
        for axis, size in enumerate(sizes):
            named = size if size is not None else BATCH if axis == 0 else _unnamed(item.name, axis)
            if isinstance(named, str) and named != BATCH:
                if axis in item.known:
                    self.known[named] = item.known[axis]
                if axis in images:
                    self.images.add(named)
            axes.append(named)
        return axes

    def _find_batch(self) -> None:
        """Which symbols are the batch: the one that most inputs have in axis 0, and others named like one.

        Where none can be in axis 0 (a recurrent model's come by steps first) it is the one that is named like a batch.
        """
        firsts = [sizes[0] for sizes in self.axes.values() if sizes]
        named = [
            s
            for s in firsts
            if isinstance(s, str) and s != BATCH and symbols(s) == [s] and not is_length_name(s)
        ]
        if named:
            common = Counter(named).most_common(1)[0][0]
            self.batch_names = {common} | {name for name in named if is_batch_name(name)}
        else:
            every = dict.fromkeys(s for sizes in self.axes.values() for size in sizes for s in _symbols(size))
            self.batch_names = {name for name in every if is_batch_name(name)}
        for name, shape in self.given.items():
            for axis, size in enumerate(shape.sizes):
                declared = self.axes[name][axis]
                if size == BATCH and isinstance(declared, str) and symbols(declared) == [declared]:
                    self.batch_names.add(declared)
        self.batch_names.add(BATCH)
        if self.flexible and not any(self._is_batch(size) for sizes in self.axes.values() for size in sizes):
            sizes = set(firsts)
            if len(sizes) == 1 and isinstance(size := sizes.pop(), int):
                for axes in self.axes.values():
                    axes[:1] = [BATCH] if axes else []
                if any(not shape.samples for shape in self.given.values()):
                    self._bind(BATCH, size, "--input-shape")
                self.example_batch = size

    def _is_batch(self, size: int | str) -> bool:
        return isinstance(size, str) and size in self.batch_names

    def _bind(self, symbol: str, size: int, source: str) -> None:
        before = self.bound.setdefault(symbol, (size, source))
        if before[0] != size:
            raise MeasureError(
                "shape",
                f"{'the batch' if symbol in self.batch_names else symbol} is {before[0]} by {before[1]} and {size} by {source}",
                "give one of them",
            )

    def _bind_given(self) -> None:
        """What --input-shape or the arrays of --inputs say: literal sizes bind symbols, and must fit the fixed ones."""
        for name, shape in self.given.items():
            for axis, size in enumerate(shape.sizes):
                declared = self.axes[name][axis]
                if size == BATCH:
                    if isinstance(declared, int):
                        self._bind(BATCH, declared, f"the model's input {name}")
                        self.axes[name][axis] = BATCH
                    continue
                assert isinstance(size, int)
                if isinstance(declared, int):
                    if declared != size and not (axis == 0 and shape.samples and size % declared == 0):
                        raise MeasureError(
                            "shape",
                            f"axis {axis} of input {name} is fixed at {declared}, {shape.source} gives {size}",
                            f"the model declares {name} as {show(self.axes[name])}",
                        )
                elif self._is_batch(declared):
                    if not (axis == 0 and shape.samples):
                        self._bind(BATCH, size, f"{shape.source} {name}")
                    else:
                        self._samples(name, size)
                elif symbols(declared) == [declared]:
                    self._bind(declared, size, f"{shape.source} {name}")
                else:
                    self.axes[name][axis] = size

    def _samples(self, name: str, samples: int) -> None:
        """--inputs holds `samples` in axis 0: all are the batch, unless a batch was asked for that they can be cut into."""
        asked = self.configuration.batch
        if asked is None:
            self._bind(BATCH, samples, f"--inputs {name}")
        elif samples < asked:
            raise MeasureError(
                "shape",
                f"the --inputs file holds {samples} samples of {name}, fewer than --batch {asked}",
                f"use --batch {samples} or give more samples",
            )

    def _bind_asked(self) -> None:
        """--dim. A symbol that is the batch binds the batch."""
        known = list(
            dict.fromkeys(s for sizes in self.axes.values() for size in sizes for s in _symbols(size))
        )
        for name, size in self.configuration.dims.items():
            if name in known:
                self._bind(BATCH if name in self.batch_names else name, size, f"--dim {name}={size}")
                continue
            near = nearest(name, known)
            others = [symbol for symbol in known if symbol not in self.batch_names]
            raise MeasureError(
                "usage",
                f"no input of {self.model} has an axis named {name}",
                f"did you mean {near[0]}?" if near else
                f"its axes are {', '.join(others)}" if others else "all of its sizes but the batch are fixed",
            )  # fmt: skip

    def _batch(self) -> int | None:
        asked = self.configuration.batch
        if any(self._is_batch(size) for sizes in self.axes.values() for size in sizes):
            if asked is not None:
                self._bind(BATCH, asked, f"--batch {asked}")
            return self.bound.get(BATCH, (self.example_batch, ""))[0]
        fixed = {name: sizes[0] for name, sizes in self.axes.items() if sizes}
        if asked is not None and fixed and all(size == asked for size in fixed.values()):
            return asked
        if asked is None or asked == 1:
            return None
        for name, size in fixed.items():
            if isinstance(size, int) and size != asked:
                raise MeasureError(
                    "shape",
                    f"axis 0 of input {name} is fixed at {size}, so --batch {asked} does not fit",
                    f"leave --batch out (or use --batch {size}), or export the model with a dynamic batch axis",
                )
        raise MeasureError(
            "shape",
            f"no input of {self.model} has a batch axis"
            + "".join(f" ({name} begins with {size})" for name, size in list(fixed.items())[:1]),
            "leave --batch out (--dim sets the named axes), or say which axis it is: --input-shape "
            + "".join(
                f"{name}={'x'.join(['128', 'B', *['…'] * (len(sizes) - 2)])}"
                for name, sizes in list(self.axes.items())[:1]
            ),
        )

    def _bind_rest(self, batch: int | None) -> tuple[dict[str, int], dict[str, int]]:
        """Sizes for all other symbols: given, demanded by the weights, or assumed."""
        wanted = dict.fromkeys(s for sizes in self.axes.values() for size in sizes for s in _symbols(size))
        dims = {s: self.bound[s][0] for s in wanted if s in self.bound and s not in self.batch_names}
        dims |= {
            s: self.known[s]
            for s in wanted
            if s in self.known and s not in dims and s not in self.batch_names
        }
        assumed: dict[str, int] = {}
        # `total_sequence_length` and its like come last: they are sums of others by their meaning.
        for symbol in sorted(wanted, key=lambda s: s.startswith("total_")):
            if symbol in dims or symbol in self.batch_names:
                continue
            assumed[symbol] = default_size(symbol, dims | assumed, image=symbol in self.images)
        return {s: (dims | assumed)[s] for s in wanted if s not in self.batch_names}, assumed

    def _input(self, item: Declared, values: Mapping[str, int]) -> Input:
        shape = []
        for axis, size in enumerate(self.axes[item.name]):
            try:
                number = size if isinstance(size, int) else evaluate(size, values)
            except ZeroDivisionError:
                number = -1
            if number < 0:
                raise MeasureError(
                    "shape",
                    f"axis {axis} of input {item.name} is {size}, which comes to no size",
                    "bind its symbols with --dim NAME=N",
                )
            shape.append(number)
        given = self.given.get(item.name)
        dtype = item.dtype
        if given is not None and given.dtype is not None and given.dtype != dtype:
            if not self.flexible and not (given.samples and casts(given.dtype, dtype)):
                raise MeasureError(
                    "shape",
                    f"input {item.name} is {dtype}, {given.source} gives {given.dtype}",
                    "leave the type out" if given.source == "--input-shape" else f"save the array as {dtype}",
                )
            dtype = dtype if given.samples else given.dtype
        return Input(item.name, dtype, tuple(shape))


def image_axes(dtype: str, sizes: Sequence[int | str | None]) -> tuple[int, ...]:
    """Height and width of a batch of images, by the channels: (2, 3) for Nx3xHxW, (1, 2) for NxHxWx3, () otherwise."""
    if len(sizes) != 4 or dtype.startswith("int") or dtype == "bool":
        return ()
    if sizes[1] in (1, 3, 4):
        return (2, 3)
    return (1, 2) if sizes[3] in (1, 3, 4) else ()


def _unnamed(name: str, axis: int) -> str:
    """A name for an unnamed axis, for --dim and for the header: `images[2]`. Signs that a sum could hold are replaced."""
    return f"{re.sub('[^A-Za-z0-9_.]', '_', name)}[{axis}]"


def _symbols(size: int | str) -> list[str]:
    return symbols(size) if isinstance(size, str) else []


def _axes(count: int) -> str:
    return "1 axis" if count == 1 else f"{count} axes"
