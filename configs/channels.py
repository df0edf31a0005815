"""What half of a network's multiply-adds are worth, by the way that they went.

A ResNet-18 of half width on 10,000 images of Fashion-MNIST; neighbours and a
linear classifier judge its features as they come from the task. Variants:

- `pruned`: whole (round 0), and with half of its multiply-adds left after three
  rounds of pruning channels by norm, each rewound and trained;
- `random`: random channels left instead, rewound and trained as long;
- `narrow`: a network that was narrow from the start, as long, with 0.506 of the
  multiply-adds.

  python -m sslprune_jax.main --config=configs/channels.py:rotnet --processes=2

After the colon: `labels`, `rotnet` or `exemplar`.

Result: not run.
"""

from sslprune_jax import paper, variants

_HALVING = 3  # rounds that leave half of the multiply-adds


def get_config(task="labels"):
  """Returns the configuration of a task."""
  whole = paper.study(task, "fashion_mnist")
  whole.name = f"channels_{task}"
  whole.model.update(name="resnet18", width=0.5)
  whole.train.duration = "4ep"
  whole.prune.update(
    structure="channels",
    counts="multiply_adds",
    rate=1 - 0.5 ** (1 / _HALVING),
    rounds=_HALVING,
  )
  whole.retrain.rounds = ()
  whole.transfer.protocols = ("linear:fashion_mnist", "knn:fashion_mnist")
  whole.transfer.rounds = (0, _HALVING)

  random = whole.copy_and_resolve_references()
  random.prune.update(criterion="random", rate=0.5, rounds=1)
  random.transfer.update(rounds=(1,), random=False)
  narrow = whole.copy_and_resolve_references()
  narrow.model.width = 0.355
  narrow.prune.update(structure="weights", counts="channels", rounds=0)
  narrow.transfer.update(rounds=(0,), random=False)
  for name, study in (
    ("pruned", whole),
    ("random", random),
    ("narrow", narrow),
  ):
    variants.add(whole, name, study)
  return whole
