"""Write ONNX: nodes and constants, by the names of their outputs."""

import json

import numpy as np

OPSET = 18


class Graph:
    """Nodes and constants of a graph that is being written; tensors are known by their names."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def node(self, kind, *inputs, output=None, **options):
        """Add a node and return the name of its output, or of its outputs if `output` is a list."""
        from onnx import helper

        outputs = output if isinstance(output, list) else [output or f"{kind}_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, **options))
        return output if isinstance(output, list) else outputs[0]

    def constant(self, array):
        array = np.ascontiguousarray(array) if np.ndim(array) else np.asarray(array)
        key = (array.dtype.str, array.shape, array.tobytes())
        return self.constants.setdefault(key, (f"constant_{len(self.constants)}", array))[0]

    def floats(self, values):
        return self.constant(np.asarray(values, np.float32))

    def integers(self, values):
        return self.constant(np.asarray(values, np.int64))

    def shape(self, tensor):
        return self.node("Shape", tensor)

    def size(self, tensor, axis):
        """Length of an axis, as a scalar."""
        return self.node("Gather", self.shape(tensor), self.integers(axis))

    def join(self, *vectors):
        return self.node("Concat", *vectors, axis=0)

    def vector(self, scalar):
        return self.node("Unsqueeze", scalar, self.integers([0]))

    def model(self, inputs, outputs, metadata):
        """The model; inputs and outputs are dicts of name to shape, of float32."""
        from onnx import TensorProto, helper, numpy_helper

        def values(shapes):
            return [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in shapes.items()
            ]

        constants = [numpy_helper.from_array(a, name) for name, a in self.constants.values()]
        graph = helper.make_graph(self.nodes, "network", values(inputs), values(outputs), constants)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="spikefinder-keras")
        model.ir_version = 8
        texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
        helper.set_model_props(model, texts)
        return model
