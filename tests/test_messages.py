"""What processes send each other, and errors as they arrive."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from sslprune_jax.pruning.tickets import TicketError
from sslprune_jax.runtime import messages
from sslprune_jax.runtime.errors import LostFileError, UserError


@pytest.mark.parametrize(
  "value",
  [
    None,
    True,
    3,
    -0.5,
    "ä\ud800",
    b"\x00\xff",
    [1, (2, "x"), {"a": None, 3: [b"y"]}],
    ((), [], {}, ""),
    pathlib.Path("/a/b"),
  ],
)
def test_a_value_arrives_as_it_was(value):
  found = messages.unpack(messages.pack(value))
  assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
  "array",
  [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.zeros((0, 4), np.int32),
    np.float32(0.5),
    np.array([True, False]),
    np.asarray(jnp.ones(3, jnp.bfloat16)),
    jnp.arange(3),
  ],
)
def test_an_array_arrives_with_its_dtype_and_shape(array):
  found = messages.unpack(messages.pack({"x": (array, 1)}))["x"][0]
  np.testing.assert_array_equal(found, np.asarray(array))
  assert (found.dtype, found.shape) == (array.dtype, array.shape)
  found[...] = 0  # Its own memory.


def test_what_is_no_message_is_refused():
  for value in (object(), np.array([object()]), {"a": print}):
    with pytest.raises(TypeError, match="expected JSON or an array"):
      messages.pack(value)


@pytest.mark.parametrize(
  "error",
  [
    UserError("found 1"),
    TicketError("a.npz: damaged"),
    SystemExit("error: x"),
    SystemExit(3),
    OSError(28, "No space left on device", "runs/a"),
    FileNotFoundError(2, "No such file", "b"),
    KeyError("x"),
    ValueError(),
  ],
)
def test_an_error_arrives_as_it_was(error):
  found = messages.unpack_error(messages.pack_error(error))
  assert type(found) is type(error) and found.args == error.args
  assert str(found) == str(error)
  if isinstance(error, SystemExit):
    assert found.code == error.code
  if isinstance(error, OSError):
    assert (found.errno, found.filename) == (error.errno, error.filename)


def test_what_an_error_carries_arrives_with_it():
  error = LostFileError("x")
  error.stage = "runs/a/round_01"
  found = messages.unpack_error(messages.pack_error(error))
  assert found.advice == error.advice and "remove runs/a/round_01" in str(
    found.advice
  )


def test_an_error_of_more_than_texts_arrives_with_its_name():
  error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
  found = messages.unpack_error(messages.pack_error(error))
  assert type(found) is RuntimeError
  assert "UnicodeDecodeError" in str(found) and "invalid start" in str(found)


def test_a_class_that_is_not_loaded_is_never_loaded():
  for module, name in (
    ("os", "system"),
    ("nosuch_module", "Error"),
    ("builtins", "print"),
    ("subprocess", "Popen"),
  ):
    content = messages.pack([module, name, ["touch x"], {}])
    found = messages.unpack_error(content)
    assert type(found) is RuntimeError
    assert f"{module}.{name}" in str(found)
