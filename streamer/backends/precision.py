"""In what a step's matrix products are computed."""

from typing import Literal

Precision = Literal["float32", "tf32", "float16"]
"""tf32: float32 whose products have 10 bits of mantissa, on a GPU alone. float16: products and
their weights; the state, gates, softmax, norms, mel front end and heads stay float32."""
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "float16")
