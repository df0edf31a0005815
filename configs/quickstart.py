"""The paper's central figure on a laptop, from digits that a package ships.

Labels, RotNet and NPID prune a small convnet by 20 % of the remaining weights
over 18 rounds, to 1.8 %; their masks are then retrained on a tenth of the
labels, since with all of them digits saturate. Two seeds. The other tasks would
fit here too, but not in a few minutes: name them in --config.tasks.

  bash launch/local.sh --config=configs/quickstart.py

Hardware: any CPU. Time, memory and result: README, "What was measured".
"""

from sslprune_jax import recipes


def get_config():
  """Returns the configuration."""
  config = recipes.study("labels", "digits")
  config.name = "quickstart"
  config.tasks = ("labels", "rotnet", "npid")
  config.npid.update(objective="softmax", temperature=0.1)
  config.deepcluster.update(clusters=30, components=32)
  config.retrain.rounds = (0, 6, 12, 18)
  config.retrain.fraction = 0.1
  config.retrain.train.update(batch_size=32, duration="30ep")
  return config
