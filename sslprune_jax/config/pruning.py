"""Fields of pruning: what goes, by what score, how much of it and when."""

from sslprune_jax.config.rules import (
  DURATION,
  OPEN_SHARE,
  Field,
  each,
  is_number,
  one_of,
  whole,
)

FIELDS = {
  "structure": Field(
    "weights",
    "what is pruned: weights, or channels with all that writes and reads them, "
    "which makes the network smaller",
    one_of(("weights", "channels")),
  ),
  "criterion": Field(
    "magnitude",
    "what is ranked by: magnitude; of channels also bn_scale, their batch "
    "norm's, taylor, what the task's loss would lose, or random",
    one_of(("magnitude", "bn_scale", "taylor", "random")),
  ),
  "counts": Field(
    "channels",
    "channels: what a rate or a density is of: channels or multiply_adds",
    one_of(("channels", "multiply_adds")),
  ),
  "multiple": Field(
    8,
    "channels: widths stay multiples of it in layers of at least twice as many",
    whole(1),
    "channels",
  ),
  "streams": Field(
    False,
    "channels: whether those go too that several layers add to, the streams of "
    "a residual network",
  ),
  "batches": Field(
    16, "taylor: batches that the loss is averaged over", whole(1), "batches"
  ),
  "method": Field(
    "rounds",
    "rounds: each prunes a rate of what remains and trains again; one-shot: "
    "each is one of densities, cut from the dense network and not trained",
    one_of(("rounds", "one-shot")),
  ),
  "densities": Field(
    (),
    "one-shot: share of the weights, or of what counts of channels, that each "
    "round leaves, one a round",
    each(
      "distinct numbers between 0 and 1, both excluded",
      lambda density: is_number(density) and 0 < density < 1,
    ),
  ),
  "rate": Field(
    0.2,
    "share of the remaining weights, or of what counts of channels, that a "
    "round prunes",
    OPEN_SHARE,
  ),
  "rounds": Field(
    3,
    "rounds of pruning after the dense one",
    whole(0, 999),
    "rounds",
    grows=True,
  ),
  "scope": Field(
    "global",
    "whether weights are ranked together, or within each layer",
    one_of(("global", "layer")),
  ),
  "first_layers": Field(
    0, "how many of the first layers are pruned; 0: all", whole(0), "layers"
  ),
  "train_dense": Field(
    True,
    "whether round 0 is trained; otherwise the network stays as it came, which "
    "is W_k",
  ),
  "rewind": Field(
    "1ep", "k: where W_k is taken in the dense training", DURATION
  ),
  "restart_from": Field(
    "rewind",
    "weights that a round is trained from: rewind, W_k, or trained, those that "
    "the round before ended with",
    one_of(("rewind", "trained")),
  ),
  "schedule": Field(
    "continue",
    "whether the schedule of a round's training goes on from k, or restarts",
    one_of(("continue", "restart")),
  ),
}
