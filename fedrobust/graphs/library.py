"""An optimised function as bytes, and back: TensorFlow's own description of it and of all functions that it calls.

A function that is read is run as TensorFlow runs a traced one, without Python's side of the graph, and without being
optimised once more. There is no public name for that: `add_function_def` and `execute` of TensorFlow's eager runtime
are internal ones. Where a version of TensorFlow has not got them, reading raises an AttributeError or ImportError, and
the function is traced as ever.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from fedrobust.graphs.optimized import as_function
from fedrobust.lazy import tf


class NotKeepableError(ValueError):
    """A traced function depends on more than its arguments, or returns more than tensors."""


def to_bytes(traced: Any, graph: Any) -> bytes:
    """Return a traced function as bytes.

    Args:
        traced: a concrete function of tensors, which returns a tensor or several.
        graph: the GraphDef that TensorFlow made of it.

    Raises:
        NotKeepableError: it holds tensors of its own, or returns something else.
    """
    results = traced.structured_outputs
    alone = tf.is_tensor(results)
    if traced.captured_inputs or not (
        alone or (isinstance(results, list | tuple) and all(map(tf.is_tensor, results)))
    ):
        raise NotKeepableError(f"{traced.name}: it is more than a function of tensors to tensors")
    library = tf.Graph().as_graph_def().library
    library.function.append(as_function(graph, traced.function_def.signature))
    library.function.extend(graph.library.function)
    renamed(library, _unique(library))
    head = {
        "name": library.function[0].signature.name,
        "results": len(library.function[0].signature.output_arg),
        "alone": alone,
    }
    return json.dumps(head).encode() + b"\n" + library.SerializeToString(deterministic=True)


def from_bytes(content: bytes) -> Callable[[Sequence[tf.Tensor]], Any]:
    """Return the function that `to_bytes` wrote, of the tensors of its signature in their order.

    Raises:
        ValueError: it is no such function.
        AttributeError, ImportError: this version of TensorFlow cannot do it.
    """
    # Starts TensorFlow.
    from tensorflow.python.eager import context as eager
    from tensorflow.python.eager.execute import execute

    head_line, _, body = content.partition(b"\n")
    head = json.loads(head_line)
    library = tf.Graph().as_graph_def().library
    library.ParseFromString(body)
    context = eager.context()
    context.ensure_initialized()
    for function in library.function:
        if not context.has_function(function.signature.name):
            context.add_function_def(function)
    name, results, alone = head["name"], head["results"], head["alone"]
    options = ("executor_type", "", "config_proto", _as_it_is())

    def call(arguments: Sequence[tf.Tensor]) -> Any:
        found = execute(name, results, list(arguments), options, context)
        return found[0] if alone else tuple(found)

    return call


def _as_it_is() -> bytes:
    """Return the configuration with which TensorFlow does not optimise a function."""
    # Starts TensorFlow.
    from tensorflow.core.protobuf import config_pb2

    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return bytes(config.SerializeToString())


def renamed(library: Any, names: dict[str, str]) -> None:
    """Give the functions of `library` other names, and use them wherever one is called.

    Args:
        library: TensorFlow's FunctionDefLibrary; changed.
        names: old to new.
    """
    for function in library.function:
        function.signature.name = names[function.signature.name]
        for node in function.node_def:
            node.op = names.get(node.op, node.op)
            for value in node.attr.values():
                # To write to what a value does not hold would clear what it holds.
                called = {"func": [value.func], "list": value.list.func}.get(value.WhichOneof("value"), ())
                for each in called:
                    each.name = names.get(each.name, each.name)


def _unique(library: Any) -> dict[str, str]:
    """Return names that no function of another graph has: TensorFlow numbers them, and begins anew in every process."""
    digest = hashlib.sha256(library.SerializeToString(deterministic=True)).hexdigest()[:24]
    return {
        function.signature.name: f"__fedrobust_{digest}_{place}"
        for place, function in enumerate(library.function)
    }
