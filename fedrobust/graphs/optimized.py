"""What TensorFlow makes of a traced function at its first call: loops lowered, calls inlined, constants folded.

That takes as long as tracing, and depends on nothing but the function, the devices and the version of TensorFlow. So
the result is what is kept, with oneDNN's operations in the place of TensorFlow's where those are used, and a function
that is read is told not to be optimised once more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from fedrobust.lazy import tf

_collecting = threading.Lock()
"""TensorFlow collects the graphs of a whole process."""

ENDS = ("_Arg", "_Retval")
"""Nodes of a graph that stand for a function's arguments and results."""


def first_call(traced: Any, call: Callable[[], Any]) -> tuple[Any, Any]:
    """Return what `call` returns, and the GraphDef that TensorFlow made of the function for it.

    Args:
        traced: the concrete function, not called before.
        call: calls it.

    Returns:
        The results, and the graph as it is executed; None where TensorFlow does not show it, or executes parts of it on
        several devices.
    """
    # Starts TensorFlow.
    from tensorflow.python.eager import context as eager

    with _collecting:
        context = eager.context()
        context.enable_graph_collection()
        try:
            found = call()
            metadata = context.export_run_metadata()
        finally:
            context.disable_graph_collection()
    nodes = {node.name for node in traced.function_def.node_def}
    for graphs in metadata.function_graphs:
        if nodes <= {node.name for node in graphs.pre_optimization_graph.node}:
            parts = graphs.partition_graphs
            return found, _paired(parts[0]) if len(parts) == 1 else None
    return found, None


def _paired(graph: Any) -> Any:
    """Return `graph` with oneDNN's gradient of every pooling of oneDNN's, which uses what the pooling stored for it.

    oneDNN's operations take the place of TensorFlow's in an order that, in a loop, is chance: a gradient that is met
    before its pooling stays TensorFlow's, which finds the same numbers in ten times the time.
    """
    pools = {node.name: node for node in graph.node if node.op == "_MklNativeMaxPool"}
    for node in graph.node:
        pool = pools.get(node.input[1]) if node.op == "MaxPoolGrad" else None
        if pool is not None and pool.attr["workspace_enabled"].b:
            node.op = "_MklNativeMaxPoolGrad"
            node.input.insert(3, f"{pool.name}:1")
            for name in ("workspace_enabled", "_kernel"):
                node.attr[name].CopyFrom(pool.attr[name])
    return graph


def as_function(graph: Any, signature: Any) -> Any:
    """Return TensorFlow's FunctionDef of a graph with a node for every argument that it uses and every result.

    Args:
        graph: a GraphDef.
        signature: an OpDef, the function's name, arguments and results.
    """
    library = tf.Graph().as_graph_def().library
    function = library.function.add()
    function.signature.CopyFrom(signature)
    sources = dict(_outputs(graph))
    for node in graph.node:
        if node.op == "_Arg":
            sources[node.name] = signature.input_arg[node.attr["index"].i].name
    for node in graph.node:
        inputs = [name if name.startswith("^") else sources[name] for name in node.input]
        if node.op == "_Retval":
            function.ret[signature.output_arg[node.attr["index"].i].name] = inputs[0]
        elif node.op != "_Arg":
            copy = function.node_def.add()
            copy.CopyFrom(node)
            copy.input[:] = inputs
    return function


def _outputs(graph: Any) -> Iterator[tuple[str, str]]:
    """Yield how a graph and how a function calls each output: by its number, and by its argument's name."""
    # Starts TensorFlow.
    from tensorflow.python.framework import op_def_registry

    for node in graph.node:
        if node.op in ENDS:
            continue
        number = 0
        for argument in op_def_registry.get(node.op).output_arg:
            for place in range(_length(argument, node.attr)):
                output = f"{node.name}:{argument.name}:{place}"
                yield f"{node.name}:{number}", output
                if number == 0:
                    yield node.name, output
                number += 1


def _length(argument: Any, attributes: Any) -> int:
    """Return how many tensors an output is."""
    if argument.number_attr:
        return int(attributes[argument.number_attr].i)
    if argument.type_list_attr:
        return len(attributes[argument.type_list_attr].list.type)
    return 1
