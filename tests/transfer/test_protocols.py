"""The registry of protocols: what it refuses, and a protocol of one's own."""

import pytest
from test_transfer_study import config

from sslprune_jax.config import protocols
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.study.plan import transfers
from sslprune_jax.study.transfers import Transfers
from sslprune_jax.transfer import base

_OWN = """
from sslprune_jax.transfer.base import Probe


class Spread(Probe):

  def judge(self, train, test, directory, seed):
    spread = train.on_host().std()
    return {"spread": float(spread)}, {"images": len(test.labels)}
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
  """A protocol in a package of one's own, registered by its name."""
  (tmp_path / "own_protocols.py").write_text(_OWN)
  monkeypatch.syspath_prepend(tmp_path)
  rows = dict(protocols.PROTOCOLS)
  monkeypatch.setattr(protocols.PROTOCOLS, "_rows", rows)
  for _ in range(2):  # A configuration may be read twice.
    protocols.register(
      "spread", "own_protocols:Spread", "My spread", reads_layers=True
    )


def test_a_protocol_of_ones_own_is_planned_and_judges(own, tmp_path):
  settings = config(protocols=("spread:digits",), layers=("stage1", "stage2"))
  made = Transfers(settings, (8, 8, 1))
  first, second = transfers(settings, 0, "rotnet", (2,))
  assert (first.layer, second.layer) == ("stage1", "stage2")
  progress = Progress()
  progress.start(made.num_images(first))
  (line,) = made.run(first, made.random(0), tmp_path, progress)
  assert line["protocol"] == "spread" and line["metric"] == "spread"
  assert line["value"] > 0 and line["images"] == line["n"] == 359


def test_every_protocol_is_where_its_row_says():
  for row in protocols.PROTOCOLS.values():
    assert issubclass(base.load(row), base.Protocol)
    assert row.label and row.drawn_with in ("", *protocols.PROTOCOLS)


def test_an_unknown_protocol_is_never_another_one():
  settings = config(protocols=("lineal:digits",))
  with pytest.raises(ConfigError, match="the protocol 'lineal', expected"):
    transfers(settings, 0, "rotnet", (0,))


@pytest.mark.parametrize(
  ("name", "target", "message"),
  [
    (
      "linear",
      "own_protocols:Spread",
      "'linear': found own_protocols:Spread under",
    ),
    ("my:own", "own_protocols:Spread", "found 'my:own', expected an identif"),
    ("bare", "own_protocols", "found the target 'own_protocols', expected"),
  ],
)
def test_what_cannot_be_registered(own, name, target, message):
  with pytest.raises(ValueError, match=message):
    protocols.register(name, target)


@pytest.mark.parametrize(
  ("target", "message"),
  [
    (
      "own_protocol:Spread",
      "'x': cannot load .*: No module named 'own_protocol'",
    ),
    ("own_protocols:Sprad", "'x': cannot load .* no attribute 'Sprad'"),
    ("own_protocols:__name__", "found own_.*__name__, expected a class of"),
  ],
)
def test_what_cannot_be_loaded(own, target, message):
  protocols.register("x", target)
  with pytest.raises(ConfigError, match=message):
    base.load(protocols.find("x"))
