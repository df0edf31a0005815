"""Sets of which some images have a label, of any kind of source."""

import numpy as np
import pytest
from test_data_tfds_source import prepare

from sslprune_jax import data
from sslprune_jax.config import recipes
from sslprune_jax.features import neighbours
from sslprune_jax.study.images import RETRAINING, StudyData
from sslprune_jax.tasks import npid


def _arrays(labels, **more):
  images = np.zeros((len(labels), 8, 8, 1), np.uint8)
  return data.ArraySource(images, np.array(labels), **more)


@pytest.mark.parametrize(
  "labels, partly",
  [([0, 1, 2], False), ([0, -1, 2], True), ([[1, -1], [0, 1]], False)],
)
def test_partly_labelled_is_what_lacks_a_class_somewhere(labels, partly):
  source = _arrays(labels)
  assert data.is_partly_labelled(source) == partly
  kept = data.labelled_part(source)
  assert (kept is source) != partly
  assert not data.is_partly_labelled(kept)
  assert not data.is_partly_labelled(data.ArraySource(source.images))


def test_unlabelled_images_of_any_set_are_no_class(monkeypatch):
  source = _arrays([0, 1, 2, -1] * 15, class_names="abc", name="stl10")
  monkeypatch.setattr(data, "load", lambda spec: source)
  config = recipes.study("labels", "digits")
  config.dataset.name, config.retrain.fraction = "stl10", 1.0
  images = StudyData(config)
  for purpose in ("labels", RETRAINING):
    assert (images.images(purpose, 0).train.labels >= 0).all()
  assert len(images.images("rotnet", 0).train) == 60
  views = {"augment": None, "normalise": None}
  made = npid.NPID.make(config.npid.to_dict(), source, 3, views)
  assert made.num_classes == 0


def test_what_has_no_class_has_no_vote():
  near = np.float32([[0.9, 0.8, 0.7, 0.6, 0.5]])
  answer = np.int32([[-1, -1, -1, 1, 1]])
  assert neighbours.vote(near, answer, 0.1, 3).tolist() == [1]


def test_of_a_prepared_set_few_images_tell(tmp_path, monkeypatch):
  prepare(tmp_path, "fixed", size=8)
  source = data.load(data.Spec("fixed", "train", data_dir=str(tmp_path)))
  monkeypatch.setattr(source, "read_labels", lambda: pytest.fail("a pass"))
  assert not data.is_partly_labelled(source)
  monkeypatch.undo()
  monkeypatch.setattr(source, "_label", lambda example: example["label"] - 1)
  assert data.is_partly_labelled(source)
  assert sorted(set(data.labelled_part(source).labels.tolist())) == [0, 1]
