"""PyTorch's own files are read; files of the tests are what it would write."""

import numpy as np
import pytest
import torch_files

from sslprune_jax.exchange import containers
from sslprune_jax.exchange.tensors import Tensor

torch = pytest.importorskip("torch")

_DTYPES = (
  *("float32", "float64", "float16", "bfloat16"),
  *("int64", "int32", "int16", "int8", "uint8", "bool"),
)


def _numpy(tensor):
  if tensor.dtype == torch.bfloat16:
    return tensor.float().numpy()
  return tensor.detach().numpy()


@pytest.mark.parametrize("zipped", [True, False])
def test_what_pytorch_saves_is_read(zipped, tmp_path):
  base = 100 * torch.rand(3, 4)
  tensors = {name: base.to(getattr(torch, name)) for name in _DTYPES}
  tensors |= {
    "transposed": base.T,
    "part": base[1:, ::2],
    "empty": torch.zeros(0, 3),
    "scalar": torch.tensor(7),
    "parameter": torch.nn.Parameter(base),
  }
  model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
  optimizer = torch.optim.Adam(model.parameters())
  model(torch.rand(1, 3, 8, 8)).sum().backward()
  optimizer.step()
  tree = {
    "state_dict": model.state_dict(),
    "tensors": tensors,
    "optimizer": optimizer.state_dict(),
    "device": torch.device("cpu"),
  }
  torch.save(tree, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
  with containers.open_checkpoint(tmp_path / "x.pth") as checkpoint:
    found = checkpoint.tree
    for name, tensor in {**tensors, **model.state_dict()}.items():
      where = found["tensors" if name in tensors else "state_dict"]
      expected = _numpy(tensor)
      array = where[name].read().astype(expected.dtype)
      np.testing.assert_array_equal(array, expected)
    moment = found["optimizer"]["state"][0]["exp_avg"]
    assert isinstance(moment, Tensor) and moment.shape == (4, 3, 3, 3)
  assert checkpoint.classes == ("torch.device",)


@pytest.mark.parametrize(
  "save", [torch_files.save_zip, torch_files.save_legacy]
)
def test_pytorch_reads_what_the_tests_write(save, tmp_path):
  base = np.random.default_rng(0).random((4, 6)).astype(np.float32)
  arrays = {"a": base, "b": base.T, "c": base[1:, ::2], "d": np.arange(3)}
  save(tmp_path / "x.pth", {"state_dict": arrays, "epoch": 3})
  found = torch.load(tmp_path / "x.pth", weights_only=True)
  assert found["epoch"] == 3
  for name, array in arrays.items():
    np.testing.assert_array_equal(found["state_dict"][name].numpy(), array)
