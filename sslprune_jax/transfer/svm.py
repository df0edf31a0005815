"""`svm`: the VOC07 protocol, a linear SVM a class, by scikit-learn.

Reference: Goyal et al. 2019, arXiv 1905.01235, section 4 and appendix.
"""

import dataclasses
import warnings
from collections.abc import Sequence

import chex
import numpy as np

from sslprune_jax import data, workdir
from sslprune_jax.config import SVM_COSTS
from sslprune_jax.runtime import files
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.transfer import precision
from sslprune_jax.transfer.base import Probe
from sslprune_jax.transfer.target import to_multi_hot

# scikit-learn is imported where it is used: it takes a second, for this
# protocol alone.
FOLDS = 3


@dataclasses.dataclass(frozen=True)
class Machines:
  """One linear SVM a class.

  Attributes:
    weights: f64[K,F].
    bias: f64[K].
    costs: f64[K], C of each class, chosen on the training images.
    validated: f64[K], the cross-validated average precision of that cost.
    converged: bool[K], whether the solver ended before its iterations did.
  """

  weights: np.ndarray
  bias: np.ndarray
  costs: np.ndarray
  validated: np.ndarray
  converged: np.ndarray

  def scores(self, features: np.ndarray) -> np.ndarray:
    """Returns f64[N,K], higher where a class is there.

    Args:
      features: f[N,F], not yet of length 1.
    """
    chex.assert_rank(features, 2, custom_message="features")
    return _unit(features) @ self.weights.T + self.bias


def fit(
  features: np.ndarray,
  labels: np.ndarray,
  class_names: Sequence[str],
  costs: Sequence[float],
) -> Machines:
  """Trains a machine a class, each in a process of its own.

  Features are scaled to length 1. Squared hinge, L2, dual, twice the weight on
  images that show the class. An image with difficult objects of the class only
  counts as one without, in training, as in the protocol's own code.

  Args:
    features: f[N,F].
    labels: int[N,K] of 1, 0 and -1 (difficult only).
    class_names: names of the K classes.
    costs: costs to choose from, by average precision over three folds.

  Returns:
    The machines, refitted on all images.

  Raises:
    ValueError: names a class that is in too few images, or in too many.
  """
  import joblib

  chex.assert_rank([features, labels], 2, custom_message="features, labels")
  chex.assert_equal_shape_prefix([features, labels], 1)
  check(labels, class_names)
  there, features = labels == 1, _unit(features)
  fitted = joblib.Parallel(n_jobs=-1)(
    joblib.delayed(_fit)(features, of_class, costs) for of_class in there.T
  )
  return Machines(*map(np.array, zip(*fitted, strict=True)))


def check(labels: np.ndarray, class_names: Sequence[str]) -> None:
  """Refuses a class that is in fewer images than there are folds, or in all.

  Args:
    labels: int[N,K] of 1, 0 and -1.
    class_names: names of the K classes.

  Raises:
    ValueError: names the class, what was found and what was expected.
  """
  chex.assert_rank(labels, 2, custom_message="labels")
  for name, count in zip(class_names, (labels == 1).sum(0), strict=True):
    for images, kind in (
      (count, "with"),
      (len(labels) - count, "without"),
    ):
      if images < FOLDS:
        raise ValueError(
          f"class {name}: found {images} of {len(labels)} training images "
          f"{kind} it, expected at least {FOLDS}, one a fold of svm, which "
          "config.transfer.protocols may leave out"
        )


def _fit(features, there, costs):
  """Chooses the cost of a class, and trains its machine."""
  from sklearn.exceptions import ConvergenceWarning
  from sklearn.model_selection import cross_val_score

  with warnings.catch_warnings():
    # Large costs do not converge; that of the machine that is kept is said.
    warnings.simplefilter("ignore", ConvergenceWarning)
    validated = [
      cross_val_score(
        _machine(cost), features, there, cv=FOLDS, scoring="average_precision"
      ).mean()
      for cost in costs
    ]
    best = int(np.argmax(validated))
    machine = _machine(costs[best]).fit(features, there)
  return (
    machine.coef_[0],
    machine.intercept_[0],
    costs[best],
    validated[best],
    machine.n_iter_ < machine.max_iter,
  )


def _unit(features: np.ndarray) -> np.ndarray:
  from sklearn.preprocessing import normalize

  return normalize(features.astype(np.float64))


def _machine(cost: float):
  from sklearn.svm import LinearSVC

  return LinearSVC(
    C=cost,
    class_weight={True: 2, False: 1},
    penalty="l2",
    loss="squared_hinge",
    dual=True,
    tol=1e-4,
    max_iter=2000,
    random_state=0,
  )


def _costs(chosen: tuple) -> tuple[float, ...]:
  """Returns costs, or those of the list that is named."""
  return SVM_COSTS.get(chosen[0], chosen)


class SVM(Probe):
  """A linear SVM a class."""

  def check(self, train: data.Source) -> None:
    """Refuses a class that is in too few images."""
    self.target.check_tested()
    try:
      names = train.class_names
      check(to_multi_hot(train.labels, names), names)
    except ValueError as error:
      raise ConfigError(
        f"config.transfer.targets.{self.target.name}: {error}"
      ) from None

  def judge(self, train, test, directory, seed):
    """Chooses costs and trains, on the host."""
    del seed
    names = self.target.train.class_names
    machines = fit(
      train.on_host(),
      to_multi_hot(train.labels, names),
      names,
      _costs(tuple(self.config.transfer.svm.costs)),
    )
    found = precision.of_classes(
      machines.scores(test.on_host()), to_multi_hot(test.labels, names), names
    )
    classes = {
      name: {
        "cost": float(machines.costs[i]),
        "validated": float(machines.validated[i]),
        "converged": bool(machines.converged[i]),
        "average_precision": found[name],
      }
      for i, name in enumerate(names)
    }
    files.write_json(directory / "classes.json", classes)
    metric = "mean_average_precision"
    scores = {metric: float(np.mean(list(found.values())))}
    if self.config.transfer.held_out:
      mean = float(np.mean(machines.validated))
      scores[f"{metric}{workdir.FOR_CHOICE}"] = mean
    costs = {name: found["cost"] for name, found in classes.items()}
    return scores, {"costs": costs}

  def judge_for_choice(self, train, directory, seed):
    """Returns nothing: cross-validation has held images out already."""
    del train, directory, seed
    return {}
