"""The backend `torch-eager`, on the CPU and on CUDA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import cores, cost, cuda, loads, models, torch_cost, torch_files, torch_module, zoo
from .backend import Fallback, Inputs, Loaded, Report, StageTimes, versions
from .configuration import Configuration
from .errors import MeasureError
from .overlapped import AheadOfTime, Lanes, Overlapped, lanes, preparer, staged, streams_needed
from .registry import nearest
from .staged import Staged, refuse_path
from .torch_gpu import no_cuda
from .torch_module import Built
from .torch_paths import CUDA_STEPS, CudaSteps, FirstSet, HostPath, placed
from .torch_precision import cast, cast_module, own_types, refuse_cast
from .torch_tf32 import Tf32

DISTRIBUTIONS = ("torch", "torchvision", "transformers", "safetensors", "numpy")
OPTIONS = ("channels_last",)
"""What `--backend-option` takes."""

SWITCH = {"1": True, "0": False, "true": True, "false": False}
_PRECISIONS = {"cpu": ("native", "fp32", "fp16", "bf16"), "cuda": ("native", "fp32", "tf32", "fp16", "bf16")}


def switch(name: str, value: str) -> bool:
    """Raises MeasureError kind "usage"."""
    if value.lower() not in SWITCH:
        raise MeasureError(
            "usage", f"--backend-option {name}={value} is not known", f"use one of {', '.join(SWITCH)}"
        )
    return SWITCH[value.lower()]


class TorchEager(AheadOfTime):
    """A module called operator by operator under `inference_mode`, in evaluation mode."""

    name = "torch-eager"
    slots = 1  # on the CPU
    overlaps = True
    fuses = False

    def __init__(self) -> None:
        self._torch: Any = None
        self._plain: Any = None  # the module itself, where another function calls it
        self._given: list[Any] = []  # the first input set, in host memory
        self._first: FirstSet | None = None  # where requests share their input, until `settle`
        self._key: object = None
        self._built: Built | None = None
        self._module: Any = None
        self._known: Loaded | None = None
        self._configuration: Configuration | None = None
        self._device: cuda.Device | None = None
        self._guard: Any = None
        self._tf32: Tf32 | None = None
        # Of each slot who issues its requests, and who has the result of its last one.
        self._staged: list[HostPath | Staged | Overlapped] = []
        self._holders: list[HostPath | CudaSteps] = []
        self._streams: dict[int, Any] = {}  # torch's own by the address of ours

    def load(self, configuration: Configuration, report: Report) -> Loaded:
        """The module, cast and in place; another batch, other dims or another data path keep it."""
        self._leave()
        self._refuse(configuration)
        options = configuration.options
        model = models.resolve(configuration.model, options.working_directory)
        self._torch = torch_module.runtime()
        self._tf32 = self._tf32 or Tf32(self._torch)
        zoo.import_for(model)
        files = [path for path in (*models.contents(model), torch_files.weights_path(options)) if path]
        key = (
            model,
            [models.fingerprint(path) for path in files],
            (configuration.precision, configuration.device, options.seed),
            (
                options.compile_mode,
                tuple(options.input_shapes.items()),
                tuple(options.backend_options.items()),
            ),
        )
        report("load")
        if key != self._key or self._built is None:
            self.close()
            self._built = torch_module.build(model, options)
        found = torch_module.signature(self._built, configuration)
        if key != self._key:
            self._find_tables(found.inputs, options.seed)
            self._plain = self._place(self._built, configuration)
            self._module = self._wrapped(self._plain, configuration)
            self._key = key
        threads = None
        if configuration.device == "cpu":
            threads = cores.threads(options)
            self._torch.set_num_threads(threads)
        self.slots = 1 if configuration.device == "cpu" else loads.MAX_IN_FLIGHT
        self._configuration = configuration
        self._known = Loaded(
            inputs=cast(found.inputs, configuration.precision),
            batch=found.batch,
            dims=found.dims,
            assumed=found.assumed,
            tables=self._built.tables,
            libraries=versions(*DISTRIBUTIONS),
            threads=threads,
            native=self._built.native,
            runtime=self._settings(configuration),
        )
        return self._known

    def bind(self, sets: Sequence[Inputs], slots: int) -> None:
        assert self._known is not None
        assert self._built is not None
        assert self._configuration is not None
        torch, inputs, call = self._torch, self._known.inputs, self._built.call
        # Entered once for all requests, as a script has its loop inside; entering it costs 2 µs.
        self._guard = torch.inference_mode()
        self._guard.__enter__()
        given = [torch_module.tensors(torch, [a[i.name] for i in inputs], inputs) for a in sets]
        if self._channels_last(self._configuration):
            given = [torch_module.channels_last(torch, tensors) for tensors in given]
        self._given = given[0]
        device = self._configuration.device
        if device == "cpu":
            path = HostPath(self._module, call, given)
            self._staged, self._holders = [path], [path]
            self._first = FirstSet(given[0], [tensor.clone() for tensor in given[0]])
            return
        self._device = self._device or cuda.Device(cuda.load(), cuda.index_of(device))
        self._device.free()
        steps, enter = CUDA_STEPS[self._configuration.data_path], None if slots == 1 else self._enter
        load = loads.parse(self._configuration.load)
        self._ahead = preparer(load, self._configuration.data_path)
        try:
            where = placed(given, self._configuration.data_path, device)
            if self._configuration.data_path == "device":
                self._first = FirstSet(where[0], given[0])
            for on in self._lanes(load, device):
                holder = steps(torch, self._module, call, where, device)
                self._holders.append(holder)
                self._staged.append(staged(holder, self._device, on, enter, self._ahead))
        except RuntimeError as error:
            raise self._explain(error) from error
        # Buffers and weights came to be on torch's own stream; requests may run on others.
        torch.cuda.synchronize(device)

    def _lanes(self, load: loads.Load, device: str) -> list[Lanes]:
        assert self._device is not None
        if load.slots == 1:
            # torch's current stream: a script's copies and kernels are issued there too.
            address = self._torch.cuda.current_stream(device).cuda_stream
            return [Lanes.one(cuda.Stream(self._device.driver, address))]
        streams = self._device.streams(streams_needed(load))
        self._streams = {s.address: self._torch.cuda.ExternalStream(s.address, device) for s in streams}
        return lanes(load, streams)

    def _enter(self, stream: cuda.Stream) -> None:
        self._torch.cuda.set_stream(self._streams[stream.address])

    def issue(self, slot: int, index: int, times: StageTimes | None) -> None:
        try:
            self._staged[slot].issue(index, times)
        except MeasureError:
            raise
        except Exception as error:  # a module may raise anything
            raise self._explain(error) from error

    def complete(self, slot: int, times: StageTimes | None) -> None:
        self._staged[slot].complete(times)

    def settle(self) -> None:
        """A module that wrote into its input is given copies from now on."""
        first, self._first = self._first, None
        assert self._known is not None
        assert self._configuration is not None
        if first is None or not first.protect(self._torch, self._holders):
            return
        if self._configuration.device != "cpu":
            self._torch.cuda.synchronize(self._configuration.device)
        self._known.runtime.setdefault("notes", []).append(
            "the model writes into its input: each request is given a copy, which is part of its time"
        )

    def outputs(self, slot: int) -> list[np.ndarray]:
        return torch_module.arrays(self._torch, self._holders[slot].result)

    def bytes_out(self, slot: int) -> int:
        """In the types that the module gave, which `outputs` may widen."""
        leaves = torch_module.leaves(self._torch, self._holders[slot].result)
        return sum(int(leaf.nbytes) for leaf in leaves)

    def work(self, cache: int) -> cost.Work | None:
        """What a request asks of the GPU, counted in one call of the module as it was written."""
        assert self._built is not None
        assert self._configuration is not None
        device, call, plain = self._configuration.device, self._built.call, self._plain
        given = [tensor.to(device) for tensor in self._given]

        def request() -> None:
            positional, named = call(given)
            plain(*positional, **named)

        return torch_cost.count(self._torch, request, cache, self.fuses)

    def reached(self, pipes: Sequence[str]) -> dict[str, float]:
        """FLOP/s of torch's own product of matrices, by arithmetic pipe."""
        assert self._configuration is not None
        return torch_cost.reached(self._torch, pipes, self._configuration.device)

    def close(self) -> None:
        self._leave()
        self._key = self._built = self._module = self._plain = None
        if self._tf32 is not None:
            self._tf32.restore()
        if self._device is not None:
            self._device.close()
            self._device = None

    def _place(self, built: Built, configuration: Configuration) -> Any:
        """The module in the precision and on the device."""
        torch, precision, device = self._torch, configuration.precision, configuration.device
        refuse_cast(built.program, built.native, precision)
        if self._channels_last(configuration):
            self._refuse_channels_last(built)
            built.module.to(memory_format=torch.channels_last)
        if device == "cpu":
            self._switches.choose(precision, device)
            return built.module if built.program else cast_module(torch, built.module, precision)
        if not torch.cuda.is_available():
            raise no_cuda(torch)
        cuda.refuse_precision(self.name, precision, cuda.load().capability(cuda.index_of(device)))
        # torch itself has it on for convolutions alone: a comparison of `fp32` with other runtimes would be unfair.
        self._switches.choose(precision, device)
        try:
            if built.program is not None:
                from torch.export.passes import move_to_device_pass

                return move_to_device_pass(built.program, device).module()
            return cast_module(torch, built.module, precision).to(device)
        except RuntimeError as error:
            raise self._explain(error) from error

    def _wrapped(self, module: Any, configuration: Configuration) -> Any:
        """What requests call."""
        return module

    def _find_tables(self, inputs: Sequence[Any], seed: int) -> None:
        assert self._built is not None
        try:
            self._built.tables |= torch_module.find_tables(self._torch, self._built, inputs, seed)
        except Exception as error:  # the module is run once, and may raise anything
            raise torch_module.explain(self._torch, error, inputs, {}, self.name) from error

    def _refuse(self, configuration: Configuration) -> None:
        """What this backend cannot do is said, never replaced."""
        kind = "cpu" if configuration.device == "cpu" else "cuda"
        if kind == "cuda":
            cuda.index_of(configuration.device)
            refuse_path(configuration.data_path)
        elif configuration.data_path != "pageable":
            raise MeasureError(
                "unsupported",
                f"{self.name} on the CPU has no data path {configuration.data_path}: nothing is copied to a device",
                "use --data-path pageable",
            )
        if configuration.precision not in _PRECISIONS[kind]:
            raise MeasureError(
                "unsupported",
                f"{self.name} on {configuration.device} cannot measure {configuration.precision}",
                f"use one of {', '.join(_PRECISIONS[kind])}",
            )
        for option in configuration.options.backend_options:
            if option not in OPTIONS:
                near = nearest(option, OPTIONS)
                raise MeasureError(
                    "usage",
                    f"{self.name} has no backend option {option}",
                    f"did you mean {near[0]}?" if near else f"its options are {', '.join(OPTIONS)}",
                )
        self._channels_last(configuration)

    def _channels_last(self, configuration: Configuration) -> bool:
        """Whether convolutions get their tensors with the channels in the last place, which tensor cores prefer."""
        return switch("channels_last", configuration.options.backend_options.get("channels_last", "0"))

    def _refuse_channels_last(self, built: Built) -> None:
        if built.program is not None:
            raise MeasureError(
                "unsupported",
                "an exported program has the layout of its tensors written into it",
                "leave --backend-option channels_last out",
            )
        if not any(item.sizes is not None and len(item.sizes) == 4 for item in built.declared):
            raise MeasureError(
                "unsupported",
                "no input of the model has 4 axes, so that channels_last changes nothing",
                "leave --backend-option channels_last out",
            )

    def _settings(self, configuration: Configuration) -> dict[str, Any]:
        """What a person's script may have otherwise, for the record."""
        found: dict[str, Any] = {"channels_last": True} if self._channels_last(configuration) else {}
        if configuration.device != "cpu":
            state = self._switches.state(configuration.device)
            found["tf32"] = {"matmul": state["matmul"], "cudnn": state["conv"], "rnn": state["rnn"]}
            found["notes"] = cuda.override_notes(configuration.precision)
            if self._built is not None and self._built.native == "fp32":
                capability = cuda.load().capability(cuda.index_of(configuration.device))
                found["notes"] += cuda.fp32_notes(configuration.precision, capability, "convolutions")
        return found

    def fallback(self, over: bool) -> Fallback | None:
        """A model whose own code switches TF32 while it runs is not measured in the precision asked for."""
        assert self._configuration is not None
        precision = self._configuration.precision
        other = self._switches.other_than(precision, self._configuration.device)
        if not other:
            return None
        what = "types shorter than float32" if self._configuration.device == "cpu" else "TF32"
        way = "off" if precision == "tf32" else "on"
        return Fallback(
            f"the model's own code switched {what} {way} for {other}: it does not run in {precision}",
            "use --precision native, or take the switch out of the model's code",
        )

    @property
    def _switches(self) -> Tf32:
        assert self._tf32 is not None
        return self._tf32

    def _explain(self, error: Exception) -> MeasureError:
        known, configuration = self._known, self._configuration
        if configuration is not None and (refused := own_types(error, configuration.precision)) is not None:
            return refused
        inputs, assumed = (known.inputs, known.assumed) if known is not None else ([], {})
        return torch_module.explain(self._torch, error, inputs, assumed, self.name)

    def _leave(self) -> None:
        """Forget what was bound, so that a module is never made under inference mode."""
        self._stop_preparing()
        if self._guard is not None:
            self._guard.__exit__(None, None, None)
            self._guard = None
        if self._streams and self._configuration is not None:
            cuda_ = self._torch.cuda
            cuda_.set_stream(cuda_.default_stream(self._configuration.device))
        self._streams = {}
        self._staged, self._holders, self._given = [], [], []
        self._first = None
