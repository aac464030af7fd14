"""What CUDA and its libraries report, by whichever runtime it comes, as one sentence and what to do about it.

Codes, names and words: cuda.h and driver_types.h of CUDA 12 and 13 (cuGetErrorName, cudaGetErrorString), cublas_api.h, cudnn_graph.h.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from . import libraries, probes
from .errors import MeasureError

OUT_OF_MEMORY, NO_DEVICE, INVALID_DEVICE, NOT_READY = 2, 100, 101, 600


@dataclass(frozen=True)
class _Fault:
    """A code of CUDA's. `words` are the runtime's own; an empty `says` leaves them as the sentence."""

    code: int
    driver: str  # CUDA_ERROR_…
    runtime: str  # cudaError…
    words: str
    kind: str
    says: str = ""
    fix: str = ""


_NEW = "run again in a new worker"
_MPS = "see that nvidia-cuda-mps-control runs, or unset CUDA_MPS_PIPE_DIRECTORY to do without it"

_LOST = (
    (214, "ECC_UNCORRECTABLE", "ECCUncorrectable", "uncorrectable ECC error encountered"),
    (220, "NVLINK_UNCORRECTABLE", "NvlinkUncorrectable", "uncorrectable NVLink error detected during the execution"),
    (700, "ILLEGAL_ADDRESS", "IllegalAddress", "an illegal memory access was encountered"),
    (702, "LAUNCH_TIMEOUT", "LaunchTimeout", "the launch timed out and was terminated"),
    (709, "CONTEXT_IS_DESTROYED", "ContextIsDestroyed", "context is destroyed"),
    (710, "ASSERT", "Assert", "device-side assert triggered"),
    (714, "HARDWARE_STACK_ERROR", "HardwareStackError", "hardware stack error"),
    (715, "ILLEGAL_INSTRUCTION", "IllegalInstruction", "an illegal instruction was encountered"),
    (716, "MISALIGNED_ADDRESS", "MisalignedAddress", "misaligned address"),
    (717, "INVALID_ADDRESS_SPACE", "InvalidAddressSpace", "operation not supported on global/shared address space"),
    (718, "INVALID_PC", "InvalidPc", "invalid program counter"),
    (719, "LAUNCH_FAILED", "LaunchFailure", "unspecified launch failure"),
)  # fmt: skip
"""After one of these the context is lost: every later call fails, only a new process helps (cuda.h says so at each)."""

_FAULTS = (
    _Fault(OUT_OF_MEMORY, "OUT_OF_MEMORY", "MemoryAllocation", "out of memory", "out-of-memory",
           "the GPU's memory is full", "try a smaller batch, or see in nvidia-smi who else has it"),
    _Fault(34, "STUB_LIBRARY", "StubLibrary", "CUDA driver is a stub library", "no-driver",
           "the CUDA toolkit's stub was loaded in the place of the driver's libcuda.so.1",
           "take the folder that ends in /stubs out of LD_LIBRARY_PATH"),
    _Fault(35, "INSUFFICIENT_DRIVER", "InsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version", "no-driver",
           "the NVIDIA driver is missing, or too old for this runtime's CUDA",
           "update the driver, or install a build of the runtime for the CUDA that nvidia-smi shows"),
    _Fault(46, "DEVICE_UNAVAILABLE", "DevicesUnavailable", "busy or unavailable", "cuda-fault",
           "the GPU is busy or unavailable: in exclusive mode it takes one process only",
           "end the process that nvidia-smi lists, or allow several with nvidia-smi -c DEFAULT"),
    _Fault(NO_DEVICE, "NO_DEVICE", "NoDevice", "no CUDA-capable device is detected", "no-gpu",
           "CUDA sees no such GPU", "see what nvidia-smi lists"),
    _Fault(INVALID_DEVICE, "INVALID_DEVICE", "InvalidDevice", "invalid device ordinal", "no-gpu",
           "CUDA sees no such GPU", "see what nvidia-smi lists"),
    _Fault(209, "NO_BINARY_FOR_GPU", "NoKernelImageForDevice", "no kernel image is available for execution on the device", "unsupported",
           "this build of the runtime has no kernels for this GPU",
           "install a build for its compute capability (nvidia-smi --query-gpu=compute_cap --format=csv)"),
    _Fault(222, "UNSUPPORTED_PTX_VERSION", "UnsupportedPtxVersion", "PTX was compiled with an unsupported toolchain", "no-driver",
           "the NVIDIA driver is older than the compiler that made these kernels", "update the driver"),
    _Fault(304, "OPERATING_SYSTEM", "OperatingSystem", "OS call failed or operation not supported on this OS", "cuda-fault",
           "a call of CUDA's to the operating system failed",
           "see dmesg; page-locked memory needs room in ulimit -l, a container its /dev/nvidia* devices"),
    _Fault(801, "NOT_SUPPORTED", "NotSupported", "operation not supported", "cuda-fault",
           "this GPU or driver does not support a call of the runtime's",
           "see whether it is a vGPU or a MIG part, which lack some; else update the driver"),
    _Fault(802, "SYSTEM_NOT_READY", "SystemNotReady", "system not yet initialized", "cuda-fault",
           "the GPUs are not ready: on NVSwitch systems the fabric manager starts them",
           "start nvidia-fabricmanager of the driver's version (systemctl status nvidia-fabricmanager)"),
    _Fault(803, "SYSTEM_DRIVER_MISMATCH", "SystemDriverMismatch", "unsupported display driver / cuda driver combination", "cuda-fault",
           "the NVIDIA driver in the kernel and its library are of different versions (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)",
           "reboot, or reload the driver"),
    _Fault(804, "COMPAT_NOT_SUPPORTED_ON_DEVICE", "CompatNotSupportedOnDevice", "forward compatibility was attempted on non supported HW",
           "cuda-fault", "this GPU does not take the driver's compatibility package",
           "install the driver itself, or take the cuda-compat folder out of LD_LIBRARY_PATH"),
    _Fault(805, "MPS_CONNECTION_FAILED", "MpsConnectionFailed", "failed to connect to the MPS control daemon", "cuda-fault", fix=_MPS),
    _Fault(806, "MPS_RPC_FAILURE", "MpsRpcFailure", "call between the MPS server and the MPS client failed", "cuda-fault", fix=_MPS),
    _Fault(807, "MPS_SERVER_NOT_READY", "MpsServerNotReady", "MPS server is not ready to accept new MPS client", "cuda-fault", fix=_MPS),
    _Fault(999, "UNKNOWN", "Unknown", "unknown error", "cuda-fault",
           "the driver failed without saying why", "see dmesg; after a suspend reload the module nvidia_uvm"),
    *(_Fault(code, driver, runtime, words, "cuda-fault", f"{words}, and the GPU's context is lost", _NEW)
      for code, driver, runtime, words in _LOST),
)  # fmt: skip

_BY_CODE = {fault.code: fault for fault in _FAULTS}
_BY_NAME = {
    name.replace("_", "").lower(): fault for fault in _FAULTS for name in (fault.driver, fault.runtime)
}
_UNMISTAKABLE = [fault for fault in _FAULTS if fault.code not in (OUT_OF_MEMORY, 709, 801, 999)]
"""Those whose words nothing else says, so that they count without a word of CUDA before them; a host's memory may be out too."""

_MARK = re.compile(
    r"cuda (?:driver |runtime |kernel |unknown )?(?:error|failure)|cuda initialization failure with error|triton error \[cuda\]"
    r"|cuda (?:runtime|driver) (?=\()|cudaGetDeviceCount\(\).*?\berror|(?-i:\bcu[A-Z][A-Za-z]+ failed)",
    re.IGNORECASE,
)
"""What comes before a code or its words: onnxruntime's, torch's, Triton's, TensorRT's and pycuda's own."""

_LIBRARIES = {"CUBLAS": "cuBLAS", "CUBLASLT": "cuBLASLt", "CUDNN": "cuDNN", "CUSOLVER": "cuSOLVER", "CUSPARSE": "cuSPARSE",
              "CUFFT": "cuFFT", "CURAND": "cuRAND"}  # fmt: skip
_NAME = re.compile(r"CUDA_ERROR_([A-Z_]+)|\bcudaError([A-Z][A-Za-z]+)")
_STATUS = re.compile(rf"\b({'|'.join(_LIBRARIES)})_(?:STATUS_)?([A-Z][A-Z_]+)")
_LENGTH = 200

_TORCH = (
    ("driver on your system is too old", 35),
    ("Found no NVIDIA driver on your system", None),
    ("No CUDA GPUs are available", NO_DEVICE),
    ("CUDA out of memory", OUT_OF_MEMORY),
)  # fmt: skip


_NODE = re.compile(r"while running (\S+) node\. Name: ?'([^'\n]+)'")
"""How onnxruntime names the node that a request failed in."""

_NODE_LENGTH = 120


def explain(text: str, backend: str) -> MeasureError | None:
    """What a runtime's message says of CUDA, or of a library that it could not load, as an error of the backend's; None where it says
    nothing of them."""
    for fault in (_marked(text), _named(text)):
        if fault is not None:
            return _error(fault, backend, text)
    lacking = libraries.lack(text)
    if lacking is not None:
        return _missing(lacking, backend, text)
    status = _status(text, backend)
    if status is not None:
        return status
    for words, code in _TORCH:
        if words in text:
            return no_driver(text) if code is None else _error(_BY_CODE[code], backend, text)
    lower = text.lower()
    for fault in _UNMISTAKABLE:
        if fault.words.lower() in lower:
            return _error(fault, backend, text)
    if _MARK.search(text):
        return MeasureError("cuda-fault", f"{backend}: {_line(text)}", _NEW, text)
    return None


def of_code(code: int, name: str, function: str) -> MeasureError:
    """What a call of the driver's returned; `name` is cuGetErrorName's."""
    fault = _BY_CODE.get(code)
    detail = f"{function}: {name}"
    if fault is None:
        return MeasureError(
            "cuda-fault", f"CUDA's driver reported {name}", "see the detail, and dmesg", detail
        )
    return MeasureError(fault.kind, _sentence(fault), fault.fix, detail)


def no_driver(detail: str) -> MeasureError:
    """There is no libcuda."""
    return MeasureError(
        "no-driver",
        "there is no NVIDIA driver here (libcuda.so.1 cannot be loaded)",
        "install the driver; in a container start it with GPU access (--gpus all)",
        detail,
    )


def _missing(lacking: libraries.Lack, backend: str, text: str) -> MeasureError:
    """A library that the runtime opens only when something needs it: kind, words and remedy are those of one that a probe misses."""
    node = _NODE.search(text)
    needed = f" for {node[2][:_NODE_LENGTH]} ({node[1]})" if node else ""
    built = probes.cuda_version() if backend.startswith("onnxruntime") else ""
    return MeasureError(
        "backend-missing", lacking.words + needed, libraries.source(lacking.name, built), text
    )


def too_old(runtime: str, needs: str, has: str) -> tuple[str, str]:
    """Reason and fix where the driver's newest CUDA is of an earlier major version than the runtime's: within one, all go together."""
    return (
        f"the NVIDIA driver runs CUDA up to {has}, and this {runtime} is built for CUDA {needs}",
        f"update the driver, or install a {runtime} for CUDA {has.partition('.')[0]}",
    )


def visible() -> str:
    """What hides GPUs, in brackets; empty where nothing does."""
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "" if value is None else f" (CUDA_VISIBLE_DEVICES is {value!r})"


def _marked(text: str) -> _Fault | None:
    """The code or the words behind the first mark that has any."""
    for mark in _MARK.finditer(text):
        behind = text[mark.end() : mark.end() + _LENGTH]
        number = re.match(r"\W{0,3}(\d{1,3})\b", behind)
        if number and int(number[1]) in _BY_CODE:
            return _BY_CODE[int(number[1])]
        lower = behind.lower()
        found = [(lower.index(f.words.lower()), f) for f in _FAULTS if f.words.lower() in lower]
        if found:
            # 717's words begin like 801's: the longer ones are meant.
            return min(found, key=lambda at: (at[0], -len(at[1].words)))[1]
    return None


def _named(text: str) -> _Fault | None:
    for name in _NAME.finditer(text):
        fault = _BY_NAME.get((name[1] or name[2]).replace("_", "").lower())
        if fault is not None:
            return fault
    return None


def _status(text: str, backend: str) -> MeasureError | None:
    """A status of one of CUDA's libraries."""
    found = _STATUS.search(text)
    if found is None:
        return None
    library, status = _LIBRARIES[found[1]], found[2]
    if "ALLOC" in status:
        return _error(_BY_CODE[OUT_OF_MEMORY], backend, text)
    if status.startswith("NOT_INITIALIZED"):
        fix = f"see in nvidia-smi whether the GPU's memory is full; else {library} is not the one that fits driver and runtime"
        return MeasureError("cuda-fault", f"{backend}: {library} could not start", fix, text)
    if "MISMATCH" in status or "LOADING_FAILED" in status:
        fix = f"install the {library} that the runtime was built for, and only that one"
        return MeasureError("cuda-fault", f"{backend}: {library} does not fit ({found[0]})", fix, text)
    return MeasureError("cuda-fault", f"{backend}: {library} reported {found[0]}", _NEW, text)


def _error(fault: _Fault, backend: str, text: str) -> MeasureError:
    return MeasureError(fault.kind, f"{backend}: {_sentence(fault)}", fault.fix, text)


def _sentence(fault: _Fault) -> str:
    return (fault.says or f"CUDA says: {fault.words}") + (visible() if fault.kind == "no-gpu" else "")


def _line(text: str) -> str:
    """The line with the mark, from the mark on."""
    mark = _MARK.search(text)
    lines = text[mark.start() if mark else 0 :].strip().splitlines()
    return lines[0][:_LENGTH] if lines else "an error without words"
