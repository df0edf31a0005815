"""What public functions say of arrays of a wrong rank, type or shape.

The functions are collected, so that one that comes new has its row here or a
reason to have none.
"""

import functools
import importlib
import pkgutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sslprune_jax import (
  features,
  models,
  pruning,
  tasks,
  transfer,
)
from sslprune_jax.data import augment, colour
from sslprune_jax.features import kmeans, layout, moments, neighbours, pca
from sslprune_jax.models import grids, kept, layers
from sslprune_jax.pruning import (
  channel_cuts,
  channels,
  controls,
  magnitude,
  sparsity,
)
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.tasks import (
  base,
  deepcluster,
  distil,
  exemplar,
  labels,
  npid,
  rotnet,
)
from sslprune_jax.training import packed, saved, state
from sslprune_jax.transfer import (
  fidelity,
  knn,
  logistic,
  precision,
  svm,
  target,
)

_TREE = {"trunk": {"a": {"kernel": np.ones((3, 2), np.float32)}}}
_FLAT = {"trunk": {"a": {"kernel": np.ones(6, np.float32)}}}
_WIDE = {"trunk": {"a": {"kernel": np.ones((3, 1), np.float32)}}}
_MASKS, _FLAT_MASKS = masks_lib.dense(_TREE), masks_lib.dense(_FLAT)
_RNG = np.random.default_rng(0)
_HEAD = {"head": {"kernel": np.ones((2, 3)), "bias": np.ones(3)}}
_STATE = types.SimpleNamespace(params=_HEAD)
_CLASSIFIER = logistic.Classifier(_HEAD, np.zeros(2), np.ones(2))
_BANK = {"neighbours": 1, "temperature": 0.1, "num_classes": 2}
_TRIPLETS = {"first": 0, "views": 2, "margin": 0.5, "mining": "batch-hard"}
_KEY, _KEYS = jax.random.key(0), jax.random.split(jax.random.key(0), 4)
_IMAGES = np.zeros((4, 6, 6, 3), np.uint8)
_INIT = models.build("convnet", 2).init
_FLOATS = r"float32 but expected .*bool.*\[trunk/a/kernel\]"


def ones(*shape, dtype=np.float32):
  return np.ones(shape, dtype)


def name_of(function):
  """Returns a name such as "tasks.base.score_classes"."""
  module = function.__module__.removeprefix("sslprune_jax.")
  return f"{module}.{function.__qualname__}"


def case(function, message, *args, **kwargs):
  """Makes a row: what a function says of these arguments."""
  called = functools.partial(function, *args, **kwargs)
  return pytest.param(called, message, id=name_of(function))


CASES = [
  # Masks and pruning.
  case(kept.encode, r"assert_type.*float.*bool", {("a", 0): ones(3)}),
  case(masks_lib.prunable, _FLOATS, _TREE),
  case(masks_lib.prunable_names, _FLOATS, _TREE),
  case(masks_lib.count, _FLOATS, _TREE),
  case(masks_lib.density, _FLOATS, _TREE),
  case(masks_lib.shares, _FLOATS, _TREE, _TREE),
  case(masks_lib.pack, _FLOATS, _TREE),
  case(masks_lib.apply, r"equal_shape.*\(3, 1\)", _MASKS, _WIDE),
  case(masks_lib.apply, "assert_type.*float32.*bool", _TREE, _TREE),
  case(
    masks_lib.check_pruned,
    r"equal_shape.*\(6,\).*\[trunk/a/kernel\]",
    _MASKS,
    _FLAT,
  ),
  case(
    masks_lib.unpack,
    r"rank 2.*expected 1.*\[trunk/a/kernel\]",
    {"trunk/a/kernel": ones(1, 1)},
    _TREE,
  ),
  case(
    channels.find,
    r"rank 4.*expected 2.*\[logits\]",
    lambda variables, images: images,
    {},
    (6, 6, 3),
  ),
  case(
    channel_cuts.choose,
    r"equal_shape.*\(2,\).*\(3,\)",
    [],
    [ones(2)],
    [ones(3, dtype=bool)],
    None,
    1,
    None,
  ),
  case(channel_cuts.remaining, _FLOATS, _TREE, []),
  case(channel_cuts.multiply_adds, _FLOATS, [], _TREE, {}),
  case(magnitude.magnitude_scores, r"shape.*\(6,\)", _FLAT, _MASKS),
  case(magnitude.prune_to, "structure|shape", _FLAT, _MASKS, 0.5, None),
  case(magnitude.score, r"shape.*\(6,\)", "magnitude", _FLAT, _MASKS),
  case(magnitude.prune, r"shape.*\(6,\)", _FLAT, _MASKS, 0.5, _RNG),
  case(controls.permute, _FLOATS, _TREE, _RNG),
  case(controls.adjust, r"shape.*\(6,\)", _MASKS, _FLAT_MASKS, _RNG),
  case(sparsity.report, _FLOATS, _TREE, _TREE, {"trunk/a/kernel": 1}),
  case(sparsity.density_of, _FLOATS, _TREE, ["trunk/a/kernel"]),
  case(sparsity.overlap, _FLOATS, _MASKS, _TREE),
  case(sparsity.nonzero_masks, r"shape.*\(6,\)", _FLAT, _MASKS, 0.1),
  case(sparsity.magnitudes, r"shape.*\(6,\)", _FLAT, _MASKS),
  # Features.
  case(neighbours.unit, r"rank 1.*expected 2.*\[vectors\]", ones(3)),
  case(neighbours.similarities, "rank 1.*expected 2", ones(3, 2), ones(2)),
  case(
    neighbours.nearest,
    r"input 0 has rank 1.*expected 2.*\[queries, rows, held, answers\]",
    ones(2),
    ones(3, 2),
    ones(3, dtype=bool),
    ones(3),
    1,
  ),
  case(
    neighbours.nearest,
    "prefix",
    ones(1, 2),
    ones(3, 2),
    ones(4, dtype=bool),
    ones(4),
    1,
  ),
  case(
    neighbours.vote, "rank 1.*expected 2", ones(3), ones(3, dtype=int), 0.1, 2
  ),
  case(layout.lay_out, r"rank 1.*expected 2.*\[points\]", ones(3)),
  case(layout.flat, r"rank 1.*expected 2.*\[assignment\]", ones(3), 3),
  case(layout.dot, r"rank 3.*expected.*\[a, b\]", ones(1, 1, 1), ones(1, 1)),
  case(layout.read, "rank 1.*expected 2", 0, 1, ones(3), ones(3)),
  case(pca.fit_pca, "rank 2.*expected 3", ones(3, 2), ones(3), 1),
  case(
    pca.project,
    "rank 2.*expected 3",
    ones(3, 2),
    pca.Projection(ones(2), ones(2, 1)),
  ),
  case(kmeans.kmeans, "rank 2.*expected 3", ones(3, 2), ones(3), 1, None),
  case(kmeans.kmeans, "prefix", ones(1, 3, 2), ones(1, 4), 1, None),
  # Losses, and what else tasks compute.
  case(
    base.score_classes,
    r"input 1 has rank 2.*expected 1.*\[logits, label\]",
    ones(3, 2),
    ones(3, 1, dtype=int),
  ),
  case(moments.inverse, r"rank 2.*expected 1.*\[deviation\]", ones(1, 2)),
  case(
    distil.cosine,
    r"shape.*\[student, teacher\]",
    ones(3, 2),
    ones(3, 4),
    ones(2),
    ones(2),
  ),
  case(
    distil.cosine,
    r"shape.*\[mean, scale\]",
    ones(3, 2),
    ones(3, 2),
    ones(2),
    ones(3),
  ),
  case(
    fidelity.standardise, "rank 1.*expected 2.*rows", ones(3), ones(3), ones(3)
  ),
  case(fidelity.standardise, "shape.*mean, dev", ones(2, 3), ones(3), ones(2)),
  case(fidelity.neighbours_kept, "rank 1.*expected 2", ones(3), ones(3, 2), 1),
  case(fidelity.neighbours_kept, "prefix", ones(3, 2), ones(2, 2), 1),
  case(base.score_classes, "prefix", ones(3, 2), ones(4, dtype=int)),
  case(
    labels.many_label_losses,
    r"input 1 has rank 1.*expected 2.*\[logits, label\]",
    ones(3, 2),
    ones(3, dtype=int),
  ),
  case(
    labels.many_label_losses,
    r"equal_shape.*\(3, 1\)",
    ones(3, 2),
    ones(3, 1, dtype=int),
  ),
  case(
    npid.nce_losses,
    r"input 0 has rank 2.*expected 1.*\[positive, negative, normaliser\]",
    ones(3, 1),
    ones(3, 2),
    ones(),
    5,
  ),
  case(npid.nce_losses, "prefix", ones(3), ones(4, 2), ones(), 5),
  case(
    exemplar.triplet_losses,
    r"input 3 has rank 2.*expected 1.*\[anchors, index, candidates, ",
    ones(4, 2),
    ones(4, dtype=int),
    ones(4, 2),
    ones(4, 1, dtype=int),
    **_TRIPLETS,
  ),
  case(
    exemplar.triplet_losses,
    "prefix",
    ones(4, 2),
    ones(3, dtype=int),
    ones(4, 2),
    ones(4, dtype=int),
    **_TRIPLETS,
  ),
  case(rotnet.rotations, r"rank 3.*expected 4.*\[images\]", _IMAGES[0]),
  case(rotnet.all_rotations, r"rank 3.*expected 4", {"image": _IMAGES[0]}),
  case(
    deepcluster.balanced_order, r"rank 2.*expected 1.*\[assig", ones(3, 1), 0, 0
  ),
  case(
    deepcluster.statistics,
    r"input 2 has rank 2.*expected 1.*\[assignment, before, labels\]",
    ones(3, dtype=int),
    2,
    ones(3, dtype=int),
    ones(3, 2, dtype=int),
  ),
  # Networks.
  case(_INIT, r"rank 3.*expected 4.*\[images\]", _KEY, ones(8, 8, 3), False),
  case(_INIT, r"uint8 but.*float.*\[images\]", _KEY, _IMAGES, False),
  case(layers.max_pool_2x2, r"rank 3.*expected 4.*\[x\]", ones(4, 4, 3)),
  case(layers.max_pool, r"rank 3.*expected 4.*\[x\]", ones(4, 4, 3), 1),
  case(layers.average, r"rank 3.*expected 4.*\[x\]", ones(4, 4, 3)),
  case(layers.check_size, "rank 3.*expected 4", "vgg16", ones(4, 4, 3), 16),
  case(layers.sobel, r"rank 3.*expected 4.*\[x\]", ones(4, 4, 3)),
  case(
    grids.read_grid,
    r"rank 3.*\[stage1\]",
    {"stage1": ones(4, 4, 3)},
    "stage1",
  ),
  case(
    grids.readout, r"rank 3.*\[stage1\]", {"stage1": ones(4, 4, 3)}, "stage1"
  ),
  case(grids.adaptive_pool, r"rank 3.*expected 4.*\[x\]", ones(4, 4, 3), 2, 1),
  # Training: a step says it of its batch, in `test_train`.
  case(state.initialize, r"rank 1.*\[rng\]", None, (8, 8, 1), _KEYS),
  case(
    state.create, r"rank 1.*\[rng\]", {"params": _TREE}, _MASKS, None, _KEYS
  ),
  case(
    state.begin_epoch,
    "shape",
    _STATE,
    None,
    {"kernel": ones(3), "bias": ones(3)},
  ),
  # Transfer.
  case(
    knn.classify,
    r"rank 2.*expected 3.*\[bank, labels, queries\]",
    ones(3, 2),
    ones(3),
    ones(1, 3, 2),
    **_BANK,
  ),
  case(
    knn.classify,
    "suffix",
    ones(1, 3, 2),
    ones(1, 3),
    ones(1, 3, 4),
    **_BANK,
  ),
  case(
    logistic.create,
    "rank 2.*expected 3",
    ones(3, 2),
    ones(3, dtype=int),
    2,
  ),
  case(
    logistic.loss,
    r"rank 2.*expected 1.*\[labels\]",
    _HEAD,
    ones(3, 2),
    ones(3, 1, dtype=int),
  ),
  case(
    logistic.scores,
    r"rank 2.*expected 3.*\[features\]",
    _CLASSIFIER,
    ones(3, 2),
    ones(3, dtype=int),
  ),
  case(_CLASSIFIER.logits, r"rank 1.*expected 2.*\[features\]", jnp.ones(2)),
  case(precision.average_precision, "rank 2.*expected 1", ones(3, 1), ones(3)),
  case(precision.of_classes, "rank 1.*expected 2", ones(3), ones(3), ["a"]),
  case(svm.fit, "rank 1.*expected 2", ones(3, 2), ones(3), ["a"], (1.0,)),
  case(svm.check, r"rank 1.*expected 2.*\[labels\]", ones(3), ["a"]),
  case(target.to_multi_hot, r"rank 3.*\[labels\]", ones(1, 1, 1), ["a"]),
  # Augmentation; more in `test_data_doors`.
  case(augment.random_crop, "rank 3.*expected 4", _KEYS, _IMAGES[0], 1),
  case(augment.random_flip, "rank 3.*expected 4", _KEYS, _IMAGES[0]),
  case(augment.random_resized_crop, "rank 3.*expected 4", _KEYS, _IMAGES[0]),
  case(augment.random_rotation, "rank 3.*expected 4", _KEYS, _IMAGES[0], 5.0),
  case(
    augment.random_box,
    r"rank 1.*expected 0.*\[key\]",
    _KEYS,
    6,
    6,
    (1, 1),
    (1, 1),
  ),
  case(
    augment.normalise, r"float32 but.*uint8.*\[images\]", ones(1, 2), (0,), (1,)
  ),
  case(colour.check_batch, r"rank 3.*\[keys, images\]", _KEYS, _IMAGES[0]),
  case(colour.colour_jitter, "rank 3.*expected 4", _KEYS, _IMAGES[0], (0,) * 4),
  case(colour.random_grey, "rank 3.*expected 4", _KEYS, _IMAGES[0], 0.5),
  case(colour.to_bytes, r"uint8 but.*float32.*\[images\]", _IMAGES),
]

# Public functions of these that have no row, by their reason.
FOLDERS = (pruning, features, tasks, models, transfer)
MODULES = (augment, colour, packed, saved, state)
NO_ROW = {
  "settings alone, no array": (
    "data.augment.make_normalise",
    "features.extraction.make_step",
    "features.moments.make_step",
    "features.layout.blocks",
    "features.layout.shards",
    "models.alexnet.alexnet",
    "models.alexnet.alexnet_rotnet",
    "models.alexnet.alexnet_stages",
    "models.alexnet.alexnet_torchvision",
    "models.kept.decode",
    "models.layers.maybe_remat",
    "models.layers.norm",
    "models.layers.width_of",
    "models.layers.scale_width",
    "models.layers.write_once",
    "models.grids.pooling",
    "models.network.build",
    "models.network.endpoints",
    "models.network.from_config",
    "models.counting.layer_order",
    "models.network.num_features",
    "models.counting.uses",
    "models.network.with_head",
    "models.network.without_head",
    "models.resnet.resnet18",
    "models.resnet.resnet34",
    "models.resnet.resnet50",
    "models.resnet.resnet101",
    "models.vgg.vgg16",
    "models.vgg.vgg19",
    "models.vgg.vgg19_dense",
    "models.network.variants",
    "pruning.channel_scores.has_scales",
    "pruning.channels.of_network",
    "pruning.channels.of_trunk",
    "pruning.counts.remaining_after",
    "pruning.counts.share_of",
    "pruning.masks.why_kept",
    "tasks.make",
    "transfer.protocol.load",
    "transfer.target.dataset_of",
    "transfer.base.recipe_settings",
    "transfer.logistic.make_epoch",
  ),
  "arrays of any shape": (
    "models.kept.compose",
    "pruning.channel_cuts.cut",
    "pruning.channel_cuts.widen",
    "pruning.channel_scores.noise",
    "pruning.channel_scores.norms",
    "pruning.channel_scores.scales",
    "pruning.channel_scores.taylor",
    "pruning.primitives.jaxpr_of_call",
    "pruning.primitives.run",
    "pruning.ties.stays",
    "features.layout.sum_shards",
    "pruning.masks.dense",
    "pruning.grafting.graft",
    "training.packed.pack",
    "training.packed.unpack",
    "training.packed.unpack_fields",
    "training.saved.copy",
    "training.saved.fields",
    "training.saved.fit",
    "training.saved.restore",
    "training.saved.restore_task",
    "training.state.place",
  ),
  "files, or a source of images": (
    "features.extraction.extract",
    "features.moments.measure",
    "pruning.archive.read",
    "pruning.ticket_file.read",
    "pruning.ticket_file.write",
    "pruning.tickets.load",
    "pruning.tickets.save",
  ),
  "an error of its own that names the weight": (
    "models.kept.take",
    "pruning.masks.check",
    "pruning.tickets.check",
  ),
}


@pytest.mark.parametrize(("called", "message"), CASES)
def test_a_wrong_array_is_named_at_the_door(called, message):
  with pytest.raises(AssertionError, match=f"(?s){message}"):
    called()


def _public():
  """Returns the names of all public functions of the folders and modules."""
  modules = list(MODULES)
  for folder in FOLDERS:
    modules.append(folder)
    for found in pkgutil.iter_modules(folder.__path__, folder.__name__ + "."):
      if not found.name.endswith("__main__"):
        modules.append(importlib.import_module(found.name))
  return {
    name_of(function)
    for module in modules
    for name, function in vars(module).items()
    if not name.startswith("_")
    # Its own, also under `jax.jit`; no classes.
    and getattr(function, "__module__", None) == module.__name__
    and callable(function)
    and not isinstance(function, type)
  }


def test_every_public_function_has_a_row_or_a_reason_to_have_none():
  rows = {row.id for row in CASES}
  excepted = [name for names in NO_ROW.values() for name in names]
  assert len(set(excepted)) == len(excepted) and not rows & set(excepted)
  public = _public()
  assert public - rows - set(excepted) == set(), "give each a row in CASES"
  assert set(excepted) - public == set(), "no such function: take it out"
