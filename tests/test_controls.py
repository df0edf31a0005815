"""Random controls, each against its definition."""

import numpy as np
import pytest

from sslprune_jax.pruning import controls, sparsity
from sslprune_jax.pruning import masks as masks_lib


def _params(seed=0):
  rng = np.random.default_rng(seed)

  def kernel(*shape):
    return rng.normal(size=shape).astype(np.float32)

  return {
    "trunk": {
      "a": {"kernel": kernel(3, 3, 4, 8), "bias": kernel(8)},
      "b": {"kernel": kernel(40, 10)},
    },
    "head": {"kernel": kernel(10, 5)},
  }


def _rng(seed=0):
  return np.random.default_rng(seed)


def test_permuted_keeps_the_count_and_nothing_of_the_place():
  masks = masks_lib.dense(_params())
  masks["trunk"]["a"]["kernel"][:] = False
  control = controls.permute(masks, _rng())
  assert masks_lib.count(control) == masks_lib.count(masks)
  # 400 of 688 remain: each layer gets about its share.
  share = control["trunk"]["a"]["kernel"].mean()
  assert abs(share - 400 / 688) < 0.12
  assert not masks["trunk"]["a"]["kernel"].any(), "the input was changed"


def _half_dead(share=0.5):
  """Returns masks of 30 %, and which weights training left alive."""
  params = _params()
  rng = _rng(7)
  for layer in params["trunk"].values():
    dead = rng.random(layer["kernel"].shape) < share
    layer["kernel"][dead] *= np.float32(1e-8)
  dense = masks_lib.dense(params)
  masks = controls.permute(dense, rng)
  for layer in masks["trunk"].values():
    layer["kernel"] &= rng.random(layer["kernel"].shape) < 0.3
  alive = sparsity.nonzero_masks(params, dense, sparsity.MACHINE_PRECISION)
  return masks, alive


def test_adjusted_random_keeps_living_weights_only_while_they_last():
  masks, alive = _half_dead()
  control = controls.adjust(masks, alive, _rng())
  assert masks_lib.count(control) == masks_lib.count(masks)
  for name, mask in masks_lib.prunable(control).items():
    assert not (mask & ~masks_lib.prunable(alive)[name]).any()
  # Drawn evenly among the living of both layers.
  kept, living = (
    [m.sum() for m in masks_lib.prunable(t).values()] for t in (control, alive)
  )
  shares = np.divide(kept, living)
  assert abs(shares[0] - shares[1]) < 0.15
  other = controls.adjust(masks, alive, _rng(1))
  assert (
    control["trunk"]["b"]["kernel"] != other["trunk"]["b"]["kernel"]
  ).any()


def test_adjusted_random_keeps_all_living_weights_where_they_are_too_few():
  masks, alive = _half_dead(share=0.9)
  control = controls.adjust(masks, alive, _rng())
  assert masks_lib.count(control) == masks_lib.count(masks)
  assert masks_lib.count(alive)[0] < masks_lib.count(masks)[0]
  for name, living in masks_lib.prunable(alive).items():
    assert masks_lib.prunable(control)[name][living].all()


@pytest.mark.parametrize("kind", ["permute", "adjust"])
def test_controls_of_the_first_layers_touch_nothing_else(kind):
  masks, alive = _half_dead()
  args = (masks,) if kind == "permute" else (masks, alive)
  make = getattr(controls, kind)
  control = make(*args, _rng(), ["trunk/a/kernel"])
  np.testing.assert_array_equal(
    control["trunk"]["b"]["kernel"], masks["trunk"]["b"]["kernel"]
  )
  a, before = (m["trunk"]["a"]["kernel"] for m in (control, masks))
  assert a.sum() == before.sum() and (a != before).any()
  with pytest.raises(ValueError, match="trunk/z/kernel"):
    make(*args, _rng(), ["trunk/z/kernel"])
