"""A network that is smaller and faster, and files of it that others load.

  python -m sslprune_jax.main --config=configs/faster.py:digits
  python -m sslprune_jax.main --config=configs/faster.py:fashion_mnist
  python -m sslprune_jax.main --config=configs/faster.py:moco.pth \
    --config.dataset.data_dir=photos

Channels go, ranked by the norm of all that goes with them, until half of the
multiply-adds are left after three rounds and a quarter after six; every round
goes on from the weights that the one before ended with. The folders `export` of
rounds 3 and 6 have what is left, without what was pruned: StableHLO, and, but
for the convnet of digits, safetensors by torchvision's names. With
--config.export.formats="('jax','onnx')" ONNX too, by the extra `onnx`.
`sslprune time` says how much faster they are.

After the colon: `digits` (a convnet, Labels and NPID: minutes on a CPU),
`fashion_mnist` (a ResNet-18 of half width, Labels and RotNet), or a checkpoint
that `sslprune import` reads, see docs/import.md, or a ticket: it is trained,
without labels, to give the features that it gave whole.

Result: docs/channels.md for digits; not run for fashion_mnist.
"""

from sslprune_jax import recipes

_HALVING = 3  # rounds that leave half of the multiply-adds
_TASKS = {"digits": ("labels", "npid"), "fashion_mnist": ("labels", "rotnet")}


def get_config(which="digits"):
  """Returns the configuration of a data set, or of a file."""
  if which in _TASKS:
    config = recipes.study("labels", which)
    config.tasks = _TASKS[which]
    config.npid.update(objective="softmax", temperature=0.1)
    config.retrain.rounds = ()
    config.transfer.protocols = (f"linear:{which}", f"knn:{which}")
    formats = ("jax",)
  else:
    config = recipes.brought(which, "distil")
    formats = ("safetensors", "jax")
  if which == "fashion_mnist":
    config.model.update(name="resnet18", width=0.5)
    config.dataset.train = "train[:10000]"
    formats = ("safetensors", "jax")
  config.name = f"faster_{which if which in _TASKS else config.name}"
  config.prune.update(
    structure="channels",
    counts="multiply_adds",
    rate=1 - 0.5 ** (1 / _HALVING),
    rounds=2 * _HALVING,
    restart_from="trained",
    schedule="restart",
  )
  config.export.update(formats=formats, rounds=(_HALVING, 2 * _HALVING))
  config.transfer.rounds = (0, _HALVING, 2 * _HALVING)
  return config
