"""What stops the loading of a model, as a sentence that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from optimizer.errors import ModelError


def _loading_errors() -> tuple[type[Exception], ...]:
    """What diffusers, transformers and the hub raise when something is missing or does not fit."""
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    return OSError, ValueError, KeyError, RuntimeError, SafetensorError, SingleFileComponentError


@contextmanager
def explained(problem: str, reference: str) -> Iterator[None]:
    """Whatever stops the loading of a reference becomes a sentence that says what to do."""
    try:
        yield
    except _loading_errors() as error:
        raise ModelError(f"{problem}: {_reason(reference, error)}") from error


def _reason(reference: str, error: Exception) -> str:
    from huggingface_hub import errors

    causes = _causes(error)
    if any(isinstance(cause, errors.RepositoryNotFoundError) for cause in causes):
        return "no such folder is here, and the hub has none by that id or wants `hf auth login`"
    if any(isinstance(c, errors.LocalEntryNotFoundError | ConnectionError) for c in causes):
        return _out_of_reach(reference)
    if any(isinstance(cause, errors.EntryNotFoundError) for cause in causes):
        return "on the hub it is not a diffusers model, a file of one is missing"
    if isinstance(error, KeyError):
        return f"weights are missing from the file, among them {error.args[0]}"
    # Moved before anyone could look which they are.
    if "meta tensor" in str(error):
        return "weights are missing from the file"
    # What follows a wrong shape is advice to programmers.
    return _first_line(error).partition(". If you want to instead")[0]


def _out_of_reach(reference: str) -> str:
    missing = "not in the hub cache, and the hub cannot be reached"
    if Path(reference).is_absolute():
        return (
            f"its configuration is {missing}; set model.config to a diffusers folder of this family"
        )
    return (
        f"no such folder is here, it is {missing}; connect once to download it, "
        "or give a folder or a .safetensors file"
    )


def _causes(error: BaseException | None) -> list[BaseException]:
    causes = []
    while error is not None:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
