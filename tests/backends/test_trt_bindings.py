"""Every name that the TensorRT modules use is one that the real bindings have, with as many arguments: what executes engines
cannot be run without a GPU, so that it is compared with what would take the calls."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import infertop
import pytest
from infertop.backends import trt_bindings
from infertop.backends.errors import MeasureError
from infertop.tests.backends import fake_trt

RTX = pytest.importorskip(
    "tensorrt_rtx_bindings", reason="TensorRT-RTX's wheels exist for Linux on x86-64 only"
)

SOURCES = [
    path
    for path in sorted(Path(infertop.__file__).parent.joinpath("backends").glob("trt_*.py"))
    if path.stem != "trt_ort"
]

OBJECTS = {
    "trt_build": {
        "builder": "Builder", "network": "INetworkDefinition", "parser": "OnnxParser", "first": "ParserError", "profile": "IOptimizationProfile",
        "tensor": "ITensor", "config": "IBuilderConfig", "memory": "IHostMemory", "cache": "ITimingCache", "target": "ComputeCapability",
    },
    "trt_engine": {
        "self._runtime": "Runtime", "self._engine": "ICudaEngine", "self._config": "IRuntimeConfig", "self._compiled": "IRuntimeCache",
        "strategy": "DynamicShapesKernelSpecializationStrategy",
    },
    "trt_steps": {"self._context": "IExecutionContext"},
}  # fmt: skip
"""What the variables of a module hold, by its classes in the bindings."""


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an expression made of names; empty for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""


def uses() -> Iterator[tuple[str, str, str, int | None]]:
    """(where, class or "", chain of names, arguments of the call or None for an attribute)."""
    for path in SOURCES:
        objects = OBJECTS.get(path.stem, {})
        tree = ast.parse(path.read_text(encoding="utf-8"))
        called = {
            id(node.func): len(node.args) + len(node.keywords)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute):
                continue
            chain, where = dotted(node), f"{path.name}:{node.lineno}"
            for prefix in ("trt.", "self._trt."):
                if chain.startswith(prefix):
                    yield where, "", chain.removeprefix(prefix), called.get(id(node))
            for name, kind in objects.items():
                if chain.startswith(f"{name}."):
                    yield where, kind, chain.removeprefix(f"{name}."), called.get(id(node))


def counts(function: Any) -> list[tuple[int, int]]:
    """(fewest, most) arguments of each overload, from the signatures that the bindings carry in their documentation."""
    found = []
    for line in (function.__doc__ or "").splitlines():
        match = re.match(r"\s*(?:\d+\. )?\w+\((self: .*)\) ->", line)
        if match is None:
            continue
        flat = re.sub(r"\[[^\[\]]*\]|<[^<>]*>", "", re.sub(r"\[[^\[\]]*\]", "", match[1]))
        parts = flat.split(", ")[1:]
        found.append((sum("=" not in part for part in parts), len(parts)))
    return found


USES = list(uses())


def test_the_comparison_sees_the_calls() -> None:
    chains = {(kind, chain) for _, kind, chain, _ in USES}
    assert {
        ("IExecutionContext", "execute_async_v3"), ("IExecutionContext", "set_tensor_address"), ("", "TensorIOMode.INPUT"),
        ("Runtime", "deserialize_cuda_engine"), ("ICudaEngine", "create_execution_context"), ("IRuntimeConfig", "set_runtime_cache"),
        ("Builder", "build_serialized_network"), ("", "NetworkDefinitionCreationFlag.STRONGLY_TYPED"), ("", "IOutputAllocator"),
    } <= chains  # fmt: skip
    assert len(chains) > 60
    assert counts(RTX.IOptimizationProfile.set_shape) == [(4, 4)]
    assert counts(RTX.Builder.create_network) == [(0, 1)]
    assert counts(RTX.ICudaEngine.create_execution_context) == [(0, 1), (0, 1)]


@pytest.mark.parametrize(
    ("where", "kind", "chain", "arguments"), USES, ids=[f"{w}-{k}.{c}" for w, k, c, _ in USES]
)
def test_each_name_exists_and_takes_what_it_is_given(
    where: str, kind: str, chain: str, arguments: int | None
) -> None:
    target = getattr(RTX, kind) if kind else RTX
    if kind == "ComputeCapability" or chain.startswith("ComputeCapability.__"):
        chain = chain.removesuffix(".get")
    for name in chain.split("."):
        assert hasattr(target, name), f"{where}: {kind or 'the module'} has no {chain}"
        target = getattr(target, name)
        if isinstance(target, property):
            break  # of what it holds only a real object knows more
    if chain.endswith("__init__") and arguments:
        arguments -= 1  # called on the class, with self
    overloads = counts(target) if callable(target) else []
    if arguments is not None and overloads:
        assert any(least <= arguments <= most for least, most in overloads), (
            f"{where}: {chain} takes {overloads}"
        )
    elif arguments is None and kind:
        assert not inspect.isroutine(target), f"{where}: {chain} is a method, and nothing calls it"


def test_methods_that_the_library_calls_back_have_its_names_and_arguments() -> None:
    def parameters(method: Any) -> list[str]:
        return list(inspect.signature(method).parameters)

    def documented(method: Any) -> list[str]:
        return re.findall(r"(\w+): ", re.search(r"\((.*)\) ->", method.__doc__)[1])  # type: ignore[index]

    monitor = type(trt_bindings.make_monitor(RTX, print))
    for name in ("phase_start", "step_complete", "phase_finish"):
        assert parameters(getattr(monitor, name)) == documented(getattr(RTX.IProgressMonitor, name))
    log = type(trt_bindings.logger(RTX))
    assert len(parameters(log.log)) == len(documented(RTX.ILogger.log))
    # The allocator's methods are looked up by name when they are needed, and documented nowhere.
    library = importlib.util.find_spec("tensorrt_rtx_bindings.tensorrt_rtx")
    assert library is not None
    assert library.origin is not None
    data = Path(library.origin).read_bytes()
    assert all(
        name in data for name in (b"reallocate_output\0", b"reallocate_output_async\0", b"notify_shape\0")
    )


@pytest.mark.parametrize(
    ("fake", "real"),
    [
        (fake_trt.FakeEngine, "ICudaEngine"), (fake_trt.FakeContext, "IExecutionContext"),
        (fake_trt.FakeRuntimeConfig, "IRuntimeConfig"), (fake_trt.FakeRuntimeCache, "IRuntimeCache"),
    ],
)  # fmt: skip
def test_the_fakes_have_no_method_that_the_real_ones_lack(fake: type, real: str) -> None:
    for name, member in vars(fake).items():
        if name.startswith("_"):
            continue
        assert hasattr(getattr(RTX, real), name), name
        if inspect.isfunction(member):
            given = len(inspect.signature(member).parameters) - 1
            assert any(least <= given <= most for least, most in counts(getattr(getattr(RTX, real), name))), (
                name
            )


def test_the_compute_capabilities_that_a_probe_knows_are_the_library_s() -> None:
    known = {name for name in RTX.ComputeCapability.__members__ if name not in ("NONE", "CURRENT")}
    assert known == {f"SM{major}{minor}" for major, minor in trt_bindings.RTX_CAPABILITIES}


@pytest.mark.parametrize(
    ("capability", "runs"),
    [((7, 0), False), ((7, 5), True), ((8, 7), False), ((8, 9), True), ((9, 0), False), ((10, 0), False), ((12, 1), True), ((12, 2), True)],
)  # fmt: skip
def test_where_tensorrt_rtx_runs(capability: tuple[int, int], runs: bool) -> None:
    assert (trt_bindings.cannot_run(trt_bindings.RTX, capability) == "") == runs
    assert trt_bindings.cannot_run(trt_bindings.TENSORRT, capability) == ""


def test_targets_are_read_as_people_write_them() -> None:
    assert trt_bindings.parse_target("sm_89") == trt_bindings.parse_target("SM89") == (8, 9)
    assert trt_bindings.parse_target("sm_121") == (12, 1)
    for text in ("sm_90", "89", "ada", "sm_"):
        with pytest.raises(MeasureError, match=f"--target {text} is none") as caught:
            trt_bindings.parse_target(text)
        assert "sm_89" in caught.value.fix


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ('creator && "Plugin not found, are the plugin name, version, and namespace correct?"',
         "Plugin not found, are the plugin name, version, and namespace correct?"),
        ("Assertion failed: creator && getVersion(creator) == V::kONE: NonZero plugin creator was not found.",
         "NonZero plugin creator was not found"),
        ("IBuilder::buildSerializedNetwork: Error Code 4: API Usage Error (IElementWiseLayer y: dimensions must be conformable"
         " In op at /_src/a.cpp:2699 In analyzeShapes at /_src/b.cpp:2825)", "IElementWiseLayer y: dimensions must be conformable"),
        ("IBuilder::buildSerializedNetwork: Error Code 1: Myelin ([pass.cpp:337: check] Cannot compile 'x' for Turing (SM75): no"
         " GEMM. In compileGraph at /_src/c.cpp:2012)", "Cannot compile 'x' for Turing (SM75): no GEMM"),
        ("something else went wrong.", "something else went wrong"),
    ],
)  # fmt: skip
def test_messages_are_cut_down_to_what_is_for_people(message: str, words: str) -> None:
    assert trt_bindings.plain(message) == words


def test_a_module_that_is_not_there_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(name: str) -> Any:
        raise ImportError("libnvinfer.so.10: cannot open shared object file: No such file or directory")

    if importlib.util.find_spec("tensorrt") is None:
        with pytest.raises(MeasureError, match=r"^tensorrt cannot be imported$") as caught:
            trt_bindings.load(trt_bindings.TENSORRT)
        assert "infertop[tensorrt]" in caught.value.fix
    monkeypatch.setattr(trt_bindings, "import_module", lacking)
    with pytest.raises(MeasureError, match=r"imported: libnvinfer\.so\.10 cannot be loaded"):
        trt_bindings.load(trt_bindings.TENSORRT)
