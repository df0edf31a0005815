"""Traces of what devices and host do, for TensorBoard and Perfetto."""

from collections.abc import Iterable, Iterator

import jax
from etils import epath

from sslprune_jax.data.batches import Batch

_FIRST, _COUNT = 3, 10  # compilation is over


def traced(batches: Iterable[Batch], directory: epath.Path) -> Iterator[Batch]:
  """Traces some updates on the batches that pass.

  Args:
    batches: of the updates, of which the fourth and nine more are traced.
    directory: where TensorBoard finds the trace, and `perfetto_trace.json.gz`
      for https://ui.perfetto.dev.

  Yields:
    The batches.
  """
  is_tracing = False
  try:
    for number, batch in enumerate(batches):
      if number == _FIRST:
        jax.profiler.start_trace(str(directory), create_perfetto_trace=True)
        is_tracing = True
      if number == _FIRST + _COUNT:
        jax.profiler.stop_trace()
        is_tracing = False
      yield batch
  finally:
    if is_tracing:
      jax.profiler.stop_trace()
