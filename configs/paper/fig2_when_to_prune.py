"""Figure 2 (F2): prune during pre-training, or during transfer?

Networks of Labels, RotNet and Exemplar are fine-tuned on VOC2007: those pruned
in pre-training under their masks; the dense ones while they are pruned in the
same rounds. On the other sets, ours: few labels of the same set.

  python -m sslprune_jax.main --processes=2 \
    --config=configs/paper/fig2_when_to_prune.py:digits

After the colon: `imagenet2012` and `cifar10` with the paper's recipes (without
a colon imagenet2012), `fashion_mnist`, `digits_half` and `digits` with ours,
for two CPU cores.

Cost: 4,600 v5e chip-hours for imagenet2012 and 140 for cifar10 by the estimate
of benchmarks/paper_cost.py, whose docstring says how; neither was run. Time and
result for the small sets: docs/results.md.
"""

from sslprune_jax import paper, variants

_TASKS = {
  "imagenet2012": ("labels", "rotnet", "exemplar"),
  "cifar10": ("labels", "rotnet", "exemplar"),
  "fashion_mnist": ("labels", "rotnet"),
  "digits_half": ("labels", "rotnet"),
  "digits": ("labels", "rotnet"),
}
_TARGETS = {
  "imagenet2012": "voc2007",
  "cifar10": "cifar10:0.1",
  "fashion_mnist": "fashion_mnist:0.06",
  "digits_half": "digits_half:0.16",
  "digits": "digits:0.1",
}


def get_config(dataset="imagenet2012"):
  """Returns the configuration of a data set."""
  config = paper.figure("fig2_when_to_prune", dataset)
  for task in _TASKS[dataset]:
    study = paper.study(task, dataset)
    study.transfer.rounds = study.retrain.rounds
    study.retrain.rounds = ()
    study.transfer.random = task == "labels"  # The same for all.
    study.transfer.protocols = (
      f"finetune:{_TARGETS[dataset]}",
      f"prune:{_TARGETS[dataset]}",
    )
    if dataset not in paper.PAPER:  # For 600 and 145 images.
      study.transfer.finetune.train.update(
        duration="300it",
        batch_size=32,
        learning_rate=0.05,
        milestones=("150it", "225it"),
      )
    variants.add(config, task, study)
  return config
