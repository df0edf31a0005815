"""The settings that benchmarks/sweep.py tries, as flags of a study.

At most eight a task and set. Durations are short: a setting is chosen by what
10,000 images of Fashion-MNIST, or four fifths of the digits, give it.
"""

_LONGER = 3  # Times the duration.


def _train(epochs, batch_size=128, rate=2e-3, **fields):
  fields = {
    "duration": f"{epochs}ep",
    "batch_size": batch_size,
    "learning_rate": rate,
    **fields,
  }
  return tuple(f"--config.train.{name}={v}" for name, v in fields.items())


def _crops(least):
  return (f"--config.views.crop_scale=({least},1.0)",)


def _angles(copies):
  return (f"--config.rotnet.copies={copies}",)


_WIDE = ("--config.model.width=2.0",)
_SOFTMAX = ("--config.npid.objective=softmax",)


def _rotnet(epochs, batch_size, rate):
  """Returns the settings of RotNet; epochs are of all four angles."""
  usual = _train(epochs, batch_size, rate)
  return {
    "4 angles": (*usual, *_angles(4)),
    "crops": (*usual, *_angles(4), *_crops(0.3)),
    "small crops": (*usual, *_angles(4), *_crops(0.1)),
    "crops, 1 angle": (
      *_train(4 * epochs, batch_size, rate),
      *(*_angles(1), *_crops(0.3)),
    ),
    "crops, wide": (*usual, *_angles(4), *_crops(0.3), *_WIDE),
    "crops, long": (
      *_train(_LONGER * epochs, batch_size, rate),
      *(*_angles(4), *_crops(0.3)),
    ),
    "crops, small batches": (
      *_train(epochs, batch_size // 4, rate / 2),
      *(*_angles(4), *_crops(0.3)),
    ),
    "crops, decay 1e-3": (
      *_train(epochs, batch_size, rate, weight_decay=1e-3),
      *(*_angles(4), *_crops(0.3)),
    ),
  }


def _exemplar(epochs, batch_size, rate):
  usual = _train(epochs, batch_size, rate)
  return {
    "padding": usual,
    "crops": (*usual, *_crops(0.3)),
    "small crops": (*usual, *_crops(0.1)),
    "crops, batch-hard": (
      *usual,
      *_crops(0.3),
      "--config.exemplar.mining=batch-hard",
    ),
    "crops, long": (*_train(_LONGER * epochs, batch_size, rate), *_crops(0.3)),
    "crops, large batches": (
      *_train(epochs, 4 * batch_size, rate),
      *_crops(0.3),
    ),
  }


def _npid(epochs, batch_size, rate):
  usual = _train(epochs, batch_size, rate)
  return {
    "nce": (
      *(*usual, "--config.npid.objective=nce"),
      "--config.npid.negatives=1024",
    ),
    "softmax": (*usual, *_SOFTMAX),
    "softmax, crops": (*usual, *_SOFTMAX, *_crops(0.3)),
    "softmax, small crops": (*usual, *_SOFTMAX, *_crops(0.1)),
    "softmax, crops, 0.2": (
      *(*usual, *_SOFTMAX, *_crops(0.3)),
      "--config.npid.temperature=0.2",
    ),
    "softmax, crops, long": (
      *_train(_LONGER * epochs, batch_size, rate),
      *(*_SOFTMAX, *_crops(0.3)),
    ),
  }


def _s4l(epochs, batch_size, rate):
  usual = _train(epochs, batch_size, rate)
  return {
    "padding": usual,
    "crops": (*usual, *_crops(0.3)),
    "rotation 0.3": (*usual, "--config.s4l.rotation_weight=0.3"),
  }


def _deepcluster(epochs, batch_size, rate):
  usual = _train(epochs, batch_size, rate, schedule="constant")
  return {
    "padding": usual,
    "crops": (*usual, *_crops(0.3)),
    "crops, 30 clusters": (
      *(*usual, *_crops(0.3)),
      "--config.deepcluster.clusters=30",
    ),
    "crops, no edges": (*usual, *_crops(0.3), "--config.model.sobel=False"),
  }


def _labels(epochs, batch_size, rate):
  """Returns lengths of a training on a tenth of the labels, as of masks."""
  return {
    f"{times} x": (
      *_train(times * epochs, batch_size, rate),
      "--config.labels.images=0.1",
    )
    for times in (1, 2, 4, 8, 16)
  }


# (set, task) -> setting -> flags.
SETTINGS = {
  ("fashion_mnist", "labels"): _labels(10, 64, 2e-3),
  ("fashion_mnist", "rotnet"): _rotnet(2, 128, 2e-3),
  ("fashion_mnist", "exemplar"): _exemplar(4, 128, 1e-3),
  ("fashion_mnist", "npid"): _npid(10, 128, 1e-3),
  ("fashion_mnist", "s4l"): _s4l(1, 64, 2e-3),
  ("fashion_mnist", "deepcluster"): _deepcluster(5, 128, 2e-3),
  ("digits", "labels"): _labels(30, 32, 4e-3),
  ("digits", "rotnet"): _rotnet(20, 64, 2e-3),
  ("digits", "exemplar"): _exemplar(40, 64, 2e-3),
  ("digits", "npid"): _npid(40, 32, 1e-3),
  ("digits", "s4l"): _s4l(20, 32, 2e-3),
  ("digits", "deepcluster"): _deepcluster(40, 32, 2e-3),
}
# What was chosen: (set, task) -> setting.
CHOSEN = {
  ("fashion_mnist", "labels"): "8 x",
  ("fashion_mnist", "rotnet"): "crops, 1 angle",
  ("fashion_mnist", "exemplar"): "crops",
  ("fashion_mnist", "npid"): "softmax, crops, long",
  ("fashion_mnist", "s4l"): "crops",
  ("fashion_mnist", "deepcluster"): "crops, 30 clusters",
  ("digits", "labels"): "1 x",
  ("digits", "rotnet"): "crops, 1 angle",
  ("digits", "exemplar"): "crops",
  ("digits", "npid"): "softmax, crops",
  ("digits", "s4l"): "crops",
  ("digits", "deepcluster"): "padding",
}
