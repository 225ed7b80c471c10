"""Models are named by folder, file or hub id; all three are written in the same place."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ValidationInfo


def _reference(value: object, info: ValidationInfo) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a folder, a file or a hub id in quotes")
    folder: Path = (info.context or {}).get("folder", Path())
    path = folder / Path(value).expanduser()
    if path.exists() or value.startswith((".", "/", "~")) or Path(value).suffix == ".safetensors":
        return str(path.resolve())
    return value


ModelReference = Annotated[str, BeforeValidator(_reference)]
"""An absolute path, or a hub id where no such path exists beside the TOML file."""
