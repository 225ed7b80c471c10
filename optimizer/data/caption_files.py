"""Caption files: where they are looked for, and what is in them."""

from pathlib import Path

from optimizer.config.dataset import Subset
from optimizer.errors import DatasetError


class CaptionFolders:
    """The folders that may hold captions of a subset, listed once.

    A caption has the name of its picture and the subset's caption_extension. It lies beside the
    picture, in a `captions` folder beside the picture's folder, or in one inside it.
    """

    def __init__(self, subset: Subset) -> None:
        self.subset = subset
        folder = subset.image_dir
        places = (folder, folder.parent / "captions", folder / "captions")
        self.names = {place: _names(place) for place in places}

    def captions_of(self, picture: Path) -> tuple[str, ...]:
        """Return the caption of a picture: one line, or all lines with enable_wildcard.

        Raises:
            DatasetError: no caption and no class_tokens, an empty one, or not UTF-8.
        """
        path = self.find(picture)
        if path is not None:
            lines = read_lines(path)
            return lines if self.subset.enable_wildcard else lines[:1]
        if self.subset.class_tokens is not None:
            return (self.subset.class_tokens,)
        raise DatasetError(f"{picture}: {self._missing(picture)}")

    def find(self, picture: Path, extension: str | None = None) -> Path | None:
        """Return the caption file of a picture, None where there is none."""
        name = picture.stem + (extension or self.subset.caption_extension)
        return next((place / name for place in self.names if name in self.names[place]), None)

    def files(self) -> list[Path]:
        """Return all files with the caption_extension, of pictures or not."""
        extension = self.subset.caption_extension
        named = ((place, name) for place, names in self.names.items() for name in sorted(names))
        return [place / name for place, name in named if name.endswith(extension)]

    def _missing(self, picture: Path) -> str:
        wanted = f"has no caption {picture.stem}{self.subset.caption_extension}"
        if other := self.find(picture, ".txt"):
            return f'{wanted}, but there is {other}; set caption_extension = ".txt"'
        return f"{wanted}; write one or set class_tokens"


def read_lines(path: Path) -> tuple[str, ...]:
    """Return the lines of a caption that are not blank, stripped; raise DatasetError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: is not UTF-8 (byte {error.start}); save it so") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from None
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not lines:
        raise DatasetError(f"{path}: is empty; write a caption or remove the file")
    return lines


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(path.name for path in folder.iterdir())
    except OSError:  # mostly: there is no such folder
        return frozenset()
