"""The errors a user can meet; a message names the value that came, what is allowed, the way out."""

import zipfile
import zlib

# What NumPy and zipfile raise, reading arrays from a file that is damaged or none of theirs
DAMAGED = (
    AttributeError, EOFError, LookupError, MemoryError, RuntimeError, SyntaxError, TypeError,
    ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class EmtdampError(Exception):
    """Base of this package's errors; the command line prints it as one line and exits with 1."""

    exit_code = 1


class UsageError(EmtdampError, ValueError):
    """A value given by the user is not allowed; the command line exits with 2."""

    exit_code = 2


class DataError(EmtdampError, RuntimeError):
    """A data file is missing or is not the one this version of the package was released with."""
