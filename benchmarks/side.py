"""One side of a case, started by `run.py`: answers once, then times runs."""

import json
import resource
import sys
import time

import psutil


def main():
  """Reads a line for every run; prints seconds of clock and processor."""
  from cases import CASES

  answers, sys.stdout = sys.stdout, sys.stderr  # A study prints its progress.
  case, side = sys.argv[1:]
  if side == "ours" or CASES[case].both_ours:
    from sslprune_jax.runtime import environment

    environment.prepare()
  made = getattr(CASES[case], side)()
  sys.stdin.readline()
  print(json.dumps(made.answer()), file=answers, flush=True)
  for _ in sys.stdin:
    began = time.perf_counter(), _processor()
    made.run()
    seconds = time.perf_counter() - began[0], _processor() - began[1]
    print(json.dumps(seconds), file=answers, flush=True)


def _processor():
  """Returns seconds of all threads, and of the processes that it started."""
  ended = map(
    resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
  )
  # Workers stay from run to run. Theirs are counted in hundredths of a second.
  live = [
    child.cpu_times() for child in psutil.Process().children(recursive=True)
  ]
  return sum(of.ru_utime + of.ru_stime for of in ended) + sum(
    of.user + of.system + of.children_user + of.children_system for of in live
  )


if __name__ == "__main__":
  main()
