"""Traces of what devices and host do, for TensorBoard and Perfetto."""

import contextlib
from collections.abc import Iterator

import jax
from etils import epath

from sslprune_jax.data.batches import Batch

_FIRST, _COUNT = 3, 10  # compilation is over


def trace_updates(
  batches: Iterator[Batch], directory: epath.Path | None
) -> Iterator[Batch]:
  """Traces some updates on the batches that pass.

  Args:
    batches: generator of a batch an update, closed at the end; the fourth
      update and nine more are traced.
    directory: folder where TensorBoard finds the trace, and
      `perfetto_trace.json.gz` for https://ui.perfetto.dev; None for no trace.

  Yields:
    The batches.
  """
  is_tracing = False
  with contextlib.closing(batches):
    try:
      for number, batch in enumerate(batches):
        if directory and number == _FIRST:
          jax.profiler.start_trace(str(directory), create_perfetto_trace=True)
          is_tracing = True
        if is_tracing and number == _FIRST + _COUNT:
          jax.profiler.stop_trace()
          is_tracing = False
        yield batch
    finally:
      if is_tracing:
        jax.profiler.stop_trace()
