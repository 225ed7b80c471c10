"""Each picture is encoded once, whoever asks, and again only when something about it changed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from optimizer.config.dataset import DatasetConfig
from optimizer.data import latents
from optimizer.data.batches import epoch_batches
from optimizer.data.cache import TensorStore
from optimizer.data.latents import Batch, LatentSource
from optimizer.data.records import scan
from optimizer.data.samples import both_flips
from optimizer.errors import DatasetError

Draw = Callable[..., Path]
Configure = Callable[..., DatasetConfig]


def encode(pixels: Tensor) -> Tensor:
    """A VAE of one layer: (1, 3, H, W) to (1, 3, H/8, W/8)."""
    assert len(pixels) == 1
    return torch.nn.functional.avg_pool2d(pixels, 8)


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., LatentSource]:
    def source(vae: str = "vae", **options: Any) -> LatentSource:
        return LatentSource(TensorStore(tmp_path / "cache"), encode, vae, **options)

    return source


Sources = Callable[..., LatentSource]


def epoch(source: LatentSource, config: DatasetConfig, number: int = 1) -> list[Batch]:
    return [source.load(plan) for plan in epoch_batches(scan(config), seed=0, epoch=number)]


def test_a_batch(draw: Draw, configure: Configure, source: Sources) -> None:
    draw("a.png", (100, 60), caption="first")
    draw("b.png", (200, 120), caption="second")
    (batch,) = epoch(source(), configure(batch_size=2))
    order = [batch.names.index(name) for name in ("a.png", "b.png")]
    assert batch.latents.shape == (2, 3, 6, 10)
    assert batch.latents.dtype == torch.float32
    assert [batch.captions[i] for i in order] == ["first", "second"]
    assert [batch.original_sizes[i] for i in order] == [(60, 100), (120, 200)]
    assert batch.target_sizes == ((48, 80), (48, 80))
    assert batch.crops_top_left == ((0, 0), (0, 0))
    assert torch.equal(batch.loss_weights, torch.ones(2))
    assert batch.masks is None


def test_a_second_run_encodes_nothing(draw: Draw, configure: Configure, source: Sources) -> None:
    for number in range(3):
        draw(f"{number}.png")
    config = configure(flip_aug=True, num_repeats=4, batch_size=2, shuffle_caption=True)
    first, second = source(), source()
    batches = [epoch(first, config, number) for number in (1, 2)]
    again = [epoch(second, config, number) for number in (1, 2)]
    assert (first.encoded, second.encoded) == (6, 0)
    for old, new in zip(batches[0] + batches[1], again[0] + again[1], strict=True):
        assert torch.equal(old.latents, new.latents)
        assert old.captions == new.captions


def test_preparing_again_reads_no_tensors(
    draw: Draw, configure: Configure, source: Sources, tmp_path: Path
) -> None:
    draw("a.png")
    config, (first, second) = configure(), (source(), source())
    first.prepare(both_flips(scan(config)))
    (kept,) = (tmp_path / "cache").rglob("*.safetensors")
    kept.write_bytes(b"damaged")
    second.prepare(both_flips(scan(config)))
    assert second.encoded == 0
    epoch(second, config)  # whoever needs it finds out
    assert second.encoded == 1


def test_preparing_leaves_nothing_to_encode(
    draw: Draw, configure: Configure, source: Sources
) -> None:
    draw("a.png")
    config = configure(flip_aug=True, num_repeats=20)
    one = source()
    one.prepare(both_flips(scan(config)))
    assert one.encoded == 2
    epoch(one, config)
    assert one.encoded == 2


def test_preparing_says_how_far_it_is(
    draw: Draw,
    configure: Configure,
    source: Sources,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(latents, "SAY_EVERY_S", -1)
    caplog.set_level("INFO")
    for number in range(3):
        draw(f"{number}.png")
    source().prepare(both_flips(scan(configure())))
    assert "encoded 2 of 3 pictures that were not cached" in caplog.messages
    caplog.clear()
    source().prepare(both_flips(scan(configure())))
    assert not caplog.messages


@pytest.mark.parametrize(
    "other",
    [
        {"vae": "another"},
        {"dtype": torch.bfloat16},
        {"resolution": (128, 128)},
        {"enable_bucket": False},
        {"alpha_mask": True},
        {"resize_interpolation": "nearest"},
    ],
)
def test_whatever_changes_latents_is_in_the_key(
    other: dict[str, Any], draw: Draw, configure: Configure, source: Sources
) -> None:
    draw("a.png", (100, 60))
    epoch(source(), configure())
    about_source = {k: v for k, v in other.items() if k in ("vae", "dtype")}
    changed = source(**about_source)
    epoch(changed, configure(**{k: v for k, v in other.items() if k not in about_source}))
    assert changed.encoded == 1


def test_an_edited_picture_is_encoded_again_a_renamed_one_is_not(
    draw: Draw, configure: Configure, source: Sources
) -> None:
    path = draw("a.png")
    one = source()
    epoch(one, configure())
    path.rename(path.with_name("b.png"))
    path.with_suffix(".txt").rename(path.with_name("b.txt"))
    epoch(one, configure())
    assert one.encoded == 1
    draw("b.png", image=Image.new("RGB", (64, 64), "red"))
    epoch(one, configure())
    assert one.encoded == 2


@pytest.mark.parametrize("key", ["color_aug", "random_crop"])
def test_what_never_repeats_is_not_cached(
    key: str, draw: Draw, configure: Configure, source: Sources, tmp_path: Path
) -> None:
    draw("a.png")
    one = source()
    epoch(one, configure(**{key: True}))
    epoch(one, configure(**{key: True}))
    assert one.encoded == 2
    assert not (tmp_path / "cache").exists()


def test_a_damaged_entry_is_made_again(
    draw: Draw, configure: Configure, source: Sources, tmp_path: Path
) -> None:
    draw("a.png")
    one = source()
    (good,) = epoch(one, configure())
    (path,) = (tmp_path / "cache").rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-5])
    (again,) = epoch(one, configure())
    assert one.encoded == 2
    assert torch.equal(good.latents, again.latents)


def test_flipped_latents_are_those_of_the_mirrored_picture(
    draw: Draw, configure: Configure, source: Sources
) -> None:
    draw("a.png", (91, 64))
    config = configure(flip_aug=True, enable_bucket=False)
    straight, flipped = (source().load(plan) for plan in both_flips(scan(config)))
    assert (straight.crops_top_left, flipped.crops_top_left) == (((0, 13),), ((0, 14),))
    assert torch.allclose(flipped.latents, straight.latents.flip(-1), atol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_latents_that_are_not_finite_name_the_picture(
    bad: float, draw: Draw, configure: Configure, tmp_path: Path
) -> None:
    path = draw("a.png")
    store = TensorStore(tmp_path / "cache")
    broken = LatentSource(store, lambda pixels: encode(pixels) * bad, "vae")
    with pytest.raises(DatasetError, match=rf"{path}: the VAE made NaN or infinite latents"):
        epoch(broken, configure())
    assert not (tmp_path / "cache").exists()


def masks(batches: Sequence[Batch]) -> Tensor:
    assert batches[0].masks is not None
    return batches[0].masks


def test_masks_at_latent_size(draw: Draw, configure: Configure, source: Sources) -> None:
    image = Image.new("RGBA", (64, 64), (9, 9, 9, 255))
    image.paste((0, 0, 0, 0), (0, 0, 20, 64))
    draw("a.png", image=image)
    expected = torch.tensor([0, 0, 0.5, 1, 1, 1, 1, 1])
    for _ in range(2):  # encoded, then from the store
        found = masks(epoch(source(), configure(alpha_mask=True)))
        assert found.shape == (1, 1, 8, 8)
        assert torch.equal(found[0, 0, 3], expected)


def test_a_picture_without_mask_beside_one_with(
    draw: Draw, configure: Configure, source: Sources, tmp_path: Path
) -> None:
    draw("a.png", image=Image.new("RGBA", (64, 64), (9, 9, 9, 0)))
    draw("../plain/b.png")
    plain = {"image_dir": tmp_path / "plain"}
    batches = epoch(source(), configure({"alpha_mask": True}, plain, batch_size=2))
    found = dict(zip(batches[0].names, masks(batches).mean(dim=(1, 2, 3)).tolist(), strict=True))
    assert found == {"a.png": 0.0, "b.png": 1.0}
