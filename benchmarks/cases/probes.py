"""Linear classifiers on features, beside scikit-learn."""

import numpy as np

_EPOCHS = 28


def _features(size, width, classes, seed):
  """Draws features of overlapping classes."""
  rng = np.random.default_rng(0)
  centres = 0.1 * rng.standard_normal((classes, width), np.float32)
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, classes, size).astype(np.int32)
  noise = rng.standard_normal((size, width), np.float32)
  return centres[labels] + noise, labels


class Linear:
  """Our linear classifier by SGD, its features on the device."""

  def __init__(self):
    """Lays the features out."""
    import jax

    from sslprune_jax.runtime import devices
    from sslprune_jax.training import optimizer
    from sslprune_jax.transfer import logistic

    features, labels = _features(50_000, 512, 10, seed=1)
    self._test = _features(10_000, 512, 10, seed=2)
    self._rows = jax.device_put(features[None], devices.split())
    self._labels = jax.device_put(labels, devices.replicated_sharding())
    updates = len(labels) // 256
    self._optimizer = optimizer.optimizer(
      "sgd", weight_decay=5e-4, momentum=0.9, nesterov=True
    )
    schedule = optimizer.schedule(
      "step",
      0.01,
      length=_EPOCHS * updates,
      milestones=[8 * updates, 16 * updates, 24 * updates],
    )
    self._epoch = logistic.make_epoch(self._optimizer, schedule)
    self._updates = updates

  def answer(self):
    """Returns the accuracy on new features."""
    from sslprune_jax.transfer import logistic

    features, labels = self._test
    found = logistic.scores(self.run(), features[None], labels[None])
    return {"accuracy": float(found["accuracy"])}

  def run(self):
    """Trains for 28 epochs."""
    import jax

    from sslprune_jax.runtime import rng as rng_lib
    from sslprune_jax.transfer import logistic

    size = len(self._labels)
    classifier = logistic.create(
      self._rows, np.arange(size, dtype=np.int32), 10
    )
    opt_state = self._optimizer.init(classifier.params)
    for epoch in range(_EPOCHS):
      order = rng_lib.permutation(0, epoch, size)[: self._updates * 256]
      classifier, opt_state, _ = self._epoch(
        classifier,
        opt_state,
        self._rows,
        self._labels,
        order.reshape(self._updates, 256),
        np.int32(epoch * self._updates),
      )
    return jax.block_until_ready(classifier)


class SGD:
  """scikit-learn's SGDClassifier for as many epochs."""

  def __init__(self):
    """Takes the same features."""
    self._train = _features(50_000, 512, 10, seed=1)
    self._test = _features(10_000, 512, 10, seed=2)

  def answer(self):
    """Returns the accuracy on new features."""
    return {"accuracy": float(self.run().score(*self._test))}

  def run(self):
    """Trains for 28 epochs."""
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
      StandardScaler(),
      SGDClassifier(
        loss="log_loss",
        average=True,
        max_iter=_EPOCHS,
        tol=None,
        n_jobs=2,
        random_state=0,
      ),
    ).fit(*self._train)


_COSTS = (0.1,)


def _voc():
  """Draws 5,000 x 2,048 features of images that show some of 20 classes."""
  rng = np.random.default_rng(0)
  there = rng.random((5_000, 20)) < 0.08
  centres = rng.standard_normal((20, 2_048), np.float32)
  noise = rng.standard_normal((5_000, 2_048), np.float32)
  return np.maximum(there @ centres + 15 * noise, 0), there.astype(np.int32)


class Machines:
  """Our SVM a class, its cost chosen by cross-validation."""

  def __init__(self):
    """Draws the features."""
    self._features, self._labels = _voc()

  def answer(self):
    """Returns the chosen costs and what they were chosen by."""
    found = self.run()
    return {
      "costs": found.costs.tolist(),
      "validated": found.validated.tolist(),
    }

  def run(self):
    """Trains 20 machines."""
    from sslprune_jax.transfer import svm

    names = [str(i) for i in range(20)]
    return svm.fit(self._features, self._labels, names, _COSTS)


class GridSearch:
  """scikit-learn's GridSearchCV over the same machines, two at a time."""

  def __init__(self):
    """Draws the same features."""
    self._features, self._labels = _voc()

  def answer(self):
    """Returns the chosen costs and what they were chosen by."""
    found = self.run()
    return {
      "costs": [search.best_params_["C"] for search in found],
      "validated": [float(search.best_score_) for search in found],
    }

  def run(self):
    """Trains 20 machines."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import GridSearchCV
    from sklearn.preprocessing import normalize
    from sklearn.svm import LinearSVC

    features = normalize(self._features.astype(np.float64))
    found = []
    with warnings.catch_warnings():
      warnings.simplefilter("ignore", ConvergenceWarning)
      for there in self._labels.T == 1:
        machine = LinearSVC(
          class_weight={True: 2, False: 1},
          dual=True,
          tol=1e-4,
          max_iter=2000,
          random_state=0,
        )
        search = GridSearchCV(
          machine,
          {"C": _COSTS},
          cv=3,
          scoring="average_precision",
          n_jobs=2,
        )
        found.append(search.fit(features, there))
    return found


CASES = {
  "linear_probe": {
    "ours": Linear,
    "peer": SGD,
    "ours_is": "28 epochs of a linear classifier on 50,000 x 512",
    "peer_is": "scikit-learn's SGDClassifier",
    "target": 0.5,
    "tolerance": 0.03,
    "most": 9,
  },
  "svm": {
    "ours": Machines,
    "peer": GridSearch,
    "ours_is": "20 linear SVMs on 5,000 x 2,048, cross-validated",
    "peer_is": "scikit-learn's GridSearchCV over LinearSVC",
    "target": 1.0,
    "least": 3,
    "most": 5,
  },
}
