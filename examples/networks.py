"""What the two models of pictures share: layers for training with torch, and the same layers as nodes of a graph.

Weights are stored as FP16, which halves the files; the graphs turn them into FP32.
"""

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn


def step(channels_in, channels_out, *, stride=1):
    """A convolution of 3 × 3, normalised, without negative values."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


class GraphBuilder:
    """Collects nodes and constants."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def add(self, operator, *inputs, **attributes):
        """Add a node with one output. Returns the output's name."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values):
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def step(self, source, layers):
        """The trained layers of `step`: the normalisation becomes part of the convolution's weights."""
        convolution, norm, _ = layers
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = convolution.weight * factor[:, None, None, None]
        return self.add(
            "Relu", self._conv(source, weight, norm.bias - norm.running_mean * factor, convolution)
        )

    def convolution(self, source, layer):
        return self._conv(source, layer.weight, layer.bias, layer)

    def _conv(self, source, weight, bias, layer):
        constants = [self._half(values) for values in (weight, bias)]
        return self.add(
            "Conv", source, *constants, strides=layer.stride, pads=[*layer.padding, *layer.padding]
        )

    def _half(self, values):
        stored = self.constant(values.detach().numpy().astype(np.float16))
        return self.add("Cast", stored, to=TensorProto.FLOAT)

    def finish(self, name, output, inputs, outputs):
        """The graph, whose output has the name that `outputs` says."""
        self.nodes.append(helper.make_node("Identity", [output], [outputs[0].name]))
        return helper.make_graph(self.nodes, name, inputs, outputs, self.constants)


def train(model, batches, loss_of, *, steps, rate):
    """Fit a model to batches of pictures and targets, with a rate that rises first and then falls."""
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    model.to(memory_format=torch.channels_last).train()  # a third faster
    for number, (pictures, *targets) in zip(range(steps), batches, strict=False):
        loss = loss_of(model(pictures), *targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if number % 200 == 0:
            print(f"step {number:,} of {steps:,}: loss {loss.item():.4f}", flush=True)
    model.eval()


def to_pictures(pixels, random):
    """Rows of pixels as the model gets them, with their colours exchanged at random."""
    exchanged = np.ascontiguousarray(pixels[..., random.permutation(3)])
    return torch.from_numpy(exchanged).permute(0, 3, 1, 2).float() / 255
