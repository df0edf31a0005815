"""Errors that end a command in one line, for the user to read."""


def printable(text: str) -> str:
  """Returns a text in one line: what does not print, as in names, escaped."""
  return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class UserError(Exception):
  """Says in one line what was found and what was expected, and where.

  Commands print it behind `error: ` and exit with 1; anything else is a defect
  of the program, and ends in a traceback.
  """

  def __str__(self) -> str:
    return printable(super().__str__())


class ConfigError(UserError, ValueError):
  """A field of the configuration is impossible; the message names it."""


class LostFileError(UserError):
  """A file that an earlier run left is missing or damaged.

  Attributes:
    stage: folder that is made again, bit for bit, once it is removed; None
      where that is for the command to say.
  """

  stage: str | None = None

  @property
  def advice(self) -> str:
    """Words on what to do, behind the error; "" where it does not know."""
    if self.stage is None:
      return ""
    return (
      f"; remove {self.stage} and run the same command: it is made again, bit "
      "for bit"
    )


class DivergedError(UserError, RuntimeError):
  """A loss, a weight, a feature or a score is no finite number."""
