"""The paper's figures: recipes as the paper has them, and every one runs."""

import csv
import importlib.util
import pathlib

import pytest
from ml_collections import ConfigDict

from sslprune_jax import config as config_lib
from sslprune_jax import report
from sslprune_jax.config import figures, files, recipes, variants
from sslprune_jax.report import paper as paper_lib
from sslprune_jax.runtime.errors import ConfigError, UserError
from sslprune_jax.study import run, validation

CONFIGS = pathlib.Path(__file__).parent.parent / "configs/paper"
FIGURES = sorted(path.stem for path in CONFIGS.glob("*.py"))


def _get_config(name, dataset):
  spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(dataset)


def test_there_is_a_configuration_for_every_figure_that_is_drawn():
  assert sorted(paper_lib.FIGURES) == FIGURES and len(FIGURES) == 10


@pytest.mark.parametrize("name", FIGURES)
def test_every_variant_is_valid_on_every_set(name):
  for dataset in figures.DATASETS:
    config = _get_config(name, dataset)
    found = variants.expand(config)
    assert len(found) > 1 or "natural" in name
    for study in found.values():
      validation.validate(study)
      assert study.figure == name and study.dataset.name == dataset
      assert len(study.seeds) == (6 if dataset == "cifar10" else 3)
  with pytest.raises(ConfigError, match=f"{name}.py:svhn: found 'svhn'"):
    _get_config(name, "svhn")


@pytest.mark.parametrize("dataset", ["cifar10", "digits_half"])
def test_in_one_study_of_all_figures_each_is_what_it_is_alone(dataset):
  every = variants.expand(figures.every_figure(dataset))
  alone = {
    f"{name}/{variant}": study
    for name in FIGURES
    for variant, study in variants.expand(_get_config(name, dataset)).items()
  }
  assert {name: study.to_dict() for name, study in every.items()} == {
    name: study.to_dict() for name, study in alone.items()
  }
  parts = variants.by_figure(figures.every_figure(dataset))
  assert sorted(parts) == FIGURES
  for name, part in parts.items():
    own = variants.expand(_get_config(name, dataset))
    assert part.figure == name and list(part.variants) == list(own)


def test_some_figures_are_one_study_too():
  some = files.load("figures:digits_half,fig7_rewind,fig3_masks")
  assert sorted(variants.by_figure(some)) == ["fig3_masks", "fig7_rewind"]
  every = variants.expand(figures.every_figure("digits_half"))
  for name, study in variants.expand(some).items():
    assert study.to_dict() == every[name].to_dict()
  with pytest.raises(UserError, match="found the figure 'fig11', expected"):
    files.load("figures:digits_half,fig11")
  with pytest.raises(UserError, match="svhn: found 'svhn' after"):
    files.load("figures:svhn")


# Supplement 6.4: duration, batch, learning rate, weight decay, milestones, and
# the update that is rewound to: 3,840,000 samples, one epoch on CIFAR-10.
_RECIPES = {
  ("fig3_masks", "imagenet2012", "labels"): (
    *("90ep", 1536, 0.1, 1e-4, ("50ep", "65ep", "80ep")),
    2500,
  ),
  ("fig3_masks", "imagenet2012", "rotnet"): (
    *("90ep", 1536, 1.0, 1e-5, ("50ep", "65ep", "80ep")),
    2500,
  ),
  ("fig3_masks", "imagenet2012", "exemplar"): (
    *("40ep", 1536, 0.3, 1e-5, ("20ep", "30ep")),
    2500,
  ),
  ("fig3_masks", "imagenet2012", "npid"): (
    *("150ep", 1024, 0.03, 1e-4, ()),
    3750,
  ),
  ("fig5_few_labels", "imagenet2012", "few_images"): (
    *("200ep", 768, 0.1, 1e-3, ("140ep", "160ep", "180ep")),
    5000,
  ),
  ("fig5_few_labels", "imagenet2012", "few_classes"): (
    *("200ep", 768, 0.3, 3e-4, ("140ep", "160ep", "180ep")),
    5000,
  ),
  # 2048 rows: 256 images and as many labelled ones, at four angles; epochs of
  # the labelled images, 500 updates each.
  ("fig5_few_labels", "imagenet2012", "s4l_few_images"): (
    *("100000it", 256, 0.1, 3e-4, ("70000it", "80000it", "90000it")),
    1875,
  ),
  ("fig8_architectures", "imagenet2012", "labels"): (
    *("90ep", 4096, 0.4, 1e-4, ("30ep", "60ep")),
    938,  # 937.5, half up
  ),
  ("fig8_architectures", "imagenet2012", "rotnet"): (
    *("90ep", 8192, 0.5, 1e-5, ("30ep", "60ep")),
    469,  # 468.75
  ),
  ("fig8_architectures", "imagenet2012", "exemplar"): (
    *("30ep", 4096, 0.1, 1e-4, ("20ep",)),
    938,
  ),
  ("fig8_architectures", "cifar10", "rotnet"): (
    *("160ep", 512, 1e-3, 1e-4, ("80ep", "120ep")),
    97,
  ),
  ("fig3_masks", "cifar10", "exemplar"): (
    *("180ep", 512, 3e-4, 1e-4, ("120ep",)),
    97,
  ),
}


@pytest.mark.parametrize("cell", _RECIPES, ids="-".join)
def test_recipes_and_rewind_points_are_the_papers(cell):
  *recipe, update = _RECIPES[cell]
  name, dataset, variant = cell
  config = variants.expand(_get_config(name, dataset))[variant]
  train = config.train
  assert recipe == [
    train.duration,
    train.batch_size,
    train.learning_rate,
    train.weight_decay,
    train.milestones,
  ]
  images = {"imagenet2012": 1_281_167, "cifar10": 50_000}[dataset]
  assert update == config_lib.updates(
    config,
    "prune.rewind",
    batch_size=train.batch_size,
    num_images=images,
    samples=8 if variant.startswith("s4l") else 1,
  )
  labels = _RECIPES[name, dataset, "labels"] if variant == "labels" else None
  if labels:  # Masks are retrained by the recipe of Labels.
    assert config.retrain.train.duration == labels[0]
  assert config.retrain.rounds == tuple(
    r for r in recipes.REPORTED_ROUNDS if r <= config.prune.rounds
  )
  assert config.prune.rounds == (10 if variant == "npid" else 30)


def test_the_four_criteria_rewind_a_tenth_of_imagenet_apart():
  # Table 1: Labels on everything rewinds to update 2500 of 75,060, which is 3
  # epochs of 90 and 3,840,000 samples.
  found = variants.expand(_get_config("fig7_rewind", "imagenet2012"))
  rewinds = {name: study.prune.rewind for name, study in found.items()}
  assert rewinds["epochs"] == "3ep"
  assert rewinds["samples"] == "3840000samples"
  assert rewinds["updates"] == "2500it"
  updates = {
    name: config_lib.updates(
      study, "prune.rewind", batch_size=768, num_images=128_117
    )
    for name, study in found.items()
  }
  share = round(200 * 166 * 2500 / (90 * 834))
  assert updates == {
    "epochs": 3 * 166,
    "samples": 5000,
    "updates": 2500,
    "share": share,
  }


def test_depths_are_those_of_the_networks():
  depths = {
    ("fig4_depth", "imagenet2012"): [1, 10, 22, 40, 0],  # ResNet-50, by stage
    ("fig9_depth_alexnet", "imagenet2012"): [1, 3, 5, 0],
  }
  for cell, expected in depths.items():
    found = variants.expand(_get_config(*cell)).values()
    assert sorted(s.prune.first_layers for s in found) == sorted(2 * expected)


def _smallest(config):
  """Makes a figure as small as it can be: one seed, one round, few updates."""
  found = variants.expand(config)
  with config.unlocked():
    config.variants = ConfigDict()
  for number, (name, study) in enumerate({"": config, **found}.items()):
    study.seeds = (0,)
    study.model.width = 0.25
    study.deepcluster.components = 16
    study.prune.update(rounds=1, rewind=f"{number % 3}it")
    study.train.update(duration="3it", batch_size=16, milestones=())
    study.retrain.train.update(duration="2it", batch_size=16)
    if study.retrain.rounds:
      study.retrain.rounds = (0, 1)
    study.transfer.rounds = (0, 1)
    study.transfer.svm.costs = (1.0,)
    for recipe in (study.transfer.linear, study.transfer.finetune):
      recipe.train.update(duration="2it", batch_size=16, milestones=())
    if name:
      variants.add(config, name, study)
  return config


# The others are of the same stages, on more tasks and sets: minutes in all.
_QUICK = ("fig2_when_to_prune", "fig3_masks")


@pytest.mark.parametrize(
  "name",
  [
    pytest.param(name, marks=() if name in _QUICK else pytest.mark.slow)
    for name in FIGURES
  ],
)
def test_the_smallest_run_ends_in_its_figure_verdicts_and_numbers(
  name, tmp_path
):
  config = _smallest(_get_config(name, "digits"))
  run.run(config, tmp_path)
  page, *_ = report.write_report([tmp_path], tmp_path / "report.html")
  stem = tmp_path / f"figures/{name}_digits"
  assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
  assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
  rows = csv.DictReader(stem.with_suffix(".csv").read_text().splitlines())
  assert {row["n"] for row in rows if row.get("round")} == {"1"}
  text = page.read_text()
  figure = paper_lib.FIGURES[name]
  assert figure.title in text and "no results yet" not in text
  assert "undecided" in text, "a verdict of one seed"
  for variant in config.variants:
    assert (tmp_path / variant / "report.html").exists()
