"""One log file per study, written line by line; libraries kept quiet."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Append everything this package logs to a file while the block runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter(FORMAT))
    logger = logging.getLogger("optimizer")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()


def quiet_libraries() -> None:
    """Keep what libraries say about themselves out of the terminal; call before they load.

    Errors still show, and whatever the user set in the environment wins.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # Optuna says so of features that have been there for years.
    warnings.filterwarnings("ignore", message=".*is experimental \\(supported from")
    for category in (FutureWarning, UserWarning):
        for package in ("diffusers", "transformers", "peft", "torch", "accelerate", "optuna"):
            warnings.filterwarnings("ignore", category=category, module=package)


def hide_loading_bars() -> None:
    """No bars for reading weights from disk; downloads from the hub keep theirs."""
    from diffusers.utils.logging import disable_progress_bar as of_diffusers
    from transformers.utils.logging import disable_progress_bar as of_transformers

    of_diffusers()
    of_transformers()
