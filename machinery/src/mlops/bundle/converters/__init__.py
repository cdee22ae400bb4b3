"""Exact float64 ONNX converters for what skl2onnx 1.20 converts in float32, wrongly, or not at all.

One module a subject: `trees` and the `ensembles` of them, `encoders` of categories, `gaps`, `curves` (bins, splines, powers),
`kernels` (support vectors), `targets`, `spark` (features that were fitted there).
`graph` is what they write with, and registers them.
"""

from __future__ import annotations

from typing import Any


def register() -> None:
    """Put these converters in skl2onnx's registry, over its own."""
    import skl2onnx.operator_converters  # noqa: F401  its own converters are registered first

    from mlops.bundle.converters import curves, encoders, ensembles, gaps, kernels, spark, targets

    for module in (curves, encoders, ensembles, gaps, kernels, spark, targets):
        module.register()


def raise_opset(model: Any) -> None:
    """Declare ai.onnx.ml 5 in a converted model that uses TreeEnsemble: skl2onnx itself writes at most 3."""
    if any(node.op_type == "TreeEnsemble" for node in model.graph.node):
        for domain in model.opset_import:
            if domain.domain == "ai.onnx.ml":
                domain.version = 5
