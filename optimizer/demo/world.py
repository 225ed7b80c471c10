"""Drawn pictures with captions: coloured shapes, and monsters made of parts.

One monster, the subject, appears in no pretraining picture: it is what the demo's LoRAs learn.
"""

import math
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

TRIGGER = "mivo"
CLASS_WORD = "monster"
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 38, 42),
    "green": (44, 160, 62),
    "blue": (46, 84, 214),
    "yellow": (244, 214, 54),
    "purple": (142, 58, 186),
    "orange": (246, 136, 34),
    "white": (246, 246, 246),
    "black": (26, 26, 28),
    "pink": (250, 150, 196),
    "brown": (128, 82, 44),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
SUBJECT: dict[str, str | int] = {"body": "purple", "belly": "yellow", "horns": 2, "eyes": 1}
TRAIN_BACKGROUNDS = ("white", "green", "blue", "pink")
UNSEEN_BACKGROUNDS = ("red", "orange", "black", "brown")

_NAMES = tuple(COLOURS)
_LEAST_BODY, _LEAST_BELLY = 0.12, 0.05
_LEAST_PLAIN_BORDER = 0.9
_SUPERSAMPLING = 4
_JITTER = 8
_NUMBERS = ("no", "one", "two")
_CONSONANTS, _VOWELS = "bcdfghjklmnpqrstvwxz", "aeiou"


@dataclass(frozen=True)
class Drawing:
    """A picture, its caption, and what is on it."""

    image: Image.Image
    caption: str
    attributes: dict[str, str | int]


class _Canvas:
    """A square picture drawn large and shrunk, so that edges are smooth. Units: its side is 1."""

    def __init__(self, background: str, size: int, rng: Random) -> None:
        self.size, self.rng = size, rng
        side = size * _SUPERSAMPLING
        self.image = Image.new("RGB", (side, side), self.paint(background))
        self.pen = ImageDraw.Draw(self.image)

    def paint(self, colour: str) -> tuple[int, int, int]:
        """A colour, never quite the same twice."""
        red, green, blue = (
            min(255, max(0, round(c + self.rng.uniform(-_JITTER, _JITTER))))
            for c in COLOURS[colour]
        )
        return red, green, blue

    def px(self, *values: float) -> list[float]:
        """Lengths as pixels of the large picture."""
        return [v * self.size * _SUPERSAMPLING for v in values]

    def finished(self) -> Image.Image:
        """The picture at its final size."""
        return self.image.resize((self.size, self.size), Image.Resampling.BOX)


def draw_shape(rng: Random, size: int, colour: str, shape: str, background: str) -> Image.Image:
    """One coloured shape near the middle."""
    canvas = _Canvas(background, size, rng)
    x, y, r = rng.uniform(0.38, 0.62), rng.uniform(0.38, 0.62), rng.uniform(0.2, 0.33)
    _draw_outline(canvas, shape, x, y, r, canvas.paint(colour))
    return canvas.finished()


def _draw_outline(
    canvas: _Canvas, shape: str, x: float, y: float, r: float, fill: tuple[int, int, int]
) -> None:
    pen, px = canvas.pen, canvas.px
    box = px(x - r, y - r, x + r, y + r)
    if shape == "circle":
        pen.ellipse(box, fill=fill)
    elif shape == "ring":
        pen.ellipse(box, outline=fill, width=round(px(0.36 * r)[0]))
    elif shape == "square":
        pen.rectangle(px(x - 0.88 * r, y - 0.88 * r, x + 0.88 * r, y + 0.88 * r), fill=fill)
    elif shape == "triangle":
        pen.polygon(px(x, y - r, x + r, y + 0.8 * r, x - r, y + 0.8 * r), fill=fill)
    elif shape == "star":
        pen.polygon(px(*_star(x, y, r)), fill=fill)
    else:
        arm = 0.36 * r
        pen.rectangle(px(x - arm, y - r, x + arm, y + r), fill=fill)
        pen.rectangle(px(x - r, y - arm, x + r, y + arm), fill=fill)


def _star(x: float, y: float, r: float) -> list[float]:
    points = []
    for corner in range(10):
        reach = r * (1.1 if corner % 2 == 0 else 0.45)
        angle = -math.pi / 2 + corner * math.pi / 5
        points += [x + reach * math.cos(angle), y + reach * math.sin(angle)]
    return points


def draw_monster(
    rng: Random, size: int, *, body: str, belly: str, horns: int, eyes: int, background: str
) -> Image.Image:
    """A monster: body, belly, none to two horns in the belly's colour, one or two eyes."""
    canvas = _Canvas(background, size, rng)
    x, y, r = rng.uniform(0.42, 0.58), rng.uniform(0.5, 0.6), rng.uniform(0.23, 0.3)
    pen, px = canvas.pen, canvas.px
    horn_colour = canvas.paint(belly)
    if horns == 1:
        pen.polygon(
            px(x - 0.28 * r, y - 0.8 * r, x + 0.28 * r, y - 0.8 * r, x, y - 1.65 * r),
            fill=horn_colour,
        )
    for side in (-1, 1) if horns == 2 else ():
        tip = (x + side * 0.78 * r, y - 1.55 * r)
        pen.polygon(
            px(x + side * 0.15 * r, y - 0.8 * r, x + side * 0.82 * r, y - 0.5 * r, *tip),
            fill=horn_colour,
        )
    shell = px(x - 0.85 * r, y - r, x + 0.85 * r, y + r)
    pen.rounded_rectangle(shell, radius=px(0.6 * r)[0], fill=canvas.paint(body))
    lap = px(x - 0.5 * r, y + 0.1 * r, x + 0.5 * r, y + 0.95 * r)
    pen.rounded_rectangle(lap, radius=px(0.35 * r)[0], fill=canvas.paint(belly))
    for offset in (0.0,) if eyes == 1 else (-0.38, 0.38):
        _draw_eye(canvas, x + offset * r, y - 0.42 * r, (0.34 if eyes == 1 else 0.24) * r)
    return canvas.finished()


def _draw_eye(canvas: _Canvas, x: float, y: float, r: float) -> None:
    canvas.pen.ellipse(canvas.px(x - r, y - r, x + r, y + r), fill=(250, 250, 250))
    r *= 0.5
    canvas.pen.ellipse(canvas.px(x - r, y - r, x + r, y + r), fill=(10, 10, 10))


def subject_drawings(count: int, size: int, seed: int) -> list[Drawing]:
    """Pictures of the subject, captioned with the trigger, over backgrounds to train on."""
    rng = Random(seed)
    return [
        subject_drawing(rng, size, TRAIN_BACKGROUNDS[i % len(TRAIN_BACKGROUNDS)])
        for i in range(count)
    ]


def subject_drawing(rng: Random, size: int, background: str) -> Drawing:
    """One picture of the subject."""
    body, belly, horns, eyes = "purple", "yellow", 2, 1
    image = draw_monster(
        rng, size, body=body, belly=belly, horns=horns, eyes=eyes, background=background
    )
    caption = f"a {TRIGGER} {CLASS_WORD} on a {background} background"
    return Drawing(image, caption, SUBJECT | {"background": background})


def base_drawing(rng: Random, size: int) -> Drawing:
    """A picture for pretraining the base models; a third of the captions hold a made-up word.

    Real text encoders have met rare words; one that has not loses its way at a new trigger.
    """
    drawing = _shape_drawing(rng, size) if rng.random() < 0.4 else _monster_drawing(rng, size)
    if rng.random() >= 0.35:
        return drawing
    caption = drawing.caption.replace("a ", f"a {_pseudo_word(rng)} ", 1)
    return Drawing(drawing.image, caption, drawing.attributes)


def judge_drawing(rng: Random, size: int) -> Drawing:
    """A picture for pretraining the judge, whose captions name more parts."""
    return _shape_drawing(rng, size) if rng.random() < 0.35 else _monster_drawing(rng, size)


def _shape_drawing(rng: Random, size: int) -> Drawing:
    colour, shape = rng.choice(list(COLOURS)), rng.choice(SHAPES)
    background = _other(rng, colour)
    image = draw_shape(rng, size, colour, shape, background)
    attributes: dict[str, str | int] = {
        "colour": colour,
        "shape": shape,
        "background": background,
    }
    return Drawing(image, f"a {colour} {shape} on a {background} background", attributes)


def _monster_drawing(rng: Random, size: int) -> Drawing:
    while True:
        body = rng.choice(list(COLOURS))
        belly, background = _other(rng, body), _other(rng, body)
        if (body, belly) != (SUBJECT["body"], SUBJECT["belly"]):
            break
    horns, eyes = rng.choice((0, 1, 2)), rng.choice((1, 2))
    image = draw_monster(
        rng, size, body=body, belly=belly, horns=horns, eyes=eyes, background=background
    )
    attributes: dict[str, str | int] = {
        "body": body,
        "belly": belly,
        "horns": horns,
        "eyes": eyes,
        "background": background,
    }
    return Drawing(image, _monster_caption(rng, attributes), attributes)


def _monster_caption(rng: Random, found: dict[str, str | int]) -> str:
    kind = rng.random()
    place = f"on a {found['background']} background"
    if kind < 0.25:
        return f"a monster {place}"
    if kind < 0.5:
        return f"a {found['body']} monster {place}"
    if kind < 0.75:
        return f"a {found['body']} monster with a {found['belly']} belly {place}"
    return f"a {found['body']} monster with a {found['belly']} belly, {parts(found)} {place}"


def parts(found: dict[str, str | int]) -> str:
    """Horns and eyes in words."""
    horns, eyes = int(found["horns"]), int(found["eyes"])
    horn_word = "horn" if horns == 1 else "horns"
    eye_word = "eye" if eyes == 1 else "eyes"
    return f"{_NUMBERS[horns]} {horn_word} and {_NUMBERS[eyes]} {eye_word}"


def _other(rng: Random, colour: str) -> str:
    return rng.choice([c for c in COLOURS if c != colour])


def _pseudo_word(rng: Random) -> str:
    while True:
        letters = [rng.choice(_CONSONANTS if rng.random() < 0.6 else _VOWELS) for _ in range(4)]
        word = "".join(letters[: rng.choice((3, 4))])
        if word != TRIGGER:
            return word


def background_of(image: Image.Image) -> str:
    """The named colour of a picture's border, read from the pixels."""
    return _NAMES[int(_nearest(np.median(_border(image), axis=0)[None])[0])]


def _border(image: Image.Image) -> NDArray[np.float32]:
    """The pixels (n, 3) of a thin rim."""
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    rim = max(len(pixels) // 16, 1)
    edges = [pixels[:rim], pixels[-rim:], pixels[:, :rim], pixels[:, -rim:]]
    return np.concatenate([edge.reshape(-1, 3) for edge in edges])


def shows_subject(image: Image.Image) -> bool:
    """Whether the middle shows enough of the subject's two colours, read from the pixels.

    Only for other backgrounds than those two colours, which would be counted with the subject:
    there the answer is always no.
    """
    background = background_of(image)
    if background in (SUBJECT["body"], SUBJECT["belly"]):
        return False
    # A model that has fallen apart paints noise in all colours, the subject's among them.
    plain = _nearest(_border(image)) == _NAMES.index(background)
    if plain.mean() < _LEAST_PLAIN_BORDER:
        return False
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    size = len(pixels)
    centre = pixels[size // 8 : -size // 8, size // 6 : -size // 6].reshape(-1, 3)
    names = _nearest(centre)
    shares = {c: float((names == _NAMES.index(c)).mean()) for c in ("purple", "yellow")}
    # More purple than yellow: the subject's colours the other way round are somebody else.
    body_first = shares["purple"] > shares["yellow"]
    return body_first and shares["purple"] > _LEAST_BODY and shares["yellow"] > _LEAST_BELLY


def _nearest(pixels: NDArray[np.float32]) -> NDArray[np.int64]:
    """Index into `_NAMES` of the colour nearest to each pixel (n, 3)."""
    palette = np.array([COLOURS[name] for name in _NAMES], dtype=np.float32)
    distances = ((pixels[:, None] - palette[None]) ** 2).sum(axis=2)
    nearest: NDArray[np.int64] = distances.argmin(axis=1)
    return nearest
