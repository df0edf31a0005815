"""Every claim of every figure: made-up runs in which it holds, and fails."""

import pytest
from made_up import CLAIMS, judge, write_claims

from sslprune_jax.report.verdicts import FAILS, HOLDS, NO_DIFFERENCE, WITHHELD


def _levels(table):
  """Returns what looks a level up by variant and start, or by variant."""

  def level(variant, start, index):
    found = table[
      f"{variant} {start}" if f"{variant} {start}" in table else variant
    ]
    return found(index) if callable(found) else found

  return level


def _masks(sign):
  """Figures 3 and 8: levels of which all claims hold (1), or fail (-1)."""
  table = {"labels reinit": 0.8, "labels adjusted": 0.5}
  table["labels rewind"] = 0.9 if sign > 0 else 0.7
  table["labels random"] = 0.6 if sign > 0 else 0.9
  for task in ("rotnet", "exemplar"):
    table[f"{task} reinit"] = 0.795 if sign > 0 else 0.75
    table[f"{task} rewind"] = lambda i: (
      0.82 - 0.004 * i if sign > 0 else 0.78 + 0.004 * i
    )
    table[f"{task} random"] = table[f"{task} adjusted"] = 0.1  # Not drawn.
  return _levels(table)


def _said_of_masks(rounds, tasks):
  """What the levels above make of each claim: where all hold, where none do."""
  middle = sum(rounds) / len(rounds)
  grown = 0.004 * (rounds[-1] - rounds[0])
  said = {"Label tickets are above label masks re-initialised": (0.1, -0.1)}
  for name in tasks:
    said |= {
      f"Re-initialised, masks of {name} match label masks": (-0.005, -0.05),
      f"Label tickets are above {name} tickets": (
        *(0.08 + 0.004 * middle, -0.08 - 0.004 * middle),
      ),
      f"The gap between Labels and {name} grows": (grown, -grown),
      f"{name} tickets are above random masks": (
        *(0.22 - 0.004 * middle, -0.12 + 0.004 * middle),
      ),
      f"{name} tickets gain little over their re-init": (
        *(0.025 - 0.004 * middle, 0.03 + 0.004 * middle),
      ),
    }
  return said


def _depths(sign):
  table = {
    "rotnet_conv1": 0.895 if sign > 0 else 0.8,
    "rotnet_all": 0.8 if sign > 0 else 0.95,
  }

  def level(variant, start, index):
    return table.get(variant, 0.9) if start == "rewind" else 0.3

  return level


_DEPTHS = {
  "Pruned to conv1 only": (0.005, 0.1),
  "Pruned everywhere": (0.1, -0.05),
  "The gap is larger for all layers than for conv1": (0.095, -0.15),
}


def _few_labels(sign):
  levels = {
    "labels": 0.99,
    "rotnet": 0,
    "few_images": 0.1,
    "few_classes": 0.05,
    "s4l_few_images": 0.14,
    "s4l_few_classes": 0.08,
  }

  def level(variant, start, index):
    return 0.6 + sign * levels[variant] if start == "rewind" else 0.3

  return level


_FEW_LABELS = {
  "Labels, few images: its tickets are above RotNet's": (0.1, -0.1),
  "S4L, few images: its tickets are above those of few labels": (0.04, -0.04),
  "S4L, few images: its tickets are above RotNet's": (0.14, -0.14),
  "Labels, few classes: its tickets are above RotNet's": (0.05, -0.05),
  "S4L, few classes: its tickets are above those of few labels": (0.03, -0.03),
  "S4L, few classes: its tickets are above RotNet's": (0.08, -0.08),
  "Few labels gain more over RotNet per class": (0.05, -0.05),
}


def _sparse(sign):
  def level(variant, start, index):
    if sign > 0:
      return {"adjusted": 0.85, "random": 0.8}.get(start, 0.9)
    held = 0.9 if index == 0 else 0.85
    return {"adjusted": 0.75, "random": 0.8}.get(start, held)

  return level


_SPARSE = {
  "Labels: of the dense network's weights, more than half": (0.2, -0.1),
  "Labels: tickets lose nothing": (0, -0.05),
  "Labels: random masks are worse than those adjusted": (0.05, -0.05),
}


def _frozen(sign):
  def level(variant, start, index):
    if index == 0:
      return 0.8
    late = 0.8**index < 0.05
    if sign > 0:
      return 0.7 if late else 0.805
    return 0.85 if late else 0.75

  return level


def _said_of_frozen(tasks, targets, late=()):
  said = {}
  for task in tasks:
    for target in targets:
      said[f"{task}, {target}: nothing is lost"] = (0.005, -0.05)
      if task in late:
        said[f"{task}, {target}: it has dropped"] = (0.1, -0.05)
  return said


def _when(sign):
  return lambda variant, start, index: (
    0.8 + sign * {"finetune": 0.03, "prune": -0.04}[start]
  )


_WHEN = {
  f"{task}, Fine-tuning on digits_half, 16 % of its labels: better": (
    0.07,
    -0.07,
  )
  for task in ("Labels", "RotNet")
}
_TASKS = ("RotNet", "Exemplar", "NPID")
_PAPERS = (
  *("Linear classifier on imagenet2012", "Linear classifier on places205"),
  "Linear SVMs, the VOC07 protocol on voc2007",
)
_LABELS = ", 16 % of its labels"
_ON_DIGITS = (
  f"Linear classifier on digits_half{_LABELS}",
  f"Linear SVMs, the VOC07 protocol on digits_half{_LABELS}",
)
_CASES = {
  ("fig1_transfer", "digits_half"): (
    *(_frozen, _said_of_frozen(_TASKS, _ON_DIGITS)),
  ),
  ("fig1_transfer", "imagenet2012"): (
    *(_frozen, _said_of_frozen(_TASKS, _PAPERS, _TASKS[:2])),
  ),
  ("fig2_when_to_prune", "digits_half"): (_when, _WHEN),
  ("fig3_masks", "digits_half"): (
    _masks,
    _said_of_masks((3, 6, 9, 12), ("RotNet", "Exemplar")),
  ),
  ("fig4_depth", "digits_half"): (_depths, _DEPTHS),
  ("fig5_few_labels", "digits_half"): (_few_labels, _FEW_LABELS),
  ("fig6_natural_sparsity", "digits_half"): (_sparse, _SPARSE),
  ("fig8_architectures", "digits_half"): (
    _masks,
    _said_of_masks((3, 6, 9), ("RotNet",)),
  ),
  ("fig9_depth_alexnet", "digits_half"): (_depths, _DEPTHS),
  ("fig10_natural_sparsity", "digits_half"): (_sparse, _SPARSE),
}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("where", _CASES, ids=" ".join)
def test_every_claim_holds_and_with_its_sides_swapped_does_not(where, sign):
  levels, said = _CASES[where]
  zero = 0.7 if sign > 0 else 0.4
  found = judge(*where, level=levels(sign), zero=zero)
  assert len(found) == len(said)
  for claim, means in said.items():
    (verdict,) = (v for v in found if v.claim.startswith(claim))
    mean = verdict.found.mean - (0.5 if "more than half" in claim else 0)
    assert mean == pytest.approx(means[sign < 0]), claim
    assert verdict.verdict == (HOLDS if sign > 0 else FAILS), claim


@pytest.mark.parametrize(("zero", "verdict"), [(0.01, HOLDS), (0.3, FAILS)])
def test_networks_of_large_images_are_hardly_sparse(zero, verdict):
  where = "fig6_natural_sparsity", "imagenet2012"
  found = judge(*where, level=_sparse(1), zero=zero)
  assert [v.verdict for v in found] == [verdict] * 2  # Labels and RotNet.


@pytest.mark.parametrize(
  ("apart", "verdict"), [(0.03, HOLDS), (0.0, NO_DIFFERENCE)]
)
def test_criteria_of_rewinding_differ_or_do_not(apart, verdict):
  def level(variant, start, index):
    return 0.8 + apart * (variant == "share" and start == "rewind")

  (found,) = judge("fig7_rewind", "digits_half", level=level)
  assert found.verdict == verdict
  assert found.found.mean == pytest.approx(apart)


def test_the_list_of_claims_is_fixed():
  assert write_claims() == CLAIMS.read_text()


@pytest.mark.parametrize("zero", [0.0, 0.1, 0.7])
def test_no_claim_is_dropped_for_what_was_measured(zero):
  where = "fig6_natural_sparsity", "digits_half"
  found = judge(*where, level=_sparse(1), zero=zero)
  assert len(found) == 3
  # The first round that is retrained prunes 36 %.
  withheld = [v.test for v in found if v.verdict == WITHHELD]
  reason = "no round prunes as little as is zero by itself"
  assert withheld == ([reason] * 2 if zero < 0.36 else [])
