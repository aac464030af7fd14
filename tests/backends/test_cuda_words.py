"""CUDA's faults in the words of each runtime, as they come: what they are told apart as, and what helps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from infertop.backends import cuda, cuda_words, ort_session, probes, torch_module
from infertop.backends.backend import Input, Loaded
from infertop.backends.errors import MeasureError
from infertop.backends.ort_model import ModelFile
from infertop.backends.torch_compile import TorchCompile
from infertop.tests.backends.fake_cuda import FakeCuda

CALL = (
    "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:121 std::conditional_t<THRW, void, onnxruntime::common::Status>"
    " onnxruntime::CudaCall(ERRTYPE, const char*, const char*, SUCCTYPE, const char*, const char*, int) [with ERRTYPE = {0};"
    " bool THRW = true; SUCCTYPE = {0}] {1} ; GPU=0 ; hostname=box ;"
    " file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider.cc ; line=281 ; expr={2}; "
)
"""How onnxruntime's CUDA provider reports what a call returned."""


def ort(said: str, kind: str = "cudaError", call: str = "cudaSetDevice(info_.device_id)") -> str:
    return CALL.format(kind, said, call)


TORCH = (
    "\nSearch for `cudaError{0}' in https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html for more information."
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect."
    "\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)

NO_CUDNN = (
    "Error in execution: Non-zero status code returned while running Conv node. Name:'node_Conv_54' Status Message:"
    " /onnxruntime_src/onnxruntime/core/providers/cuda/cuda_kernel.h:296 static cudnnContext*"
    " onnxruntime::cuda::CudaKernel::RequireCudnnHandle(cudnnHandle_t) [ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : cuDNN is unavailable or"
    " disabled for CUDA Execution Provider: {0}"
)
"""What onnxruntime 1.31's CUDA provider says where cuDNN, which it opens when the first node needs it, cannot be opened."""

ABSENT = "cannot open shared object file: No such file or directory"

FAULTS = [
    (NO_CUDNN.format(f"dlopen failed for libcudnn.so: libcudnn.so: {ABSENT}"),
     "backend-missing", "libcudnn.so cannot be loaded for node_Conv_54 (Conv)", "onnxruntime-gpu[cudnn]"),
    (NO_CUDNN.format(f"dlopen failed for libcudnn.so.9: libcublas.so.13: {ABSENT}"),
     "backend-missing", "libcublas.so.13 cannot be loaded for node_Conv_54", "onnxruntime-gpu[cuda,cudnn]"),
    (NO_CUDNN.format("dlopen failed for libcudnn.so: /usr/lib/libcudnn.so: file too short"),
     "backend-missing", "libcudnn.so cannot be loaded (file too short) for node", "onnxruntime-gpu[cudnn]"),
    ("cuDNN is not available. Install cuDNN, update the system library search path, or set enable_cudnn=0 to force native CUDA paths where"
     " available.", "backend-missing", "cuDNN cannot be loaded", "onnxruntime-gpu[cudnn]"),
    ("cuFFT is unavailable for CUDA Execution Provider: cuFFT library was not found",
     "backend-missing", "cuFFT cannot be loaded", "onnxruntime-gpu[cuda,cudnn]"),
    (f"Error in dlopen: /env/torch/lib/libtorch_cuda_linalg.so: {ABSENT}",
     "backend-missing", "libtorch_cuda_linalg.so cannot be loaded", "LD_LIBRARY_PATH"),
    (f"Unable to load library: libnvinfer_builder_resource.so.10.3.0: libnvinfer_builder_resource.so.10.3.0: {ABSENT}",
     "backend-missing", "libnvinfer_builder_resource.so.10.3.0 cannot be loaded", "tensorrt>=10,<11"),
    ("libcudnn.so.9: cannot open shared object file: Permission denied",
     "backend-missing", "libcudnn.so.9 cannot be loaded (Permission denied)", "nvidia-cudnn-cu13>=9,<10"),
    (f"[W] Unable to load library: libnvinfer_lean.so.10: {ABSENT}\nError Code 1: Cuda Runtime (out of memory)",
     "out-of-memory", "memory is full", "smaller batch"),
    (f"cuDNN error: CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED: libcudnn_ops.so.9: {ABSENT}",
     "backend-missing", "libcudnn_ops.so.9 cannot be loaded", "nvidia-cudnn-cu13>=9,<10"),
    ("Invalid handle. Cannot load symbol cudnnCreate", "backend-missing", "a part of cuDNN cannot be loaded", "of one version"),
    ("Unable to load any of {libcudnn_ops.so.9.1.0, libcudnn_ops.so.9.1, libcudnn_ops.so.9, libcudnn_ops.so}",
     "backend-missing", "a part of cuDNN cannot be loaded", "of one version"),
    (ort("CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version"), "no-driver", "too old", "update the driver"),
    (ort("CUDA failure 2: out of memory"), "out-of-memory", "memory is full", "smaller batch"),
    (ort("CUDA failure 100: no CUDA-capable device is detected"), "no-gpu", "no such GPU", "nvidia-smi"),
    (ort("CUDA failure 700: an illegal memory access was encountered"), "cuda-fault", "context is lost", "new worker"),
    (ort("CUDA failure 209: no kernel image is available for execution on the device"), "unsupported", "no kernels for this GPU", "compute"),
    (ort("CUDA failure 999: unknown error"), "cuda-fault", "without saying why", "dmesg"),
    (ort("CUDA failure 34: CUDA driver is a stub library"), "no-driver", "stub", "LD_LIBRARY_PATH"),
    (ort("CUDA failure 46: CUDA-capable device(s) is/are busy or unavailable"), "cuda-fault", "busy", "nvidia-smi"),
    (ort("CUDA failure 304: OS call failed or operation not supported on this OS"), "cuda-fault", "operating system", "ulimit"),
    (ort("CUDA failure 801: operation not supported"), "cuda-fault", "does not support", "MIG"),
    (ort("CUDA failure 802: system not yet initialized"), "cuda-fault", "not ready", "fabricmanager"),
    (ort("CUDA failure 12345: some new error"), "cuda-fault", "CUDA failure 12345", "new worker"),
    (ort("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED", "cublasStatus_t", "cublasCreate(&cublas_handle_)"),
     "out-of-memory", "memory is full", "smaller batch"),
    (ort("CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED", "cublasStatus_t", "cublasGemmHelper(a, b)"),
     "cuda-fault", "CUBLAS_STATUS_EXECUTION_FAILED", "new worker"),
    (ort("CUDNN failure 1001: CUDNN_STATUS_NOT_INITIALIZED", "cudnnStatus_t", "cudnnCreate(&cudnn_handle_)"),
     "cuda-fault", "cuDNN could not start", "nvidia-smi"),
    ("CUDA error: out of memory" + TORCH.format("MemoryAllocation"), "out-of-memory", "memory is full", "smaller batch"),
    ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "out-of-memory", "memory is full", "smaller batch"),
    ("cuDNN error: CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH", "cuda-fault", "cuDNN does not fit", "install the cuDNN"),
    ("CUDA error: device-side assert triggered" + TORCH.format("Assert"), "cuda-fault", "context is lost", "new worker"),
    ("CUDA driver error: device-side assert triggered", "cuda-fault", "context is lost", "new worker"),
    ("Triton Error [CUDA]: an illegal memory access was encountered", "cuda-fault", "context is lost", "new worker"),
    ("Triton Error [CUDA]: out of memory", "out-of-memory", "memory is full", "smaller batch"),
    ("CUDA driver error: invalid argument", "cuda-fault", "CUDA driver error: invalid argument", "new worker"),
    ("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.18 GiB of which 15.06 MiB is free.",
     "out-of-memory", "memory is full", "smaller batch"),
    ("The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading and installing a new"
     " version from the URL: http://www.nvidia.com/Download/index.aspx", "no-driver", "too old", "update the driver"),
    ("Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver from"
     " http://www.nvidia.com/Download/index.aspx", "no-driver", "no NVIDIA driver", "--gpus all"),
    ("No CUDA GPUs are available", "no-gpu", "no such GPU", "nvidia-smi"),
    ("CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing env variable CUDA_VISIBLE_DEVICES after"
     " program start. Setting the available devices to be zero.", "cuda-fault", "CUDA unknown error", "new worker"),
    ("Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() that might have already"
     " set an error? Error 804: forward compatibility was attempted on non supported HW", "cuda-fault", "compatibility", "driver itself"),
    ("Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() that might have already"
     " set an error? Error 802: system not yet initialized", "cuda-fault", "not ready", "fabricmanager"),
    ("[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)", "out-of-memory", "memory is full", "smaller batch"),
    ("IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (misaligned address)", "cuda-fault", "misaligned address", "new worker"),
    ("IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (operation not supported on global/shared address space)",
     "cuda-fault", "context is lost", "new worker"),
    ("createInferRuntime: Error Code 6: API Usage Error (CUDA initialization failure with error: 35. Please check your CUDA installation)",
     "no-driver", "too old", "update the driver"),
    ("cuMemAlloc failed: out of memory", "out-of-memory", "memory is full", "smaller batch"),
    ("cuCtxSynchronize failed: unspecified launch failure", "cuda-fault", "context is lost", "new worker"),
    ("cuInit failed: no CUDA-capable device is detected", "no-gpu", "no such GPU", "nvidia-smi"),
]  # fmt: skip

INNOCENT = [
    "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input: x for the following indices",
    "/onnxruntime_src/onnxruntime/core/providers/cuda/math/matmul.cc:99 onnxruntime::cuda::MatMul: left operand cannot broadcast",
    "/onnxruntime_src/onnxruntime/core/framework/allocation_planner.cc:233 onnxruntime::PlannerImpl::Index: not found",
    "mat1 and mat2 shapes cannot be multiplied (4x5 and 4x4)",
    "operation not supported",
    "Out of memory",  # the host's
    "the custom operator cumsum failed: unknown error",
    "",
]


def told(error: MeasureError, text: str, kind: str, says: str, fix: str) -> None:
    assert error.kind == kind
    assert says in error.message
    assert "\n" not in error.message
    assert fix in error.fix
    assert error.detail == text


@pytest.mark.parametrize(("text", "kind", "says", "fix"), FAULTS)
def test_a_fault_is_told_by_what_it_is_whoever_reports_it(text: str, kind: str, says: str, fix: str) -> None:
    found = cuda_words.explain(text, "b")
    assert found is not None
    told(found, text, kind, says, fix)


@pytest.mark.parametrize(("backend", "wheel"), [("onnxruntime-cuda", "cu12"), ("torch-eager", "cu13")])
def test_the_cudnn_that_is_missing_is_the_one_for_the_cuda_that_the_runtime_was_built_for(
    backend: str, wheel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "onnxruntime_facts", lambda: {"cuda_version": "12.8"})
    found = cuda_words.explain(
        "libcudnn.so.9: cannot open shared object file: No such file or directory", backend
    )
    assert found is not None
    assert f"nvidia-cudnn-{wheel}>=9,<10" in found.fix


@pytest.mark.parametrize("text", INNOCENT)
def test_what_is_not_cuda_s_is_left_to_others(text: str) -> None:
    assert cuda_words.explain(text, "b") is None


@pytest.mark.parametrize(("text", "kind", "says", "fix"), FAULTS)
def test_each_runtime_s_own_explanation_asks_here_first(text: str, kind: str, says: str, fix: str) -> None:
    """Neither is the model unreadable, nor are the inputs wrong: kinds that would keep a worker whose context is lost."""
    known = Loaded([Input("x", "float32", (1,))], 1, assumed={"seq": 128})
    error = RuntimeError(text)
    told(ort_session.explain(error, known, "onnxruntime-cuda"), text, kind, says, fix)
    told(
        torch_module.explain(torch, error, known.inputs, known.assumed, "torch-eager"), text, kind, says, fix
    )
    told(TorchCompile()._explain(error), text, kind, says, fix)

    def refuses(*_: Any, **__: Any) -> None:
        raise error

    runtime = SimpleNamespace(__version__="1.31.1", InferenceSession=refuses)
    with pytest.raises(MeasureError) as caught:
        ort_session.create(runtime, ModelFile("m.onnx", "m.onnx"), None, [])
    told(caught.value, text, kind, says, fix)


@pytest.mark.parametrize(("code", "fix"), [
    (34, "LD_LIBRARY_PATH"), (46, "nvidia-smi"), (304, "ulimit"), (801, "MIG"), (802, "fabricmanager"), (803, "reboot"),
])  # fmt: skip
def test_the_driver_s_codes_come_with_a_remedy(code: int, fix: str) -> None:
    fake = FakeCuda()
    fake.fail["cuInit"] = code
    with pytest.raises(MeasureError) as caught:
        cuda.Driver(fake)
    assert fix in caught.value.fix
    assert "cuInit" in caught.value.detail
