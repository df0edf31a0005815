"""The short studies of `golden.py`: between them they touch what there is."""

import dataclasses
import pathlib

import numpy as np
from PIL import Image
from sklearn import datasets


@dataclasses.dataclass(frozen=True)
class Case:
  """A command, whose results are compared.

  Attributes:
    flags: of the command, but for its workdir; `{pictures}` stands for the
      folder that `write_pictures` writes, and `{quickstart}` for the workdir of
      the case that is needed.
    module: that is run.
    processes: that run it together.
    needs: the case that runs before it.
  """

  flags: tuple[str, ...]
  module: str = "sslprune_jax.main"
  processes: int = 1
  needs: str | None = None


_UNCROPPED = ("--config.views.crop_scale=()",)
_SHORT = (
  "--config.prune.rounds=2",
  "--config.prune.rewind=3it",
  "--config.train.duration=12it",
  "--config.retrain.train.duration=6it",
  "--config.log.every=4it",
  "--config.log.checkpoint=5it",
  "--config.log.evaluate=5it",
)
_ONE_SEED = (*_SHORT, "--config.seeds=(0,)")
_TRANSFERS = (  # What else recipes say may change without changing bits.
  "--config.transfer.linear.train.weight_decay=1e-4",
  "--config.transfer.finetune.train.weight_decay=1e-4",
  "--config.transfer.finetune.train.nesterov=True",
  "--config.transfer.linear.train.duration=2ep",
  "--config.transfer.linear.train.batch_size=64",
  "--config.transfer.finetune.train.duration=3it",
  "--config.transfer.finetune.train.batch_size=32",
  "--config.transfer.svm.costs=(0.1,1.0)",
)
_QUICKSTART = ("--config=configs/quickstart.py", *_SHORT)
_ONE_PROCESS = (
  *_QUICKSTART,
  "--config.retrain.rounds=(0,2)",
  "--config.retrain.inits=('rewind','reinit','random','adjusted')",
)
_TWO_PROCESSES = (  # Most of its time is compiling.
  *_QUICKSTART,
  "--config.seeds=(0,)",
  "--config.tasks=('npid',)",  # Its bank is divided among the processes.
  "--config.retrain.rounds=()",
)
_EXEMPLAR = (
  "--config=configs/exemplar.py:digits",
  *_ONE_SEED,
  "--config.prune.first_layers=2",
  "--config.prune.schedule=restart",
  "--config.train.optimizer=sgd",
  "--config.train.nesterov=True",
  "--config.train.learning_rate=0.01",
  "--config.train.batch_size=128",
  "--config.retrain.rounds=()",
)
_DEEPCLUSTER = (
  "--config=configs/deepcluster.py:digits",
  *_ONE_SEED,
  "--config.prune.scope=layer",
  "--config.train.batch_size=128",
  "--config.train.duration=24it",  # Clusters are found at 0, 11 and 22.
  "--config.retrain.rounds=(2,)",
  "--config.retrain.inits=('rewind',)",
)
_S4L = (
  "--config=configs/s4l.py:digits",
  *_ONE_SEED,
  *_TRANSFERS,
  "--config.train.batch_size=128",
  "--config.train.learning_rate=4e-3",
  "--config.retrain.rounds=()",
  "--config.transfer.rounds=(0,2)",
  "--config.transfer.linear.augment=True",
  "--config.transfer.protocols="
  "('linear:digits:0.1','finetune:digits:0.1','prune:digits:0.1')",
)
_TRANSFER = (
  "--config=configs/transfer.py:digits",
  *_TRANSFERS,
  "--ticket={quickstart}/seed_0/rotnet/round_02",
  "--ticket={quickstart}/seed_1/labels/round_00",
  "--config.transfer.layers=('features','stage2')",
  "--config.transfer.protocols="
  "('linear:digits','svm:digits:0.1','knn:digits','finetune:digits:0.1')",
)
_FOLDER = (
  "--config=configs/rotnet.py:digits",
  *_ONE_SEED,
  "--config.dataset.name=folder",
  "--config.dataset.data_dir={pictures}",
  "--config.dataset.resident=False",  # Images are decoded as they are needed.
  "--config.dataset.image_size=24",
  "--config.dataset.channels=3",
  "--config.dataset.mean=(0.485,0.456,0.406)",
  "--config.dataset.std=(0.229,0.224,0.225)",
  "--config.dataset.flip=True",
  "--config.dataset.jitter=(0.4,0.4,0.4,0.1)",
  "--config.dataset.grey=0.2",
  "--config.model.width=0.5",
  "--config.rotnet.copies=4",
  "--config.train.learning_rate=4e-3",
  "--config.train.batch_size=16",
  "--config.retrain.train.batch_size=16",
  "--config.retrain.rounds=(2,)",
  "--config.retrain.inits=('random',)",
)
CASES = {
  "quickstart": Case(_ONE_PROCESS),
  "two_processes": Case(_TWO_PROCESSES, processes=2),
  "exemplar": Case(_EXEMPLAR + _UNCROPPED),
  "deepcluster": Case(_DEEPCLUSTER),
  "s4l": Case(_S4L + _UNCROPPED),
  "transfer": Case(
    _TRANSFER, module="sslprune_jax.transfer", needs="quickstart"
  ),
  "folder": Case(_FOLDER + _UNCROPPED),
}


def write_pictures(folder: pathlib.Path) -> None:
  """Writes 120 small pictures of digits in colours, as JPEG and PNG files."""
  digits, rng = datasets.load_digits(), np.random.default_rng(0)
  for label in range(10):
    of_class = folder / str(label)
    of_class.mkdir(parents=True)
    chosen = np.flatnonzero(digits.target == label)[:12]
    for place, index in enumerate(chosen):
      grey = digits.images[index][..., None] / 16
      colours = grey * rng.integers(128, 256, 3) + rng.integers(
        0, 64, (8, 8, 3)
      )
      image = Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))
      image = image.resize((36 + place, 32), Image.Resampling.BICUBIC)
      image.save(of_class / f"{place:02d}.{('jpg', 'png')[place % 2]}")
