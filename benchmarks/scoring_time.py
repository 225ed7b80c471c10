"""Drawing and scoring a checkpoint, against a plain loop that does one picture at a time.

    python benchmarks/scoring_time.py --pairs 5

Interleaved on the demo's SDXL, one CPU thread: 16 prompts, the same steps, guidance, size, judge.
The plain loop is diffusers' pipeline called with a prompt, and CLIP called with the picture and its
prompt, as tutorials have it; the references are embedded once in both. Ours runs as in a trial, at
batch 1 and with all 16 prompts in a batch. Prints every round, median ratios, and where ours goes.
"""

import argparse
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from optimizer.config.study import StudyConfig, load_study
from optimizer.demo.layout import lay_out
from optimizer.logs import quiet_libraries
from optimizer.scoring import metrics
from optimizer.scoring.encoders import ClipEncoder
from optimizer.scoring.generate import draw
from optimizer.scoring.prompts import PlannedPicture
from optimizer.scoring.schedulers import fresh_scheduler
from optimizer.scoring.scorer import Scorer
from optimizer.trial.workbench import open_scorer

PROMPTS = 16
Split = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    pairs = parser.parse_args().pairs
    quiet_libraries()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        list(lay_out(Path(temporary)))
        config = load_study(Path(temporary) / "studies" / "demo_sdxl.toml")
        scorer = open_scorer(config)
        plan = _plan(scorer)
        ways: dict[str, Callable[[], object]] = {
            "plain loop": lambda: _plain(scorer, plan),
            "ours, batch 1": lambda: _ours(scorer, plan, 1),
            f"ours, batch {PROMPTS}": lambda: _ours(scorer, plan, PROMPTS),
        }
        for way in ways.values():
            way()  # whatever is loaded or compiled at the first call is in no round
        rounds = [{name: _timed(scorer, way) for name, way in ways.items()} for _ in range(pairs)]
    _report(config, rounds)


def _plan(scorer: Scorer) -> list[PlannedPicture]:
    """One picture each of 16 prompts: the study's own, and again with other words behind."""
    own = list(
        {p.prompt: p for p in (*scorer.prompts.subject, *scorer.prompts.preservation)}.values()
    )
    ends = ["", ", outdoors", ", at night", ", small", ", large", ", a drawing", ", a photo"]
    longer = (
        PlannedPicture(p.prompt + end, p.judged + end, p.seed + place)
        for place, end in enumerate(ends)
        for p in own
    )
    return [picture for picture, _ in zip(longer, range(PROMPTS), strict=False)]


def _ours(scorer: Scorer, plan: Sequence[PlannedPicture], batch_size: int) -> Any:
    config = scorer.config.model_copy(update={"batch_size": batch_size})
    vectors = scorer.encoder.pictures(draw(scorer.model, plan, config))
    texts = scorer.encoder.texts(picture.judged for picture in plan)
    return metrics.clip_t(vectors, texts), metrics.clip_i(vectors, scorer.references)


@torch.no_grad()
def _plain(scorer: Scorer, plan: Sequence[PlannedPicture]) -> Any:
    pipe, config = scorer.model.pipeline, scorer.config
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = fresh_scheduler(pipe.scheduler, config.sampler)
    scores = []
    for picture in plan:
        image = pipe(
            picture.prompt,
            height=config.resolution,
            width=config.resolution,
            num_inference_steps=config.num_inference_steps,
            guidance_scale=config.guidance_scale,
            generator=torch.Generator().manual_seed(picture.seed),
        ).images[0]
        scores.append(_judged(scorer.encoder, image, picture.judged, scorer.references))
    return np.array(scores)


def _judged(encoder: ClipEncoder, image: Any, text: str, references: Any) -> tuple[float, float]:
    pixels = encoder.preprocess(images=[image], return_tensors="pt")
    tokens = encoder.tokenizer([text], padding="max_length", truncation=True, return_tensors="pt")
    out = encoder.model(input_ids=tokens.input_ids, pixel_values=pixels["pixel_values"])
    vector, words = out.image_embeds[0], out.text_embeds[0]
    return float(vector @ words), float((torch.from_numpy(references) @ vector).mean())


def _timed(scorer: Scorer, way: Callable[[], object]) -> Split:
    """Seconds in all and within UNet, VAE and judge."""
    pipe = scorer.model.pipeline
    judge = scorer.encoder.model
    parts = {
        "UNet": [pipe.unet],
        "VAE": [pipe.vae.decoder],
        "CLIP": [judge.vision_model, judge.text_model],
    }
    spent = dict.fromkeys(parts, 0.0)
    with _clocks(parts, spent):
        started = time.perf_counter()
        way()
        whole = time.perf_counter() - started
    return {"whole": whole} | spent | {"rest": whole - sum(spent.values())}


@contextmanager
def _clocks(parts: dict[str, list[torch.nn.Module]], spent: Split) -> Iterator[None]:
    """Add the time of each part's forward passes to what it has spent."""
    began: dict[str, float] = {}

    def start(name: str) -> Callable[..., None]:
        return lambda *_: began.update({name: time.perf_counter()})

    def stop(name: str) -> Callable[..., None]:
        return lambda *_: spent.update({name: spent[name] + time.perf_counter() - began[name]})

    modules = [(name, module) for name, of_part in parts.items() for module in of_part]
    hooks = [module.register_forward_pre_hook(start(name)) for name, module in modules]
    hooks += [module.register_forward_hook(stop(name)) for name, module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _report(config: StudyConfig, rounds: list[dict[str, Split]]) -> None:
    steps = config.scoring.num_inference_steps
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, 1 thread")
    print(f"{PROMPTS} prompts, {steps} steps, 64 px, SDXL of the demo; ms a picture\n")
    print("round | " + " | ".join(rounds[0]))
    for number, found in enumerate(rounds, start=1):
        print(f"{number} | " + " | ".join(f"{_ms(s['whole']):.0f}" for s in found.values()))
    plain, *ours = rounds[0]
    for name in ours:
        ratio = median(found[plain]["whole"] / found[name]["whole"] for found in rounds)
        print(f"{plain} / {name}: {ratio:.2f} (median)")
    print("\nms a picture, medians | " + " | ".join(rounds[0][plain]))
    for name in rounds[0]:
        split = (median(_ms(found[name][part]) for found in rounds) for part in rounds[0][name])
        print(f"{name} | " + " | ".join(f"{ms:.0f}" for ms in split))


def _ms(seconds: float) -> float:
    return 1000 * seconds / PROMPTS


if __name__ == "__main__":
    main()
