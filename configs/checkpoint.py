"""Prunes the network that you have, with the images that you have.

After the colon stands a checkpoint that `sslprune import` reads, see
docs/import.md, or a ticket; behind a comma how it is pruned:

  python -m sslprune_jax.main --config=configs/checkpoint.py:moco.pth \
    --config.dataset.data_dir=photos
  python -m sslprune_jax.main --config=configs/checkpoint.py:moco.pth,distil \
    --config.dataset.data_dir=photos

`one-shot`, the first look: ten densities, each cut from the network at once and
not trained. `distil`: ten rounds of 20 %, each rewound to the file and trained,
without labels, to give the features of the dense network. `labels`: the same
rounds, trained on labels; there the dense network is trained too, or what is
pruned would be compared with one that never saw a label.

Size, channels and normalisation of images are those of the network; weights do
not say them: where they are not ImageNet's, import first, with flags. Photos
need no labels: they are then judged by how much of the dense features is left.
Where they have some (a subfolder a class, or `labels.csv` with the columns
`file,label`, which may name a share of them), also by neighbours, linear
classifiers and SVMs. The report opens with size against quality, and with the
smallest networks within 1 and 2 points of the dense one.

Result: docs/results.md, "Bring your own network".
"""

import pathlib

from sslprune_jax import recipes
from sslprune_jax.config import ConfigError

_MODES = ("one-shot", "distil", "labels")
_ROUNDS = 10
_DENSITIES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)


def get_config(which="checkpoint.pth"):
  """Returns the configuration of a file, and how it is pruned."""
  file, comma, mode = which.rpartition(",")
  mode = mode.strip()
  if mode not in _MODES:
    if comma and pathlib.Path(file).exists():
      raise ConfigError(
        f"configs/checkpoint.py:{which}: found {mode!r} behind the file, "
        f"expected one of {', '.join(_MODES)}"
      )
    file, mode = which, _MODES[0]
  config = recipes.brought(file, "labels" if mode == "labels" else "distil")
  config.name += f"_{mode}"
  if mode == "one-shot":
    config.prune.update(method="one-shot", densities=_DENSITIES)
  else:
    config.prune.rounds = _ROUNDS
  config.transfer.rounds = tuple(range(_ROUNDS + 1))
  return config
