"""Read by pyright alone: NVIDIA's 10.13 stubs offer what our protocols ask for."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorrt

    from streamer.backends import tensorrt_api as ours

    def engine(it: tensorrt.ICudaEngine) -> ours.TensorEngine:
        return it

    def context(it: tensorrt.IExecutionContext) -> ours.Context:
        return it

    def runtime(it: tensorrt.Runtime) -> ours.Runtime:
        return it

    def profile(it: tensorrt.IOptimizationProfile) -> ours.Profile:
        return it

    def timing(it: tensorrt.ITimingCache) -> ours.TimingCache:
        return it

    def config(it: tensorrt.IBuilderConfig) -> ours.BuilderConfig:
        return it

    def builder(it: tensorrt.Builder) -> ours.Builder:
        return it

    def parser(it: tensorrt.OnnxParser) -> tuple[bool, int, ours.ParserError]:
        # not the protocol as a whole: the stub's `path: str = None` contradicts itself
        return it.parse(b""), it.num_errors, it.get_error(0)

    def error(it: tensorrt.ParserError) -> ours.ParserError:
        return it

    def constructed(log: tensorrt.ILogger) -> None:
        made = tensorrt.Builder(log)
        flag = 1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        tensorrt.OnnxParser(made.create_network(flag), log)
        tensorrt.Runtime(log)

    NAMES = (
        tensorrt.BuilderFlag.TF32,
        tensorrt.DataType.BOOL,
        tensorrt.DataType.FLOAT,
        tensorrt.DataType.INT32,
        tensorrt.ExecutionContextAllocationStrategy.USER_MANAGED,
        tensorrt.ILogger.ERROR,
        tensorrt.ILogger.INTERNAL_ERROR,
        tensorrt.IProgressMonitor,
        tensorrt.MemoryPoolType.WORKSPACE,
        tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED,
        tensorrt.TensorIOMode.INPUT,
        tensorrt.TensorIOMode.OUTPUT,
        tensorrt.__version__,
    )
