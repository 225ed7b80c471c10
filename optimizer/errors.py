"""Every error this package raises on purpose.

OptimizerError
├── InputError                something the user gave cannot be used; exit code 2
│   ├── ConfigError           a TOML or JSON file: unknown key, wrong type, missing value
│   ├── DatasetError          pictures and captions
│   ├── ModelError            a base model, VAE or CLIP that cannot be loaded
│   ├── LoraFileError         a LoRA file: of the other family, damaged, not a LoRA
│   ├── StorageError          a database that cannot be opened
│   ├── StudyError            a study that is missing or was made with other settings
│   ├── CardError             a graphics card that is not there or in use
│   └── TransferError         best parameters that cannot be carried over
├── DiskFullError             nothing more can be written; what was written is whole; exit code 1
├── StudyStoppedError         a study gave up: failures in a row; exit code 1
└── TrialError                one trial failed; the study goes on
    ├── NonFiniteLossError    the loss became NaN or infinite
    ├── SpilledError          the driver swaps to host memory and no way is left to need less
    ├── DivergedError         the loss rose to that of predicting nothing, and stayed there
    ├── BadPicturesError      the LoRA draws black, flat or non-finite pictures
    └── InfeasibleError       a rule of the search space forbids the parameters
"""

from collections.abc import Iterable


class OptimizerError(Exception):
    """Base of all errors raised on purpose."""


class InputError(OptimizerError):
    """Something the user gave cannot be used.

    Takes one sentence or several: all the problems of one file are reported together.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class ConfigError(InputError):
    """A configuration file has an unknown key, a wrong type or a missing value."""


class DatasetError(InputError):
    """Pictures or captions cannot be used."""


class ModelError(InputError):
    """A base model, VAE or CLIP cannot be loaded."""


class LoraFileError(InputError):
    """A LoRA file is damaged, no LoRA, or made for the other family."""


class StorageError(InputError):
    """A database cannot be opened."""


class StudyError(InputError):
    """A study is missing, or was made with other settings."""


class CardError(InputError):
    """A graphics card is not there, or another process works on it."""


class TransferError(InputError):
    """Best parameters cannot be carried over."""


class DiskFullError(OptimizerError):
    """Nothing more can be written; every file that was is whole."""


class StudyStoppedError(OptimizerError):
    """A study gave up; what it found so far is kept."""


class TrialError(OptimizerError):
    """One trial failed; the study goes on. `outcome` is the class that people see."""

    outcome = "error"


class NonFiniteLossError(TrialError):
    """The loss became NaN or infinite."""

    outcome = "non_finite_loss"


class SpilledError(TrialError):
    """The driver keeps what does not fit on the card in host memory, which crawls."""

    outcome = "spilled"


class DivergedError(TrialError):
    """The loss rose far above its start and stayed there."""

    outcome = "diverged"


class BadPicturesError(TrialError):
    """The LoRA draws black, flat or non-finite pictures."""

    outcome = "bad_pictures"


class TooLargeError(TrialError):
    """A trial was predicted not to fit the card."""

    outcome = "predicted_out_of_memory"


class InfeasibleError(TrialError):
    """Rules of the search space forbid these parameters. reasons: one for each rule."""

    outcome = "infeasible"

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons
