"""The ONNX file behind a model: a person's, ours, or a torch module exported for the occasion; read once and kept."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from . import graph, hf, models, precision
from .backend import Report
from .configuration import Configuration
from .errors import MeasureError
from .inputs import file_shapes
from .signature import Signature, resolve

SMALLCNN = Path(__file__).with_name("smallcnn.onnx")


@dataclass(frozen=True)
class ModelFile:
    """The ONNX file to load."""

    path: str
    name: str  # as a person calls it
    cache: str | None = None  # "hit" or "miss" in the cache of exports
    temporary: tempfile.TemporaryDirectory[str] | None = None  # where it lies when nothing is cached
    batch: int | None = None  # taken when none is asked for: that of a factory's example inputs
    exported: bool = False  # from a torch module, in the precision asked for
    flexible: bool = False  # its fixed sizes were given by a person or by example inputs
    converted: str | None = None  # by which tool into the precision asked for


class OrtModel:
    """A file with its graph, read again only when something that it depends on changed."""

    def __init__(self) -> None:
        self._key: object = None
        self._model: models.Model | None = None
        self._file: ModelFile | None = None
        self._graph: graph.Graph | None = None

    def open(self, configuration: Configuration, key: object, report: Report) -> bool:
        """Make file and graph ready; True where they are new. `key` is what else they depend on, for the caller's session."""
        model = models.resolve(configuration.model, configuration.options.working_directory)
        wanted = (key, _identity(model, configuration))
        if wanted == self._key:
            return False
        self.close()
        self._model = model
        self._file = _file(model, configuration, report)
        self._graph = graph.read(self._file.path)
        missing = graph.missing_weights(self._graph)
        if missing:
            raise MeasureError(
                "model-unreadable",
                f"the weights of {self._file.name} lie in {missing[0]}, which is not beside it",
                "copy that file too, under its name",
            )
        self._convert(configuration, report)
        self._key = wanted
        return True

    def _convert(self, configuration: Configuration, report: Report) -> None:
        """Put the file in the precision asked for in the place of the one that is not."""
        target = precision.wanted(self.graph, configuration, self.file.exported)
        if target is None:
            return
        # Of batch 1 and apart from the sizes of one run, so that the file is the same for all of them.
        calibration = (
            self.signature(replace(configuration, batch=1 if self.file.batch is None else None))
            if target == "int8"
            else None
        )
        done = precision.convert(self.graph, configuration, target, calibration, report)
        self.drop_file()
        self._file = replace(
            self.file, path=done.path, cache=done.cache, temporary=done.temporary, converted=done.note
        )
        # Inputs stay as they were, and what they index was found where the lookups are plain.
        before = self.graph
        self._graph = replace(graph.read(done.path), inputs=before.inputs, tables=before.tables)

    @property
    def file(self) -> ModelFile:
        assert self._file is not None
        return self._file

    @property
    def graph(self) -> graph.Graph:
        assert self._graph is not None
        return self._graph

    def signature(self, configuration: Configuration) -> Signature:
        """The graph's inputs with every size known."""
        given = file_shapes(configuration.options)
        if configuration.batch is None and given is None:
            configuration = replace(configuration, batch=self.file.batch)
        found = resolve(self.graph.inputs, configuration, given, flexible=self.file.flexible)
        assert self._model is not None
        hf.refuse_long(self._model, found.inputs)
        return found

    def drop_file(self) -> None:
        """The session is made: a temporary file is needed no more."""
        if self.file.temporary is not None:
            self.file.temporary.cleanup()

    def close(self) -> None:
        if self._file is not None:
            self.drop_file()
        self._key = self._file = self._graph = None


def _identity(model: models.Model, configuration: Configuration) -> object:
    """What the file's contents depend on."""
    options, target = configuration.options, configuration.precision
    shapes = (tuple(options.input_shapes.items()), options.inputs)
    # Calibration is by seed and sizes.
    calibrated = (options.seed, tuple(configuration.dims.items()), shapes) if target == "int8" else None
    if model.kind == "onnx" and model.path is not None:
        return (models.fingerprint(model.path), target if target == "fp16" else None, calibrated)
    files = tuple(models.fingerprint(path) for path in models.contents(model))
    return (model, files, target, options.seed, options.weights, shapes, calibrated)


def _file(model: models.Model, configuration: Configuration, report: Report) -> ModelFile:
    models.refuse_weights(model, configuration.options.weights)
    if model.kind == "onnx" and model.path is not None:
        return ModelFile(model.path, Path(model.path).name)
    if model.name == "smallcnn" and configuration.options.weights is None and configuration.precision in (
        "native", "fp32", "tf32", "int8",
    ):  # fmt: skip
        return ModelFile(str(SMALLCNN), "smallcnn")
    if model.kind == "engine":
        raise MeasureError(
            "unsupported",
            f"{model.text} is a TensorRT engine, which no other runtime reads",
            "use --backend tensorrt or tensorrt-rtx, or name the .onnx file",
        )
    from .export import export

    exported = export(model, configuration, report)
    return ModelFile(
        exported.path,
        model.text,
        exported.cache,
        exported.temporary,
        exported.batch,
        exported=True,
        flexible=model.kind not in ("pt2", "hf"),
    )
