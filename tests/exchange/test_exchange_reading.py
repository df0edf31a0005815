"""Checkpoints of anybody: what they hold is read, and nothing of it runs."""

import collections
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile

import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
import safetensors.numpy
import torch_files
from etils import epath
from flax import serialization
from torch_files import Call, Global, Storage, View

from sslprune_jax.exchange import containers, names, tensors
from sslprune_jax.exchange.tensors import CheckpointError, Tensor

_FORMS = {"zip": torch_files.save_zip, "legacy": torch_files.save_legacy}
_DTYPES = (
  *("float32", "float64", "float16", ml_dtypes.bfloat16),
  *("int64", "int32", "int16", "int8", "uint8", "bool"),
)


def _arrays():
  """Returns arrays of all kinds by name."""
  rng = np.random.default_rng(0)
  found = {
    np.dtype(dtype).name: (100 * rng.random((3, 4))).astype(dtype)
    for dtype in _DTYPES
  }
  base = rng.random((4, 6)).astype(np.float32)
  found["transposed"] = base.T
  found["part"] = base[1:3, ::2]
  found["scalar"] = np.array(7, np.int64)
  found["empty"] = np.zeros((0, 3), np.float32)
  return found


def _read(tree):
  """Reads every array of a tree, by its path."""
  found = {}
  for name, value in tree.items():
    if isinstance(value, Tensor):
      found[name] = value.read()
      assert found[name].shape == value.shape
    elif isinstance(value, dict):
      found |= {f"{name}/{k}": v for k, v in _read(value).items()}
  return found


def _all_of(path):
  with containers.open_checkpoint(path) as checkpoint:
    return _read(checkpoint.tree)


def _refused(path):
  """Returns the one line that a file is refused with."""
  with pytest.raises(CheckpointError) as caught:
    _all_of(path)
  text = str(caught.value)
  assert text.startswith(str(path)) and "\n" not in text
  return text


def _equal(found, expected):
  assert found.keys() == expected.keys()
  for name, array in expected.items():
    assert found[name].dtype == array.dtype, name
    np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("form", _FORMS)
def test_every_dtype_and_view_is_read(form, tmp_path):
  arrays = _arrays()
  tree = collections.OrderedDict(arrays)
  tree = {"state_dict": tree, "epoch": 3, "optimizer": {"state": [1.0]}}
  _FORMS[form](tmp_path / "x.pth.tar", tree)
  with containers.open_checkpoint(tmp_path / "x.pth.tar") as checkpoint:
    assert checkpoint.form.startswith("PyTorch") and not checkpoint.classes
    assert checkpoint.tree["epoch"] == 3
    _equal(_read(checkpoint.tree["state_dict"]), arrays)


def test_parameters_and_tensors_of_subclasses_are_their_data(tmp_path):
  data = np.arange(3, dtype=np.float32)
  torch_files.save_zip(
    tmp_path / "x.pt",
    {
      "a": Call(Global("torch._utils", "_rebuild_parameter"), data, True, {}),
      "b": Call(
        Global("torch._utils", "_rebuild_parameter_with_state"),
        *(data, True, {}, {"x": 1}),
      ),
      "c": Call(
        Global("torch._tensor", "_rebuild_from_type_v2"),
        Global("torch._utils", "_rebuild_parameter"),
        *(Global("mine", "Kind"), (data, True, {}), {}),
      ),
    },
  )
  _equal(_all_of(tmp_path / "x.pt"), dict.fromkeys("abc", data))


def test_safetensors_are_read(tmp_path):
  arrays = {k: np.ascontiguousarray(v) for k, v in _arrays().items()}
  safetensors.numpy.save_file(arrays, tmp_path / "x.bin")
  with containers.open_checkpoint(tmp_path / "x.bin") as checkpoint:
    assert checkpoint.form == "safetensors"
    _equal(_read(checkpoint.tree), arrays)


def _train_state():
  kernel = np.random.default_rng(1).random((3, 3, 2, 4)).astype(np.float32)
  return {
    "params": {"conv": {"kernel": kernel}},
    "batch_stats": {"bn": {"mean": np.ones(4, np.float32)}},
    "opt_state": {"0": {"trace": kernel + 1}},
    "step": 3,
  }


def test_msgpack_of_flax_is_read(tmp_path):
  state = _train_state()
  (tmp_path / "x.msgpack").write_bytes(serialization.msgpack_serialize(state))
  found = _all_of(tmp_path / "x.msgpack")
  assert found.pop("opt_state/0/trace").shape == (3, 3, 2, 4)
  _equal(
    found,
    {
      "params/conv/kernel": state["params"]["conv"]["kernel"],
      "batch_stats/bn/mean": state["batch_stats"]["bn"]["mean"],
    },
  )


def test_the_network_of_an_orbax_folder_is_read(tmp_path):
  state = _train_state()
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(epath.Path(tmp_path / "plain"), state)
  with ocp.CheckpointManager(epath.Path(tmp_path / "manager")) as manager:
    for step in (1, 2):
      manager.save(step, args=ocp.args.StandardSave(state))
  expected = {
    "params/conv/kernel": state["params"]["conv"]["kernel"],
    "batch_stats/bn/mean": state["batch_stats"]["bn"]["mean"],
  }
  _equal(_all_of(tmp_path / "plain"), expected)
  _equal(_all_of(tmp_path / "manager/2"), expected)
  assert "name one of ['1/default', '2/default']" in _refused(
    tmp_path / "manager"
  )
  # Of damaged arrays Orbax reports long after, from threads of its own.
  (tmp_path / "plain/_METADATA").write_text("{")
  assert "damaged" in _refused(tmp_path / "plain")


@pytest.mark.parametrize("form", _FORMS)
def test_code_in_a_file_never_runs(form, tmp_path):
  touched = tmp_path / "touched"
  calls = [
    Call(Global("os", "system"), f"touch {touched}"),
    Call(Global("builtins", "eval"), f"open({str(touched)!r}, 'w')"),
    Call(Global("pathlib", "Path"), "x", state={"a": 1}),
  ]
  kept = np.ones(3, np.float32)
  _FORMS[form](tmp_path / "x.pth", {"calls": calls, "kept": kept})
  with containers.open_checkpoint(tmp_path / "x.pth") as checkpoint:
    assert checkpoint.classes == ("builtins.eval", "os.system", "pathlib.Path")
    _equal(_read(checkpoint.tree), {"kept": kept})
  assert not touched.exists()


def test_what_a_pickle_sets_on_the_names_it_is_given_ends_with_it(tmp_path):
  rebuild = Global("torch._utils", "_rebuild_parameter")
  content, storages = torch_files.pickled({"a": np.ones(2, np.float32)})
  # BUILD of a state on the function itself, in front of an honest dict.
  evil = b"\x80\x02" + f"c{rebuild.module}\n{rebuild.name}\n".encode()
  evil += pickle.dumps({"__code__": 1, "x": 2}, 2)[2:-1] + b"b0" + content[2:]
  torch_files.write_zip(tmp_path / "x.pth", evil, storages)
  _equal(_all_of(tmp_path / "x.pth"), {"a": np.ones(2, np.float32)})


def _view(*args, size=None):
  storage = Storage(np.ones(6, np.float32), size)
  return {"a": View(storage, *args)}


@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize(
  ("tree", "words"),
  [
    (_view(1, (6,), (1,)), "outside of its storage"),
    (_view(0, (2, 3), (3, 2)), "outside of its storage"),
    (_view(0, (10**6, 10**6), (0, 0)), "outside of its storage"),
    (_view(-1, (2,), (1,)), "malformed tensor"),
    (_view(0, (2,), (-1,)), "malformed tensor"),
    (_view(0, (2, 2), (1,)), "malformed tensor"),
    (_view(0, ("2",), (1,)), "malformed tensor"),
    (_view(0, (8,), (1,), size=8), "bytes|truncated"),
    (np.ones(3, np.float32), "expected a state_dict"),
  ],
)
def test_what_is_malformed_is_refused(form, tree, words, tmp_path):
  _FORMS[form](tmp_path / "x.pth", tree)
  text = _refused(tmp_path / "x.pth")
  assert any(word in text for word in words.split("|")), text


def test_what_is_no_checkpoint_is_refused(tmp_path):
  file = tmp_path / "x"
  assert "cannot be read" in _refused(file)
  for content, words in (
    (b"", "found an empty file"),
    (b"hello", "found another kind of file"),
    (b"PK\x03\x04", "damaged zip archive"),
    (pickle.dumps({"a": 1}, 2), "found another's pickle"),
    (pickle.dumps(torch_files.MAGIC, 2), "no pickle"),
    (struct.pack("<Q", 2**30) + b"{}", "damaged safetensors"),
    (b"\x81\xa1a\xc7\xff\x01", "no msgpack"),
  ):
    file.write_bytes(content)
    assert words in _refused(file), content
  os.mkfifo(tmp_path / "pipe")
  assert "found no file" in _refused(tmp_path / "pipe")
  (tmp_path / "folder").mkdir()
  assert "no checkpoint of Orbax" in _refused(tmp_path / "folder")


def test_names_are_few_and_each_once(tmp_path):
  array = tensors.in_memory(np.ones(2, np.float32))
  with pytest.raises(CheckpointError, match="more than 100000 arrays"):
    names.flatten({f"{n}": array for n in range(100_001)})
  with pytest.raises(CheckpointError, match="a.b: found it twice"):
    names.flatten({"a.b": array, "a": {"b": array}})
  deep = {"a": {"b.c": array, "n": 3}, "d": [1], "e" * 401: array}
  assert list(names.flatten(deep)) == ["a.b.c"]
  circle = {"w": np.ones(2, np.float32)}
  circle["a"] = circle
  torch_files.save_zip(tmp_path / "x.pth", circle)
  with containers.open_checkpoint(tmp_path / "x.pth") as checkpoint:
    assert "a.a.w" in names.flatten(checkpoint.tree)


@pytest.mark.parametrize(
  ("program", "words"),
  [
    (b"\x96" + struct.pack("<Q", 2**32) + b".", "found bytes in place"),
    (b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n)X\x03\x00\x00\x00cpu"
     b"K\x01tQ.", "malformed storage"),
  ],
)  # fmt: skip
def test_what_a_pickle_declares_is_not_believed(program, words, tmp_path):
  torch_files.write_zip(tmp_path / "x.pth", b"\x80\x02" + program, [])
  assert words in _refused(tmp_path / "x.pth")


@pytest.mark.parametrize(
  "program",
  [
    # Keys whose hash recurses in C, or doubles with every tuple.
    b"})" + b"\x85" * 1000 + b"K\x01s.",
    b"}q\x00)h\x00s.",
    b"}\x8a\x09" + b"\x01" * 9 + b"K\x01s.",
    # A class, as of Lightning's callbacks before 1.5.
    b"}cpytorch_lightning.callbacks\nModelCheckpoint\n}s.",
  ],
)
def test_what_is_under_no_text_nor_number_is_left_out(program, tmp_path):
  torch_files.write_zip(tmp_path / "x.pth", b"\x80\x02" + program, [])
  with containers.open_checkpoint(tmp_path / "x.pth") as checkpoint:
    assert checkpoint.tree == {}


def test_attributes_that_a_pickle_sets_are_left_out(tmp_path):
  array = np.ones(3, np.float32)
  ordered = Call(Global("collections", "OrderedDict"), state={"items": 1})
  content, storages = torch_files.pickled({"a": array, "o": ordered})
  place = content.index(b"R", content.index(b"_rebuild_tensor_v2")) + 1
  evil = b"}X\x05\x00\x00\x00shapeK\x01sb"  # BUILD of the tensor.
  content = content[:place] + evil + content[place:]
  torch_files.write_zip(tmp_path / "x.pth", content, storages)
  with containers.open_checkpoint(tmp_path / "x.pth") as checkpoint:
    (tensor,) = names.flatten(checkpoint.tree).values()
    assert tensor.shape == (3,)
    np.testing.assert_array_equal(tensor.read(), array)


def test_numbers_of_a_kind_that_is_not_needed_stand_in_no_way(tmp_path):
  content, storages = torch_files.pickled({"a": np.ones(3, np.float32)})
  content = content.replace(b"FloatStorage", b"QInt8Storage")
  torch_files.write_zip(tmp_path / "x.pth", content, storages)
  with containers.open_checkpoint(tmp_path / "x.pth") as checkpoint:
    (tensor,) = names.flatten(checkpoint.tree).values()
    with pytest.raises(CheckpointError, match="unknown dtype"):
      tensor.read()


def test_archives_of_other_kinds_are_refused_with_the_reason(tmp_path):
  file, tree = tmp_path / "x.pt", {"a": np.zeros(2**16, np.float32)}
  torch_files.save_zip(file, tree, compression=zipfile.ZIP_DEFLATED)
  assert "found it deflated" in _refused(file)
  with zipfile.ZipFile(file, "w") as archive:
    archive.writestr("archive/readme", "hello")
  assert "no checkpoint of PyTorch" in _refused(file)
  torch_files.save_zip(file, tree)
  with zipfile.ZipFile(file, "a") as archive:
    archive.writestr("archive/constants.pkl", b"")
  assert "TorchScript" in _refused(file)
  with tarfile.open(file, "w") as archive:
    archive.addfile(tarfile.TarInfo("storages"), io.BytesIO())
  assert "before 0.4" in _refused(file)
  content, storages = torch_files.pickled(tree)
  torch_files.write_zip(file, content, [])
  assert "data/0: missing" in _refused(file)
  with zipfile.ZipFile(file, "w") as archive:
    archive.writestr("archive/data.pkl", content)
    archive.writestr("archive/byteorder", "big")
  assert "big-endian" in _refused(file)


def _damaged(content, rng):
  """Returns a file cut off, or with a bit flipped."""
  place = int(rng.integers(len(content)))
  if rng.random() < 0.2:
    return content[:place]
  flipped = content[place] ^ (1 << int(rng.integers(8)))
  return content[:place] + bytes([flipped]) + content[place + 1 :]


@pytest.mark.parametrize(
  ("form", "count"),
  [("zip", 2000), ("legacy", 500), ("safetensors", 500), ("msgpack", 500)],
)
def test_damaged_files_are_refused_or_read_right(form, count, tmp_path):
  """Zip archives have checksums; elsewhere a flipped weight is a weight."""
  rng = np.random.default_rng(2)
  arrays = {"weight": rng.random(64).astype(np.float32), "b": np.arange(5)}
  file = tmp_path / "x"
  if form == "safetensors":
    safetensors.numpy.save_file(arrays, file)
  elif form == "msgpack":
    file.write_bytes(serialization.msgpack_serialize(arrays))
  else:
    _FORMS[form](file, arrays)
  content, refused = file.read_bytes(), 0
  for _ in range(count):
    damaged = _damaged(content, rng)
    file.write_bytes(damaged)
    try:
      found = _all_of(file)
    except CheckpointError as error:
      assert str(error).startswith(str(file))
      refused += 1
      continue
    assert len(damaged) == len(content)
    if form == "zip":
      _equal(found, arrays)
  assert refused > count / 4


_GROWN = """
import sys
from sslprune_jax.exchange import containers
from sslprune_jax.exchange.tensors import CheckpointError
from sslprune_jax.runtime import environment
before = environment.peak_memory()
try:
  with containers.open_checkpoint(sys.argv[1]) as checkpoint:
    pass
except CheckpointError as error:
  print(error)
print(environment.peak_memory() - before)
"""


def test_an_index_that_a_pickle_names_takes_no_memory(tmp_path):
  content = b"\x80\x02}r\xff\xff\xff\xff."
  torch_files.write_zip(tmp_path / "x.pth", content, [])
  run = [sys.executable, "-c", _GROWN, str(tmp_path / "x.pth")]
  said = subprocess.run(run, capture_output=True, text=True, check=True)
  assert int(said.stdout.split()[-1]) < 2**26
