"""index.html of a comparison: one file with its pictures inside, to be sent to anybody."""

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from optimizer.files import write_bytes
from optimizer.scoring.compare import Difference
from optimizer.scoring.scorer import Picture, Scored

QUALITY = 90

Named = Sequence[tuple[str, Scored]]
Pairs = Sequence[tuple[tuple[str, str], Sequence[Difference]]]


def write_page(path: Path, sides: Named, pairs: Pairs) -> None:
    """Write the page: verdicts, differences, and every prompt with the pictures of all sides."""
    environment = Environment(
        loader=PackageLoader("optimizer.report"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["data_url"] = data_url
    page = environment.get_template("comparison.html").render(
        sides=[(name, scored.scores) for name, scored in sides],
        pairs=[(names, found, verdict(names, found)) for names, found in pairs],
        prompts=_prompts(sides),
    )
    write_bytes(path, page.encode())


def verdict(names: tuple[str, str], found: Sequence[Difference]) -> str:
    """Who is better, and whether more than noise says so."""
    lead = next(d for d in found if d.metric == "objective")
    better, worse = names if lead.difference < 0 else names[::-1]
    if not lead.is_clear:
        return f"{names[0]} and {names[1]} are not told apart by these pictures."
    return f"{better} is better than {worse} by {abs(lead.difference):.3f}, beyond noise."


def data_url(image: Image.Image) -> str:
    """A picture as an address that holds it."""
    buffer = BytesIO()
    image.convert("RGB").save(buffer, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"


def _prompts(sides: Named) -> list[tuple[str, list[tuple[str, Sequence[Picture]]]]]:
    """Prompts as the first side drew them, with every side's pictures."""
    first = sides[0][1]
    count = first.scores.counts["pictures_per_prompt"]
    return [
        (
            first.pictures[start].prompt,
            [(name, scored.pictures[start : start + count]) for name, scored in sides],
        )
        for start in range(0, len(first.pictures), count)
    ]
