"""Judges trained networks on other data, without a study.

  python -m sslprune_jax.transfer --ticket=runs/rotnet/seed_0/rotnet/round_18 \
    --config=configs/transfer.py:digits

What to transfer to is `config.transfer`; the network and what it expects of an
image are the ticket's. The same command again goes on where a killed one was;
with other tickets, their results join those on the page.
"""

from absl import flags

from sslprune_jax import cli

_CONFIG = cli.define_config(
  "What to transfer to: a file, or the name of one of configs/."
)
_TICKETS = flags.DEFINE_multi_string(
  "ticket",
  None,
  "A folder round_.. of a study, or a `.npz` of it; may be given repeatedly.",
)
_WORKDIR = flags.DEFINE_string(
  "workdir", "runs/transfer", "Where everything is written."
)
cli.define_shared("coordinator", "process", "accept_numerics", "plugins")


def main(argv: list[str]) -> None:
  """Runs the transfers that the flags name."""
  del argv
  cli.runs_with_others()

  def work():
    from sslprune_jax.study import alone

    cli.join_others()
    alone.run(
      _CONFIG.value,
      _TICKETS.value,
      _WORKDIR.value,
      accept_numerics=cli.accepts_numerics(),
    )
    return _WORKDIR.value

  cli.run(work)


if __name__ == "__main__":
  cli.start(main, ["config", "ticket"])
