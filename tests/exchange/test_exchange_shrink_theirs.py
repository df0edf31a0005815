"""Tests of shrinking networks of a user's, which no table knows."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_exchange_shrink import assert_close, draw_ticket, logits, prune

from sslprune_jax.config.networks import NETWORKS
from sslprune_jax.config.registry import Row
from sslprune_jax.exchange import shrink
from sslprune_jax.models.layers import width_of
from sslprune_jax.pruning.tickets import TicketError
from sslprune_jax.runtime.trees import named_leaves


class _Trunk(nn.Module):
  """What all of them share."""

  width: float = 1.0
  dtype: Any = jnp.float32
  axis_name: str | None = None
  remat: bool = False

  def conv(self, x, name, channels, **settings):
    """Makes a convolution as wide as its params."""
    channels = width_of(self, name, channels)
    groups = x.shape[-1] if settings.pop("depthwise", False) else 1
    return nn.Conv(
      channels,
      settings.pop("kernel", (1, 1)),
      feature_group_count=groups,
      name=name,
      **settings,
    )(x)


class Theirs(_Trunk):
  """Concatenation, depthwise convolutions, a gate and a padded shortcut."""

  @nn.compact
  def __call__(self, x, train):
    """Maps images to features."""
    x = nn.relu(self.conv(x, "stem", 8, kernel=(3, 3), use_bias=False))
    a = nn.relu(self.conv(x, "left", 6))
    b = nn.relu(self.conv(x, "right", 10, kernel=(3, 3)))
    x = jnp.concatenate([a, b], -1)
    x = self.conv(x, "depth", 32, kernel=(3, 3), depthwise=True)
    x = nn.BatchNorm(use_running_average=not train, name="bn")(x)
    x = nn.relu(x)
    squeeze = nn.Dense(width_of(self, "squeeze", 5), name="squeeze")
    excite = nn.Dense(width_of(self, "excite", 32), name="excite")
    gate = nn.sigmoid(excite(nn.relu(squeeze(x.mean((1, 2))))))
    x = x * gate[:, None, None]
    x = self.conv(nn.relu(self.conv(x, "inner", 12)), "outer", 32) + x
    return {"features": nn.relu(x).mean((1, 2))}


class EndsInSigmoid(_Trunk):
  """What is 0 before is a half in the features."""

  @nn.compact
  def __call__(self, x, train):
    """Maps images to features."""
    x = self.conv(x, "stem", 8, kernel=(3, 3))
    return {"features": nn.sigmoid(x).mean((1, 2))}


class Nominal(_Trunk):
  """Its layers are as wide as it says."""

  @nn.compact
  def __call__(self, x, train):
    """Maps images to features."""
    x = nn.relu(nn.Conv(8, (3, 3), name="stem")(x))
    return {
      "features": nn.relu(nn.Conv(4, (1, 1), name="last")(x)).mean((1, 2))
    }


@pytest.fixture
def named(monkeypatch):
  for trunk in (Theirs, EndsInSigmoid, Nominal):
    row = Row(trunk.__name__, f"{__name__}:{trunk.__name__}")
    monkeypatch.setitem(NETWORKS._rows, row.name, row)


def test_what_no_table_knows_computes_what_it_did(named):
  ticket, groups = draw_ticket("Theirs", 8, width=1.0)
  layers = [[name.split("/")[1] for name in group.writers] for group in groups]
  assert layers == [
    ["stem"],
    ["excite", "left", "outer"],
    ["excite", "outer", "right"],
    ["squeeze"],
    ["inner"],
  ]
  pruned, kept = prune(ticket, groups)
  small = shrink.shrink(pruned)
  for side in (8, 11):
    assert_close(logits(small, side), logits(pruned, side))
  left, right = kept[1].sum(), kept[2].sum()
  shapes = {k: leaf.shape for k, leaf in named_leaves(small.params).items()}
  assert shapes["trunk/left/kernel"][-1] == left < 6
  assert shapes["trunk/depth/kernel"] == (3, 3, 1, 2 * (left + right))
  images = jnp.zeros((1, 8, 8, 3))
  drawn = small.network().init(jax.random.key(0), images, train=False)
  assert {
    k: x.shape for k, x in named_leaves(drawn["params"]).items()
  } == shapes


def test_what_is_not_0_where_its_channels_are_is_refused(named):
  ticket, groups = draw_ticket("EndsInSigmoid", 8)
  with pytest.raises(TicketError, match="gives out what is not 0 where"):
    shrink.shrink(prune(ticket, groups)[0])


def test_layers_that_do_not_read_their_widths_are_named(named):
  ticket, groups = draw_ticket("Nominal", 8)
  with pytest.raises(TicketError, match="layers that read .*layers.width_of"):
    shrink.shrink(prune(ticket, groups)[0])
  assert np.isfinite(logits(ticket, 8)).all()
