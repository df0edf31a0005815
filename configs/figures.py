"""Figures of the paper on a data set, as one study: configs/paper/.

What they agree in is trained once, and processes divide the seeds of all of
them. Each figure has its own folder in the workdir, as if it was run alone.

  python -m sslprune_jax.main --config=configs/figures.py:digits_half \
    --processes=2

After the colon: `imagenet2012`, `cifar10`, `fashion_mnist`, `digits_half` or
`digits`, as in configs/paper/; then the figures, if not all of them:

  --config=configs/figures.py:digits_half,fig3_masks,fig7_rewind
"""

from sslprune_jax import paper


def get_config(named="digits_half"):
  """Returns the configuration of a data set, and perhaps of some figures."""
  dataset, *names = named.split(",")
  return paper.every_figure(dataset, *names)
