"""Errors that end a command in one line, for the user to read."""


class UserError(Exception):
  """Says in one line what was found and what was expected, and where.

  Commands print it behind `error: ` and exit with 1; anything else is a defect
  of the program, and ends in a traceback.
  """


class ConfigError(UserError, ValueError):
  """A field of the configuration is impossible; the message names it."""


class LostFileError(UserError):
  """A file that an earlier run left is missing or damaged."""
