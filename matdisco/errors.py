"""Every exception that matdisco raises on purpose.

::

    MatdiscoError                 a sentence for a person; the command line prints it
    ├── ConfigError               the configuration is wrong (exit 2, nothing written)
    ├── DataError                 a file or record is not what it should be
    ├── SetupError                a backend cannot start; nothing has been spent yet
    │   └── MissingExtra          an optional package is absent; says what to install
    ├── SurrogateError            a surrogate cannot be trained, loaded or asked
    ├── LedgerError               the campaign record cannot be read or written
    │   ├── LedgerLocked          another process is writing to it
    │   └── LedgerDamaged         its hash chain or its file does not verify
    └── CampaignError             a campaign cannot start or go on

A *failed calculation* is not in this tree: it is data, an
:class:`~matdisco.evaluators.base.Evaluation` whose ``failure`` is set.
"""

from __future__ import annotations


class MatdiscoError(Exception):
    """Base of all errors whose message is meant for the user."""


class ConfigError(MatdiscoError):
    """The configuration is wrong; raised before anything is spent or written."""


class DataError(MatdiscoError):
    """A file, record or value is not what was expected."""


class SetupError(MatdiscoError):
    """A backend cannot start: executable, weights, element or setting missing."""


class MissingExtra(SetupError):
    """An optional package is not installed.

    Args:
        package: the import name that was looked for.
        extra: the matdisco extra that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed; install it with: "
            f'pip install "matdisco[{extra}]"'
        )


class SurrogateError(MatdiscoError):
    """A surrogate cannot be trained, loaded or asked for a prediction."""


class TooFewRecords(SurrogateError):
    """There are not enough labels yet to train on."""


class LedgerError(MatdiscoError):
    """The campaign record cannot be read or written."""


class LedgerLocked(LedgerError):
    """Another process holds the writer lock of this run."""


class LedgerDamaged(LedgerError):
    """The ledger's hash chain or its file does not verify."""


class CampaignError(MatdiscoError):
    """A campaign cannot start or cannot go on."""
