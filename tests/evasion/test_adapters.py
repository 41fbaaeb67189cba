"""Models of other libraries as targets: a stand-in for PyTorch, PyTorch itself where it is installed, ONNX files."""

import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import fedrobust
from fedrobust.audit.opened import is_function, is_known, model_digest, opened_with_digest
from fedrobust.data.load import load
from fedrobust.errors import ConfigError
from fedrobust.evasion.models.compiled import NotDifferentiableError
from fedrobust.evasion.models.onnx_model import NO_GRADIENT, onnx_model
from fedrobust.evasion.models.predictor import Predictor, PredictorError
from fedrobust.evasion.models.torch_model import torch_model
from fedrobust.models.input_format import InputFormat
from fedrobust.models.interface import Interface
from fedrobust.models.keras_file import ModelFileError

SHAPE = (4, 6, 1)
KERNEL = np.random.default_rng(2).normal(size=(24, 2)).astype(np.float32)
IMAGES = np.random.default_rng(1).random((3, *SHAPE), np.float32)


class Tensor:
    """A tensor of the stand-in: an array, and the axes in which it was made."""

    def __init__(self, array):
        self.array, self.device, self.shape = np.asarray(array), "gpu", np.asarray(array).shape

    def permute(self, *axes):
        return Tensor(self.array.transpose(axes))

    def to(self, other):
        assert getattr(other, "device", other) == "gpu"
        return self

    def reshape(self, shape):
        return Tensor(self.array.reshape(shape))

    def __mul__(self, other):
        return Tensor(self.array * other.array)

    def sum(self):
        return Tensor(self.array.sum())

    def requires_grad_(self):
        return self

    def cpu(self):
        return self

    detach = float = cpu

    def numpy(self):
        return self.array


@pytest.fixture
def stand_in(monkeypatch):
    """A module `torch` with what the adapter calls; its autograd knows the slopes of the only module."""

    class Module:
        def __init__(self, channels=1):
            self.is_training, self.channels = True, channels

        def __repr__(self):
            return "Module()"

        def eval(self):
            self.is_training = False

        def parameters(self):
            return iter([Tensor(KERNEL)])

        def state_dict(self):
            return {"kernel": Tensor(KERNEL)}

        def __call__(self, images):
            assert not self.is_training
            assert images.shape[1] == self.channels, "channels come first"
            flat = images.array[:, :1].transpose(0, 2, 3, 1).reshape(len(images.array), -1)
            return SimpleNamespace(logits=Tensor(flat @ KERNEL))

    torch, nn = ModuleType("torch"), ModuleType("torch.nn")
    torch.from_numpy, torch.nn, nn.Module = Tensor, nn, Module
    torch.no_grad = nullcontext
    vectors = []

    def reshape(self, shape):
        vectors.append(self.array)
        return Tensor(self.array.reshape(shape))

    monkeypatch.setattr(Tensor, "reshape", reshape)

    def grad(total, given):
        found = np.zeros(given.shape, np.float32)
        found[..., :1] = (vectors[-1] @ KERNEL.T).reshape(-1, *SHAPE)
        return (Tensor(found),)

    torch.autograd = SimpleNamespace(grad=grad)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch.nn", nn)
    return Module


def test_a_module_has_logits_gradients_and_a_digest(stand_in):
    model = torch_model(stand_in())
    target = Predictor.of(model, SHAPE, 2)
    np.testing.assert_allclose(target.logits(IMAGES), IMAGES.reshape(3, -1) @ KERNEL, rtol=1e-5)
    found = target.gradient(IMAGES, np.array([0, 1, 0], np.int32), "margin").gradients
    towards = (KERNEL[:, 1] - KERNEL[:, 0]).reshape(SHAPE)
    np.testing.assert_allclose(found, np.stack([towards, -towards, towards]), rtol=1e-5)
    assert is_function(model)
    assert is_known(model, "")
    assert model_digest(model) == torch_model(stand_in()).digest != torch_model(stand_in(), size=8).digest
    assert target.name == "Module"


def test_grey_images_are_copied_and_declared_formats_apply_to_the_copies(stand_in):
    model = torch_model(stand_in(channels=3), channels=3)
    interface = Interface(InputFormat.parse("mean=0.5 0.1 0.1"))
    target = Predictor.of(model, SHAPE, 2, interface=interface)
    np.testing.assert_allclose(target.logits(IMAGES), (IMAGES - 0.5).reshape(3, -1) @ KERNEL, rtol=1e-4)
    with pytest.raises(PredictorError, match="the order of its axes is known; leave channels-first out"):
        Predictor.of(model, SHAPE, 2, interface=Interface(InputFormat.parse("0..1 channels-first")))
    with pytest.raises(ConfigError, match="takes images of 1 channels, the data have 3"):
        Predictor.of(torch_model(stand_in(), channels=1), (4, 6, 3), 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"module": "net.pt"}, "hand in a torch.nn.Module"), ({"channels": 2}, "channels is 1, 3 or 0")],
)
def test_what_is_no_module_is_refused(stand_in, settings, message):
    with pytest.raises(ConfigError, match=message):
        torch_model(**{"module": stand_in(), **settings})


def test_a_bare_module_is_refused_with_the_line_to_write(stand_in):
    module = stand_in()
    type(module).__module__ = "torch.nn.modules"
    with pytest.raises(ConfigError, match=r"a PyTorch module; hand in fedrobust.torch_model\(net\)"):
        is_function(module)


def test_without_pytorch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.nn", None)
    with pytest.raises(ConfigError, match=r"pip install 'fedrobust\[torch\]'"):
        torch_model(None)


def test_a_real_module_has_the_gradients_of_finite_differences():
    torch = pytest.importorskip("torch", reason="PyTorch is no dependency; pip install 'fedrobust[torch]'")
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Tanh(), torch.nn.Flatten()]
    net = torch.nn.Sequential(*layers, torch.nn.Linear(4 * 4 * 4, 2))
    target = Predictor.of(torch_model(net, channels=3, size=6), SHAPE, 2)
    labels = np.array([0, 1, 0], np.int32)
    slope = target.gradient(IMAGES, labels, "margin").gradients
    step = 1e-2 * np.random.default_rng(3).normal(size=IMAGES.shape).astype(np.float32)
    above, below = (target.gradient(IMAGES + sign * step, labels, "margin").losses for sign in (1, -1))
    np.testing.assert_allclose(((above - below) / 2), (slope * step).sum((1, 2, 3)), rtol=0.02, atol=1e-4)
    assert not net.training
    assert all(parameter.grad is None for parameter in net.parameters())


def write(path: Path, shape=("n", 1, 28, 28), outputs=1) -> Path:
    """Write an ONNX file of a linear model of 28 x 28 grey images."""
    kernel = np.random.default_rng(4).normal(size=(784, 2)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["o0"]),
    ]
    nodes += [helper.make_node("Relu", ["o0"], [f"o{number}"]) for number in range(1, outputs)]
    given = helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)
    made = [
        helper.make_tensor_value_info(f"o{number}", TensorProto.FLOAT, (shape[0], 2))
        for number in range(outputs)
    ]
    graph = helper.make_graph(nodes, "linear", [given], made, [numpy_helper.from_array(kernel, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("shape", [("n", 1, 28, 28), (2, 28, 28, 1), ("n", 1, "h", "w")])
def test_an_onnx_file_is_asked_for_its_logits(tmp_path, shape):
    path = write(tmp_path / "linear.onnx", shape)
    dataset = load("phantom", samples=20)
    opened, digest, notes = opened_with_digest(str(path), dataset, "native")
    kernel = np.random.default_rng(4).normal(size=(784, 2)).astype(np.float32)
    images = dataset.test.images[:5] / np.float32(255)
    np.testing.assert_allclose(opened.logits(images), images.reshape(5, -1) @ kernel, rtol=1e-3, atol=1e-3)
    assert (opened.name, digest) == ("linear.onnx", onnx_model(path).digest)
    assert NO_GRADIENT in notes
    with pytest.raises(NotDifferentiableError):
        opened.gradient(images, np.zeros(5, np.int32), "margin")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": ("n", 784)}, "wanted: one batch of float32 images, four axes"),
        ({"shape": ("n", 1, 784, 1)}, "it cannot be told"),
        ({"outputs": 2}, "outputs 'o0', 'o1'; export it with the one of the classes alone"),
    ],
)
def test_an_onnx_file_that_cannot_be_asked_is_refused(tmp_path, settings, message):
    with pytest.raises(ModelFileError, match=message):
        onnx_model(write(tmp_path / "model.onnx", **settings))


def test_a_damaged_onnx_file_and_a_missing_extra_are_told(tmp_path, monkeypatch):
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(ModelFileError, match="ONNX Runtime cannot open it"):
        onnx_model(tmp_path / "bad.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelFileError, match=r"pip install 'fedrobust\[onnx\]'"):
        onnx_model(tmp_path / "bad.onnx")


def test_an_onnx_file_is_attacked_like_any_file(tmp_path):
    path = write(tmp_path / "linear.onnx")
    found = fedrobust.attack_model(path, "phantom", ["noise"], ["8/255"], images=20, out=tmp_path / "attack")
    assert NO_GRADIENT in found["notes"]
    assert found["clean"]["n"] == 20
