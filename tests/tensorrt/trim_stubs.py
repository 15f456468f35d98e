"""Write `stubs/tensorrt/__init__.pyi`: the part of tensorrt-stubs 10.13 that we use.

  pip download --no-deps tensorrt-stubs==10.13.0.35.1; unzip it
  python trim_stubs.py PATH/tensorrt_bindings/tensorrt.pyi

Signatures as they are there, without their words; other classes become empty.
"""

import ast
import re
import sys
from pathlib import Path

KEPT = {
    "Builder": "__init__ create_network create_builder_config create_optimization_profile "
    "build_serialized_network",
    "BuilderFlag": "TF32",
    "DataType": "BOOL FLOAT INT32",
    "ExecutionContextAllocationStrategy": "USER_MANAGED",
    "IBuilderConfig": "progress_monitor set_memory_pool_limit add_optimization_profile set_flag "
    "clear_flag create_timing_cache set_timing_cache get_timing_cache",
    "ICudaEngine": "num_io_tensors device_memory_size_v2 get_tensor_name get_tensor_mode "
    "get_tensor_dtype get_tensor_shape create_execution_context",
    "IExecutionContext": "set_input_shape set_tensor_address set_device_memory execute_async_v3",
    "ILogger": "ERROR INTERNAL_ERROR __init__ log",
    "IOptimizationProfile": "set_shape",
    "IProgressMonitor": "__init__ phase_start phase_finish step_complete",
    "ITimingCache": "serialize",
    "MemoryPoolType": "WORKSPACE",
    "NetworkDefinitionCreationFlag": "STRONGLY_TYPED __int__",
    "OnnxParser": "__init__ parse num_errors get_error",
    "ParserError": "desc",
    "Runtime": "__init__ deserialize_cuda_engine",
    "TensorIOMode": "INPUT OUTPUT",
}


def name_of(node: ast.stmt) -> str:
    match node:
        case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case _:
            return ""


# class by class: as a whole the file does not parse, of a default before no default
blocks = re.split(r"^(?=class )", Path(sys.argv[1]).read_text("utf-8"), flags=re.MULTILINE)[1:]
classes = {re.match(r"class (\w+)", block)[1]: block for block in blocks}
kept: list[ast.stmt] = []
for name in KEPT:
    node = ast.parse(classes[name]).body[0]
    if isinstance(node, ast.ClassDef):
        wanted = KEPT[node.name].split()
        node.body = [child for child in node.body if name_of(child) in wanted]
        if missing := set(wanted) - {name_of(child) for child in node.body}:
            sys.exit(f"{node.name} has no {', '.join(missing)}")
        for child in node.body:
            if isinstance(child, ast.FunctionDef):
                child.body = [ast.Expr(ast.Constant(...))]
        kept.append(node)
defined = {node.name for node in kept if isinstance(node, ast.ClassDef)}
used = {n.id for node in kept for n in ast.walk(node) if isinstance(n, ast.Name)}
kept += [
    ast.ClassDef(name, [], [], [ast.Expr(ast.Constant(...))], [])
    for name in sorted((used & classes.keys()) - defined)
]
head = "import typing\n\nimport typing_extensions\n\n__version__: str\n"
module = ast.fix_missing_locations(ast.Module(kept, []))
path = Path(__file__).parent / "stubs" / "tensorrt" / "__init__.pyi"
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text("from __future__ import annotations\n" + head + ast.unparse(module) + "\n", "utf-8")
