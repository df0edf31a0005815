"""What every form of an export is held against: the ticket that it is of."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from sslprune_jax import data
from sslprune_jax.config.tasks import TASKS
from sslprune_jax.data.sources import Rows
from sslprune_jax.exchange.heads import network_of
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime.errors import UserError
from sslprune_jax.runtime.trees import Tree, digests

OUTPUTS = ("features", "logits")  # What a form that is run gives out.
_TOLERANCE = 1e-5  # of the largest logit
_BATCH, _SEED = 2, 0
_READ = 32  # test images at a time


class ExportError(UserError, ValueError):
  """A ticket cannot be written so, or what was written computes another."""


def make_logits(ticket: Ticket) -> Callable[[np.ndarray], np.ndarray]:
  """Makes what a ticket's network gives out.

  Args:
    ticket: any ticket.

  Returns:
    A function of normalised images f32[N,H,W,C] to logits f32[N,K], in
    evaluation mode, of products in float32.
  """
  network = network_of(ticket)
  variables = jax.device_put(ticket.variables)

  @jax.jit
  def apply(variables, images):
    return network.apply(variables, images, train=False)["logits"]

  def compute(images: np.ndarray) -> np.ndarray:
    # On a GPU or a TPU fewer bits are read by default.
    with jax.default_matmul_precision("highest"):
      return np.asarray(apply(variables, images))

  return compute


def logits_of(ticket: Ticket, images: np.ndarray) -> np.ndarray:
  """Computes what a ticket's network gives out, once: see `make_logits`.

  Args:
    ticket: any ticket.
    images: f32[N,H,W,C], normalised.

  Returns:
    f32[N,K].
  """
  return make_logits(ticket)(images)


def same_arrays(found: Tree, expected: Tree) -> bool:
  """Returns whether two trees have the same arrays, bit for bit."""
  return digests(found) == digests(expected)


class Reference:
  """What the files of an export are held against: a ticket, on images.

  Attributes:
    ticket: ticket whose head is a linear one of its network, or that has none.
    in_front: whether a file that computes is to take pixels in [0, 1], and to
      normalise them itself.
    test: test images of the ticket's study; None where they are not at hand.
    absent: why there are no test images.
    others: number of images that each file predicts otherwise: ties, but for
      rounding.
    take_pixels: names of the files that take pixels, in front.
  """

  def __init__(
    self,
    ticket: Ticket,
    *,
    in_front: bool = False,
    test: data.Source | None = None,
    absent: str = "",
  ):
    self.ticket, self.in_front = ticket, in_front
    self.test, self.absent = test, absent
    self.others: dict[str, int] = {}
    self.take_pixels: list[str] = []

  @property
  def images(self) -> str:
    """What a file that computes takes, in words."""
    return "pixels in [0, 1]" if self.in_front else "normalised images"

  def prepare(self, images: np.ndarray) -> np.ndarray:
    """Returns what a file that computes takes of images u8[N,H,W,C]."""
    if self.in_front:
      return images.astype(np.float32) / 255
    return self._own(images)

  def from_file(self, images: jax.Array) -> jax.Array:
    """Returns what the network reads of what such a file takes."""
    return self._normalise(images) if self.in_front else images

  def _normalise(self, pixels: Any) -> Any:
    """Returns what the network reads of pixels f32[N,H,W,C] in [0, 1]."""
    mean, std = (
      np.asarray(self.ticket.section("dataset", k)[k], np.float32)
      for k in ("mean", "std")
    )
    axes = (1, 1, 1, -1)
    return (pixels - mean.reshape(axes)) / std.reshape(axes)

  def check(
    self,
    file: str,
    compute: Callable[[np.ndarray], Any],
    *,
    computes: bool = False,
  ) -> None:
    """Refuses a file whose network gives out something else than the ticket's.

    Args:
      file: name of the file, for the error.
      compute: function of images f32[N,H,W,C] to logits f32[N,K], by what was
        read of the file.
      computes: whether the file computes, and so may take pixels; other images
        are normalised.

    Raises:
      ExportError: logits of random images, or of test images, differ by more
        than 1e-5 of the largest.
    """
    if computes:
      self.add_file(file)
    self.others[file] = 0
    for source, expected in zip(self._sources, self._logits, strict=True):
      largest = max(np.abs(logits).max() for logits in expected)
      for rows, own in zip(read(source), expected, strict=True):
        images = rows["image"]
        taken = self.prepare(images) if computes else self._own(images)
        found = np.asarray(compute(taken))
        _check_close(file, found, own, largest)
        differs = found.argmax(-1) != own.argmax(-1)
        self.others[file] += int(differs.sum())

  def add_file(self, file: str) -> None:
    """Says of a file that it computes."""
    self.take_pixels += [file] if self.in_front else []

  @property
  def logits(self) -> np.ndarray:
    """The ticket's logits of the test images, f32[N,K]."""
    return np.concatenate(self._logits[-1])

  @functools.cached_property
  def labels(self) -> np.ndarray | None:
    """Labels i32[N] of the test images, where its outputs are their classes."""
    task = self.ticket.meta.get("task")
    known = isinstance(task, str) and task in TASKS
    if not (self.test and known and TASKS[task].reads_labels):
      return None
    outputs = self.ticket.params.get("head", {}).get("bias", np.empty(0)).size
    labels = self.test.labels
    is_whole = labels.ndim == 1 and (labels >= 0).all()
    return labels if is_whole and outputs == self.test.num_classes else None

  def say_accuracy(self, logits: np.ndarray) -> str:
    """Says what share of logits f32[N,K] is right; "" where it is unknown."""
    if self.labels is None:
      return ""
    return f"{100 * (logits.argmax(-1) == self.labels).mean():.2f} %"

  def say(self) -> str:
    """Says what the files were held against."""
    found = (
      f"Read again, and held against the ticket: {', '.join(self.others)}. "
      f"Logits are the same to 1e-5 of the largest on {_BATCH} random images"
    )
    if self.test is None:
      return f"{found}; test images were not at hand ({self.absent})."
    found += f", and on the {len(self.test):,} test images of {self.test.name}"
    if not self.ticket.has_linear_head:
      return f"{found}; without a head these are its features."
    ties = [f"{n} in {file}" for file, n in self.others.items() if n]
    if ties:
      return f"{found}; where two tie, another is first: {', '.join(ties)}."
    return f"{found}, with the same predictions."

  def _own(self, images: np.ndarray) -> np.ndarray:
    return self._normalise(images.astype(np.float32) / 255)

  @functools.cached_property
  def _sources(self) -> list[data.Source]:
    shape = (_BATCH, *self.ticket.image_shape)
    drawn = np.random.default_rng(_SEED).integers(0, 256, shape, np.uint8)
    return [data.ArraySource(drawn), *([self.test] if self.test else [])]

  @functools.cached_property
  def _logits(self) -> list[list[np.ndarray]]:
    """The ticket's logits f32[N,K] of each batch of each source."""
    compute = make_logits(self.ticket)
    return [
      [compute(self._own(rows["image"])) for rows in read(source)]
      for source in self._sources
    ]


def read(source: data.Source) -> Iterator[Rows]:
  """Reads all images of a source, a batch at a time, in its order."""
  for start in range(0, len(source), _READ):
    yield source.read(np.arange(start, min(start + _READ, len(source))))


def _check_close(
  file: str, found: np.ndarray, expected: np.ndarray, largest: float
) -> None:
  if found.shape != expected.shape:
    raise ExportError(
      f"{file}: found logits of shape {found.shape}, expected {expected.shape}"
    )
  error = np.abs(found - expected).max()
  if not error <= _TOLERANCE * largest:
    raise ExportError(
      f"{file}: found logits that differ by {error:.1e}, expected at most "
      f"{_TOLERANCE} of the largest, {largest:.1e}"
    )
