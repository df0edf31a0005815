"""`fidelity`: how much of another network's features a network gives.

The other one is that of `config.start`. No labels are read.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax import data, workdir
from sslprune_jax.data.sources import Images
from sslprune_jax.exchange.importing import read_start
from sslprune_jax.features import moments
from sslprune_jax.features.neighbours import similarities, unit
from sslprune_jax.runtime import rng
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.transfer.base import Probe

_MOST = 10_000  # images of a split that are compared
_BLOCK = 1024  # of them at a time


class Fidelity(Probe):
  """Cosine to the features of another network, and neighbours that are kept."""

  def check(self, train: data.Source) -> None:
    """Refuses a network that was drawn, and fewer images than neighbours."""
    if not self.config.start:
      raise ConfigError(
        "config.transfer.protocols: found fidelity, which compares with the "
        "network of config.start, expected config.start=FILE"
      )
    count = self.config.transfer.fidelity.neighbours
    least = min(len(train), len(self.target.test), _MOST)
    # Of nearly all others, any two networks would find the same.
    if 2 * count >= least:
      raise ConfigError(
        f"config.transfer.fidelity.neighbours: found {count}, expected fewer "
        f"than half of the {least} images of {self.target.name}"
      )

  # Cached, as images that were used stay on the devices.
  @functools.lru_cache(maxsize=2)  # noqa: B019
  def images(self, seed: int) -> Images:
    """Returns the images that are compared, drawn where there are many."""
    images = super().images(seed)
    return Images(*(_few(part, seed) for part in (images.train, images.test)))

  def judge(self, train, test, directory, seed):
    """Compares the features of both networks, image by image."""
    del directory
    scores, settings = {}, self.config.transfer.fidelity.to_dict()
    theirs = self._theirs(seed)
    for own, rows, end in (
      (test, theirs[1], ""),
      (train, theirs[0], workdir.FOR_CHOICE),
    ):
      own = standardise(own.on_host(), *self._moments(seed))
      scores |= {
        f"cosine{end}": float(np.mean(np.sum(own * rows, axis=1))),
        f"neighbours_kept{end}": neighbours_kept(own, rows, **settings),
      }
    return scores, settings

  def judge_for_choice(self, train, directory, seed):
    """Returns nothing: nothing is fitted to the training images."""
    del train, directory, seed
    return {}

  @functools.lru_cache(maxsize=2)  # noqa: B019
  def _features(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns features f32[N,F] of the other network, of both splits."""
    images, ticket = self.images(seed), read_start(self.config.start).ticket
    train, test = (
      self.extract(ticket, part).on_host()
      for part in (images.train, images.test)
    )
    return train, test

  @functools.lru_cache(maxsize=2)  # noqa: B019
  def _moments(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and deviation f32[F] of the other network's features."""
    train, _ = self._features(seed)
    return train.mean(axis=0), train.std(axis=0)

  @functools.lru_cache(maxsize=2)  # noqa: B019
  def _theirs(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the other network's features, standardised."""
    train, test = self._features(seed)
    moments = self._moments(seed)
    return standardise(train, *moments), standardise(test, *moments)


def _few(source: data.Source, seed: int) -> data.Source:
  if len(source) <= _MOST:
    return source
  chosen = rng.permutation(seed, 0, len(source))[:_MOST]
  return data.subset(source, np.sort(chosen))


def standardise(
  rows: np.ndarray, mean: np.ndarray, deviation: np.ndarray
) -> np.ndarray:
  """Returns rows in units of a deviation, scaled to length 1.

  Args:
    rows: f32[N,F].
    mean: f32[F].
    deviation: f32[F]; channels of next to none are left out, see
      `moments.inverse`.

  Returns:
    f32[N,F].
  """
  chex.assert_rank(rows, 2, custom_message="rows")
  chex.assert_equal_shape([mean, deviation], custom_message="mean, deviation")
  scale = moments.inverse(deviation)
  return np.asarray(unit((rows - mean[None]) * scale[None]))


def neighbours_kept(
  rows: np.ndarray, others: np.ndarray, neighbours: int
) -> float:
  """Returns which share of the nearest rows two networks agree on.

  Args:
    rows: f32[N,F], of length 1: features of N images.
    others: f32[N,G], of length 1: features of the same images.
    neighbours: number of nearest rows of each, itself not among them.

  Returns:
    The mean over images of the share that is nearest by both, in [0, 1].
  """
  chex.assert_rank([rows, others], 2, custom_message="rows, others")
  chex.assert_equal_shape_prefix([rows, others], 1)
  kept = 0
  for first in range(0, len(rows), _BLOCK):
    near = [_nearest(x, first, neighbours) for x in (rows, others)]
    kept += int((near[0][:, :, None] == near[1][:, None, :]).sum())
  return kept / (len(rows) * neighbours)


def _nearest(rows: np.ndarray, first: int, count: int) -> np.ndarray:
  """Returns i32[B,count], the rows nearest to those of a block."""
  return np.asarray(_search(rows[first : first + _BLOCK], rows, first, count))


@functools.partial(jax.jit, static_argnums=3)
def _search(block, rows, first, count):
  similar = similarities(block, rows)
  itself = jnp.arange(len(block)) + first
  similar = similar.at[jnp.arange(len(block)), itself].set(-jnp.inf)
  return jax.lax.top_k(similar, count)[1]
