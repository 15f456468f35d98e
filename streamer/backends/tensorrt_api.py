"""What is used of TensorRT's Python API, 10.x and 11.x alike, and finding it.

These protocols are the whole list: pyright holds our code to them, and tests
hold them to NVIDIA's stubs of 10.13 and to the real bindings of 11.4.
"""

from importlib import import_module
from typing import Any, Protocol, cast

from streamer.errors import BackendError


class Context(Protocol):
    """`IExecutionContext`."""

    def set_input_shape(self, name: str, shape: tuple[int, ...], /) -> bool: ...  # noqa: D102
    def set_tensor_address(self, name: str, memory: int, /) -> bool: ...  # noqa: D102
    def set_device_memory(self, memory: int, size: int, /) -> None: ...  # noqa: D102
    def execute_async_v3(self, stream_handle: int, /) -> bool: ...  # noqa: D102


class TensorEngine(Protocol):
    """`ICudaEngine`."""

    @property
    def num_io_tensors(self) -> int: ...  # noqa: D102
    @property
    def device_memory_size_v2(self) -> int: ...  # noqa: D102
    def get_tensor_name(self, index: int, /) -> str: ...  # noqa: D102
    def get_tensor_mode(self, name: str, /) -> Any: ...  # noqa: D102
    def get_tensor_dtype(self, name: str, /) -> Any: ...  # noqa: D102
    def get_tensor_shape(self, name: str, /) -> Any: ...  # noqa: D102
    def create_execution_context(self, strategy: Any, /) -> Context | None: ...  # noqa: D102


class Runtime(Protocol):
    """`Runtime`; never made before a CUDA driver has answered, since it would crash."""

    def deserialize_cuda_engine(self, serialized_engine: Any, /) -> TensorEngine | None: ...  # noqa: D102


class Profile(Protocol):
    """`IOptimizationProfile`."""

    def set_shape(self, input: str, min: Any, opt: Any, max: Any, /) -> None: ...  # noqa: D102


class TimingCache(Protocol):
    """`ITimingCache`."""

    def serialize(self) -> Any: ...  # noqa: D102


class BuilderConfig(Protocol):
    """`IBuilderConfig`."""

    progress_monitor: Any

    def set_memory_pool_limit(self, pool: Any, pool_size: int, /) -> None: ...  # noqa: D102
    def add_optimization_profile(self, profile: Any, /) -> int: ...  # noqa: D102
    def set_flag(self, flag: Any, /) -> None: ...  # noqa: D102
    def clear_flag(self, flag: Any, /) -> None: ...  # noqa: D102
    def create_timing_cache(self, serialized_timing_cache: bytes, /) -> TimingCache: ...  # noqa: D102
    def set_timing_cache(self, cache: Any, ignore_mismatch: bool, /) -> bool: ...  # noqa: D102
    def get_timing_cache(self) -> TimingCache: ...  # noqa: D102


class Builder(Protocol):
    """`Builder`."""

    def create_network(self, flags: int, /) -> Any: ...  # noqa: D102
    def create_builder_config(self) -> BuilderConfig: ...  # noqa: D102
    def create_optimization_profile(self) -> Profile: ...  # noqa: D102
    def build_serialized_network(self, network: Any, config: Any, /) -> Any: ...  # noqa: D102


class ParserError(Protocol):
    """`ParserError`."""

    def desc(self) -> str: ...  # noqa: D102


class Parser(Protocol):
    """`OnnxParser`."""

    @property
    def num_errors(self) -> int: ...  # noqa: D102
    def parse(self, model: bytes, /) -> bool: ...  # noqa: D102
    def get_error(self, index: int, /) -> ParserError: ...  # noqa: D102


MODULE_NAMES = (
    "Builder",
    "BuilderFlag.TF32",
    "DataType.BOOL",
    "DataType.FLOAT",
    "DataType.INT32",
    "ExecutionContextAllocationStrategy.USER_MANAGED",
    "ILogger.ERROR",
    "ILogger.INTERNAL_ERROR",
    "IProgressMonitor",
    "MemoryPoolType.WORKSPACE",
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
    "OnnxParser",
    "Runtime",
    "TensorIOMode.INPUT",
    "TensorIOMode.OUTPUT",
    "__version__",
)
"""What is read of the module `tensorrt` itself."""


class Api:
    """The module `tensorrt`, typed as far as it is used.

    module: `tensorrt` or what behaves like it. Messages go to `log`, where the
    reasons of a failure are found: TensorRT only returns None.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.version = str(module.__version__)
        self.errors = list[str]()
        errors = self.errors
        bad = (module.ILogger.ERROR, module.ILogger.INTERNAL_ERROR)

        class Log(module.ILogger):
            def __init__(self) -> None:
                module.ILogger.__init__(self)

            def log(self, severity: Any, msg: str) -> None:
                if severity in bad:
                    errors.append(msg)
                    del errors[:-20]

        self._log: Any = Log()  # TensorRT keeps no reference of its own

    def runtime(self) -> Runtime:
        """Return a runtime; only where a CUDA driver answers."""
        return cast(Runtime, self.module.Runtime(self._log))

    def builder(self) -> Builder:
        """Return a builder; only where a CUDA driver answers."""
        return cast(Builder, self.module.Builder(self._log))

    def parser(self, network: Any) -> Parser:
        """Return an ONNX parser that fills a network."""
        return cast(Parser, self.module.OnnxParser(network, self._log))

    def reason(self) -> str:
        """Return what TensorRT said last, and forget it."""
        said = self.errors[-1].strip().splitlines()[0][:300] if self.errors else "it said nothing"
        self.errors.clear()
        return said


def load_tensorrt() -> Api:
    """Import TensorRT; raises `BackendError` where it is missing or half installed."""
    try:
        module = import_module("tensorrt")
    except (ImportError, OSError) as error:
        raise BackendError(
            f"TensorRT is not installed ({error}): pip install tensorrt, and gesture engine build"
        ) from error
    if not hasattr(module, "Runtime"):  # a folder of type stubs imports as an empty package
        raise BackendError("the package tensorrt holds no library: pip install tensorrt")
    return Api(module)
