"""Figure 8 (F8): figure 3 with the paper's other networks.

VGG-19 on CIFAR-10 and AlexNet on ImageNet; on the small sets VGG-19 of an
eighth of the width, Labels and RotNet (digits are enlarged to 16 x 16, the
least that it takes).
@FIG@
"""

from sslprune_jax import paper, recipes, variants

_TASKS = ("labels", "rotnet", "exemplar")


def get_config(dataset="cifar10"):
  """Returns the configuration of a data set."""
  config = paper.figure("fig8_architectures", dataset)
  for task in _TASKS[: 3 if dataset in paper.PAPER else 2]:
    if dataset == "imagenet2012":
      study = recipes.alexnet(task)
    else:
      study = paper.study(task, dataset)
      study.model.name = "vgg19"
    paper.narrow(study, "vgg19", width=0.125, size=16)
    study.retrain.inits = ("rewind", "reinit")
    if task == "labels":
      study.retrain.inits += ("random",)
    variants.add(config, task, study)
  return config
