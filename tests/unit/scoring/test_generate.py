"""Drawing: the same noise for the same seed, diffusers' own pictures, no traces on the model."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import LoraConfig
from PIL import Image

from optimizer.config.scoring import ScoringConfig
from optimizer.errors import ConfigError
from optimizer.models.pipeline_model import PipelineModel
from optimizer.models.sd15 import Sd15Model
from optimizer.models.sdxl import SdxlModel
from optimizer.scoring.generate import draw
from optimizer.scoring.prompts import PlannedPicture
from optimizer.scoring.vae import rebuilt

Settings = Callable[..., ScoringConfig]
PLAN = [
    PlannedPicture("a mivo", "a monster", 11),
    PlannedPicture("a mivo", "a monster", 12),
    PlannedPicture("mivo, blue", "monster, blue", 11),
]

_NOISY = LoraConfig(r=2, target_modules=["to_q"], lora_dropout=0.5, init_lora_weights=False)


def levels(images: list[Image.Image]) -> NDArray[np.int16]:
    return np.stack([np.asarray(image, dtype=np.int16) for image in images])


def test_every_picture_of_the_plan_at_the_models_size(
    model: PipelineModel, settings: Settings
) -> None:
    images = draw(model, PLAN, settings())
    assert [image.size for image in images] == [(32, 32)] * 3
    assert not np.array_equal(*levels(images[:2])), "another seed"
    assert not np.array_equal(*levels(images[::2])), "another prompt"
    assert draw(model, PLAN[:1], settings(resolution=48))[0].size == (48, 48)


@pytest.mark.parametrize("sampler", ["model", "ddim", "euler", "euler_a", "dpmsolver++"])
def test_twice_the_same(model: PipelineModel, settings: Settings, sampler: str) -> None:
    config = settings(sampler=sampler, num_inference_steps=3)
    first, second = levels(draw(model, PLAN, config)), levels(draw(model, PLAN, config))
    assert np.array_equal(first, second)


def test_samplers_differ(sd15: Sd15Model, settings: Settings) -> None:
    ones = [
        levels(draw(sd15, PLAN[:1], settings(sampler=name, num_inference_steps=3)))
        for name in ("ddim", "euler", "euler_a")
    ]
    assert not np.array_equal(ones[0], ones[1])
    assert not np.array_equal(ones[1], ones[2])


@pytest.mark.parametrize("sampler", ["model", "euler_a"])
def test_place_and_batch_do_not_change_a_pictures_noise(
    model: PipelineModel, settings: Settings, sampler: str
) -> None:
    together = levels(draw(model, PLAN, settings(sampler=sampler)))
    alone = levels(draw(model, PLAN, settings(sampler=sampler, batch_size=1)))
    turned = levels(draw(model, PLAN[::-1], settings(sampler=sampler, batch_size=2)))[::-1]
    assert np.abs(together - alone).max() <= 1
    assert np.abs(together - turned).max() <= 1


@pytest.mark.parametrize("negative", ["", "ugly"])
def test_the_pictures_are_diffusers_own(
    model: PipelineModel, settings: Settings, negative: str
) -> None:
    """Our conditions, negative ones too, against what the pipeline makes of plain strings."""
    config = settings(negative_prompt=negative)
    noise = torch.stack(
        [torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(p.seed)) for p in PLAN]
    )
    theirs = model.pipeline(
        prompt=[p.prompt for p in PLAN],
        negative_prompt=[negative] * len(PLAN) if negative else None,
        latents=noise,
        num_inference_steps=config.num_inference_steps,
        guidance_scale=config.guidance_scale,
    ).images
    assert np.abs(levels(draw(model, PLAN, config)) - levels(theirs)).max() <= 1


def test_no_negative_prompt_follows_the_pipelines_config(
    sdxl: SdxlModel, settings: Settings
) -> None:
    zeros = levels(draw(sdxl, PLAN, settings()))
    sdxl.pipeline.register_to_config(force_zeros_for_empty_prompt=False)
    assert not np.array_equal(zeros, levels(draw(sdxl, PLAN, settings())))


def test_guidance_off(model: PipelineModel, settings: Settings) -> None:
    off = levels(draw(model, PLAN, settings(guidance_scale=1.0, negative_prompt="ugly")))
    same = levels(draw(model, PLAN, settings(guidance_scale=1.0, negative_prompt="blurred")))
    assert np.array_equal(off, same)


def test_clip_skip_reaches_the_text_encoder(sd15: Sd15Model, settings: Settings) -> None:
    one, two = (levels(draw(sd15, PLAN, settings(clip_skip=n))) for n in (1, 2))
    assert not np.array_equal(one, two)


def test_each_prompt_is_encoded_once(
    model: PipelineModel, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []
    encode = model.encode_prompts

    def counted(captions: list[str], **more: Any) -> Any:
        calls.append(captions)
        return encode(captions, **more)

    monkeypatch.setattr(model, "encode_prompts", counted)
    draw(model, [*PLAN, *PLAN], settings(batch_size=1))
    assert sorted(calls) == [[""], ["a mivo"], ["mivo, blue"]]


def test_a_model_in_training_is_left_as_it_was(model: PipelineModel, settings: Settings) -> None:
    unet = model.pipeline.unet
    unet.add_adapter(_NOISY, "trained")
    unet.train()
    unet.mid_block.eval()
    networks = [unet, model.pipeline.vae, *model.text_encoders.values()]

    def state() -> list[Any]:
        parts = [m.training for n in networks for m in n.modules()]
        weights = [(p.requires_grad, p.data_ptr()) for n in networks for p in n.parameters()]
        return [parts, weights, unet.active_adapters(), id(model.pipeline.scheduler)]

    before, random, noise_schedule = state(), torch.get_rng_state(), model.pipeline.scheduler.config
    with_adapter = levels(draw(model, PLAN, settings()))
    assert state() == before
    assert torch.equal(torch.get_rng_state(), random)
    assert model.pipeline.scheduler.config == noise_schedule
    assert torch.is_grad_enabled()
    # Dropout would make two drawings differ: the networks are in eval mode meanwhile.
    assert np.array_equal(with_adapter, levels(draw(model, PLAN, settings())))


def test_the_model_is_put_back_when_drawing_fails(
    model: PipelineModel, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **more: Any) -> None:
        raise RuntimeError("out of memory")

    scheduler = model.pipeline.scheduler
    model.pipeline.unet.train()
    monkeypatch.setattr(model.pipeline.unet, "forward", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        draw(model, PLAN, settings())
    assert model.pipeline.unet.training
    assert model.pipeline.scheduler is scheduler


def test_half_precision_unet_beside_a_full_precision_vae(
    model: PipelineModel, settings: Settings
) -> None:
    """How models are held on a graphics card; diffusers' own call fails on it."""
    full = levels(draw(model, PLAN, settings()))
    for part in (model.pipeline.unet, *model.text_encoders.values()):
        part.to(torch.bfloat16)
    assert np.abs(full - levels(draw(model, PLAN, settings()))).mean() < 4


def test_values_that_are_not_finite_come_out_black(
    model: PipelineModel, settings: Settings
) -> None:
    """The whole picture: converting NaN to a level is undefined, and half a picture no sign."""
    model.pipeline.vae.decoder.conv_out.bias.data[0] = torch.nan
    assert not levels(draw(model, PLAN, settings())).any()


@pytest.mark.parametrize("resolution", [20, 33, 4])
def test_resolution_that_does_not_fit(
    model: PipelineModel, settings: Settings, resolution: int
) -> None:
    with pytest.raises(ConfigError, match=rf"resolution {resolution} .* multiple of 8, \d+ for"):
        draw(model, PLAN, settings(resolution=resolution))


def test_prompts_beyond_the_token_limit_are_said(
    model: PipelineModel, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    long = "x y z " * 20
    draw(model, PLAN[:1], settings(negative_prompt=long))
    (record,) = (r for r in caplog.records if r.name.startswith("optimizer"))
    assert "has 60 tokens, but only the first 30 count" in record.getMessage()


def test_rebuilt_keeps_shape_and_amount_of_pixels(
    sd15: Sd15Model, paint: Callable[..., Image.Image]
) -> None:
    assert rebuilt(sd15, paint("red", (640, 160)), None).size == (64, 16)
    assert rebuilt(sd15, paint("red", (20, 20)), 48).size == (48, 48)
    assert rebuilt(sd15, paint("red").convert("L"), None).mode == "RGB"


def test_rebuilt_is_the_vae_and_nothing_else(
    sd15: Sd15Model, paint: Callable[..., Image.Image]
) -> None:
    """Scaling of latents there and back cancels out; pixels go in between -1 and 1."""
    vae, image = sd15.pipeline.vae, paint("red")
    pixels = torch.tensor(np.asarray(image) / 127.5 - 1).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        decoded = vae.decode(vae.encode(pixels).latent_dist.mode()).sample[0]
    expected = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
    assert np.abs(levels([rebuilt(sd15, image, None)])[0] - expected).max() <= 1


class Greedy:
    """Has a network say that memory is out for inputs above a size."""

    def __init__(self, network: torch.nn.Module, fits: Callable[[torch.Tensor], bool]) -> None:
        self.fits, self.refused = fits, 0
        self.handle = network.register_forward_pre_hook(self._check)

    def _check(self, _: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if not self.fits(given[0]):
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def __enter__(self) -> "Greedy":
        return self

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


def test_batches_that_do_not_fit_are_halved(
    model: PipelineModel, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    config = settings(batch_size=3)
    whole = levels(draw(model, PLAN, config))
    with Greedy(model.pipeline.unet, lambda x: len(x) <= 2) as greedy:  # guidance doubles batches
        halved = levels(draw(model, PLAN, config))
    assert greedy.refused == 1
    assert "batches of 1" in caplog.text
    assert np.abs(whole - halved).max() <= 1


def test_not_even_one_picture_fits(model: PipelineModel, settings: Settings) -> None:
    with Greedy(model.pipeline.unet, lambda _: False), pytest.raises(torch.OutOfMemoryError):
        draw(model, PLAN, settings(batch_size=3))


def test_a_picture_too_large_for_the_vae_is_decoded_in_tiles(
    sd15: Sd15Model, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    vae = sd15.pipeline.vae
    whole = levels(draw(sd15, PLAN, settings()))
    side = 32 // sd15.pipeline.vae_scale_factor
    try:
        with Greedy(vae.decoder, lambda z: z.shape[-1] < side) as greedy:
            tiled = levels(draw(sd15, PLAN, settings()))
    finally:
        vae.disable_tiling()
    assert greedy.refused == 1, "then it is known"
    assert "in tiles" in caplog.text
    assert tiled.shape == whole.shape
    assert np.corrcoef(tiled.ravel(), whole.ravel())[0, 1] > 0.9
