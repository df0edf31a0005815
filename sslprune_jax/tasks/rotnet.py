"""RotNet: by which of four angles was the image turned?

Reference: Gidaris et al. 2018, arXiv 1803.07728.
"""

import dataclasses
import zlib

import chex
import jax
import jax.numpy as jnp

from sslprune_jax.config.tasks import check, default
from sslprune_jax.tasks.base import Batch, Task

NUM_ROTATIONS = 4
_ANGLE = zlib.crc32(b"angle")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RotNet(Task):
  """Predicts the rotation of an image; labels are not used.

  Attributes:
    copies: 4 shows every image at all four angles, 1 at one random angle.
  """

  num_outputs: int = NUM_ROTATIONS
  copies: int = default("rotnet", "copies")

  def __post_init__(self):
    check("rotnet", self)
    object.__setattr__(self, "rows", self.copies)
    object.__setattr__(self, "samples", self.copies)

  def view(self, keys: jax.Array, batch: Batch) -> Batch:
    """Rotates what `Task.view` made: after crop and flip, so exactly."""
    view = super().view(keys, batch)
    if self.copies == NUM_ROTATIONS:
      return all_rotations(view)
    # The augmentation folds its own, small, purposes into the same keys.
    angle = jax.vmap(
      lambda key: jax.random.randint(
        jax.random.fold_in(key, _ANGLE), (), 0, NUM_ROTATIONS
      )
    )(keys)
    turned = jnp.stack(rotations(view["image"]))
    image = turned[angle, jnp.arange(angle.size)]
    return {**view, "image": image, "label": angle}

  def evaluation_view(self, batch: Batch) -> Batch:
    """Shows every test image at all four angles."""
    return all_rotations(super().evaluation_view(batch))


def rotations(images: jax.Array) -> list[jax.Array]:
  """Turns square images by 0, 90, 180 and 270 degrees counter-clockwise.

  By transposing and flipping, never by interpolation, whose borders would give
  the answer away.

  Args:
    images: [B,H,W,C].

  Returns:
    Four arrays of that shape.

  Raises:
    ValueError: the images are not square.
  """
  chex.assert_rank(images, 4, custom_message="images")
  height, width = images.shape[1:3]
  if height != width:
    raise ValueError(
      f"images: found {height} x {width}, RotNet expects square images"
    )
  return [jnp.rot90(images, k, axes=(1, 2)) for k in range(NUM_ROTATIONS)]


def all_rotations(batch: Batch) -> Batch:
  """Returns the four rotations of a batch one after the other, `[4 * B]`."""
  rows = batch["image"].shape[0]
  view = {k: jnp.concatenate([v] * NUM_ROTATIONS) for k, v in batch.items()}
  view["image"] = jnp.concatenate(rotations(batch["image"]))
  view["label"] = jnp.repeat(jnp.arange(NUM_ROTATIONS, dtype=jnp.int32), rows)
  return view
