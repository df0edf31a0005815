"""Dry runs of the paper's figures on its own sets: plans and commands."""

import collections
import pathlib
import subprocess

import pytest

from sslprune_jax.config import files, variants
from sslprune_jax.study.plan import kind, plan

ROOT = pathlib.Path(__file__).parent.parent
# Pretext trainings and masks retrained, over all variants and seeds, and
# transfers: 3 seeds on ImageNet, 6 on CIFAR-10, 31 networks a task (NPID: 11).
_PLANS = {
  ("imagenet2012", "fig1_transfer"): (312, 0, 477),
  ("imagenet2012", "fig2_when_to_prune"): (279, 0, 417),
  ("imagenet2012", "fig3_masks"): (312, 357, 0),
  ("imagenet2012", "fig4_depth"): (930, 1125, 0),
  ("imagenet2012", "fig5_few_labels"): (558, 315, 0),
  ("imagenet2012", "fig6_natural_sparsity"): (186, 270, 0),
  ("imagenet2012", "fig7_rewind"): (372, 360, 0),
  ("imagenet2012", "fig8_architectures"): (279, 315, 0),
  ("imagenet2012", "fig9_depth_alexnet"): (744, 900, 0),
  ("imagenet2012", "fig10_natural_sparsity"): (186, 270, 0),
  ("cifar10", "fig1_transfer"): (558, 0, 552),
  ("cifar10", "fig2_when_to_prune"): (558, 0, 834),
  ("cifar10", "fig3_masks"): (558, 720, 0),
  ("cifar10", "fig4_depth"): (1860, 2250, 0),
  ("cifar10", "fig5_few_labels"): (1116, 630, 0),
  ("cifar10", "fig6_natural_sparsity"): (372, 540, 0),
  ("cifar10", "fig7_rewind"): (744, 720, 0),
  ("cifar10", "fig8_architectures"): (558, 720, 0),
  ("cifar10", "fig9_depth_alexnet"): (1860, 2250, 0),
  ("cifar10", "fig10_natural_sparsity"): (372, 540, 0),
}


@pytest.mark.parametrize("cell", _PLANS, ids="-".join)
def test_a_figure_is_planned_whole_on_the_papers_sets(cell):
  dataset, name = cell
  config = files.load(f"figures:{dataset},{name}")
  kinds, seen = collections.Counter(), set()
  for variant, study in variants.expand(config).items():
    for stage in plan(study):
      kinds[kind(stage)] += 1
      place = f"{variant}/{stage.path}"
      assert place not in seen  # Each has a folder of its own.
      seen.add(place)
  assert (kinds["pretext"], kinds["retrain"], kinds["transfer"]) == _PLANS[cell]


@pytest.mark.parametrize("dataset", ["imagenet2012", "cifar10"])
def test_the_command_of_the_papers_sets_is_the_one_that_is_documented(dataset):
  run = subprocess.run(
    ["bash", "launch/paper.sh", "--dry-run", dataset, "--figures=fig3_masks"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  assert f"configs/figures.py:{dataset},fig3_masks'" in run.stdout
  text = (ROOT / "docs/figures.md").read_text()
  assert f"bash launch/paper.sh {dataset} --figures=fig3_masks" in text
