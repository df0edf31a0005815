"""What half of a network's multiply-adds are worth, by the way that they went.

A ResNet-18 of half width on 10,000 images of Fashion-MNIST, trained for 8
epochs in each of the variants, by Exemplar, whose update sees each image twice,
for 4; neighbours and a linear classifier judge its features on 10,000 test
images, of RotNet those of the third stage, as its last ones are no better than
an untrained network's (docs/sweeps.md). Variants:

- `whole`: nothing goes;
- `pruned`: after half of the epochs, when it is judged too, channels go by norm
  until half of the multiply-adds are left, and what is left is trained from
  these weights for the other half;
- `random`: the same with random channels;
- `narrow`: a network that was narrow from the start, with 0.506 of the
  multiply-adds.

  python -m sslprune_jax.main --config=configs/channels.py:rotnet --processes=2

After the colon: `labels`, `rotnet` or `exemplar`.

Result: docs/channels.md, "What half of the multiply-adds are worth"; not run
for exemplar.
"""

from sslprune_jax import paper, variants

_IMAGES = "train[:10000]"


def get_config(task="labels"):
  """Returns the configuration of a task."""
  whole = paper.study(task, "fashion_mnist")
  whole.name = f"channels_{task}"
  whole.model.update(name="resnet18", width=0.5)
  epochs = 4 if task == "exemplar" else 8
  whole.dataset.train, whole.train.duration = _IMAGES, f"{epochs}ep"
  whole.prune.rounds, whole.retrain.rounds = 0, ()
  whole.transfer.protocols = ("linear:fashion_mnist", "knn:fashion_mnist")
  whole.transfer.rounds = (0,)
  whole.transfer.layers = ("stage3" if task == "rotnet" else "features",)
  whole.transfer.targets.fashion_mnist.train = _IMAGES
  # As many updates as on all of the training images.
  whole.transfer.linear.train.update(
    duration="6552it", milestones=("1872it", "3744it", "5616it")
  )

  narrow = whole.copy_and_resolve_references()
  narrow.model.width = 0.355
  pruned = whole.copy_and_resolve_references()
  pruned.train.duration = f"{epochs // 2}ep"
  pruned.prune.update(
    structure="channels",
    counts="multiply_adds",
    rate=0.5,
    rounds=1,
    restart_from="trained",
    schedule="restart",
  )
  pruned.transfer.rounds = (0, 1)
  random = pruned.copy_and_resolve_references()
  random.prune.criterion = "random"
  random.transfer.rounds = (1,)
  for study in (narrow, pruned, random):
    study.transfer.random = False
  for name, study in (
    ("whole", whole),
    ("pruned", pruned),
    ("random", random),
    ("narrow", narrow),
  ):
    variants.add(whole, name, study)
  return whole
