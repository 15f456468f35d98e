"""Write `attributes.json`: what the real TensorRT 11 and CUDA bindings offer.

  pip download --no-deps tensorrt-lean-cu13-bindings tensorrt-lean-cu13-libs cuda-bindings
  unzip the wheels; PYTHONPATH=<them> LD_LIBRARY_PATH=<tensorrt_lean_libs> python attributes.py

Neither a GPU nor a driver is needed. The lean bindings are the run-time half of
TensorRT: builder, network, builder's configuration and parser are not in them.
"""

import json
from pathlib import Path

import tensorrt_lean_bindings as tensorrt
from cuda.bindings import runtime

CLASSES = (
    "BuilderFlag",
    "DataType",
    "ExecutionContextAllocationStrategy",
    "ICudaEngine",
    "IExecutionContext",
    "ILogger",
    "IOptimizationProfile",
    "IProgressMonitor",
    "ITimingCache",
    "MemoryPoolType",
    "Runtime",
    "TensorIOMode",
)


def public(thing: object) -> list[str]:
    return sorted(name for name in dir(thing) if not name.startswith("_"))


found = {
    "tensorrt": tensorrt.__version__,
    "module": public(tensorrt),
    "classes": {name: public(getattr(tensorrt, name)) for name in CLASSES},
    "cuda": [name for name in public(runtime) if name.startswith("cuda") and "_" not in name],
    "cuda_enums": {
        name: public(getattr(runtime, name)) for name in ("cudaMemcpyKind", "cudaStreamCaptureMode")
    },
}
found["cuda"] = [n for n in found["cuda"] if callable(getattr(runtime, n))]
path = Path(__file__).with_name("attributes.json")
path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
