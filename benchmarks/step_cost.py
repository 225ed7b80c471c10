"""Memory and operations of a full-size training step, computed without weights.

    python benchmarks/step_cost.py

The public architectures on torch's meta device, rank 64, AdamW8bit, everything that a trial has on
the card but the judge. Where there is a card, tests/gpu compares such figures with measured ones.
"""

from itertools import product

from optimizer.config.study import ModelConfig
from optimizer.config.training import Hyperparameters
from optimizer.logs import quiet_libraries
from optimizer.models.pipeline_model import PipelineModel
from optimizer.models.shapes import shapes_of
from optimizer.training.cost import network_bytes, step_cost
from optimizer.training.forecast import Forecast, ways
from optimizer.trial.admission import HEADROOM

GIB, TFLOP = 2**30, 1e12
CARDS = (6, 8, 12, 16, 24, 48, 80)
SIDES = {"sd15": 512, "sdxl": 1024}


def main() -> None:
    quiet_libraries()
    print(
        "| model | targets | batch | checkpointing | base | adapter | activations | peak | TFLOP |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for family, side in SIDES.items():
        model = _model(family)
        ways = product(("attention", "transformer"), (1, 4), (True, False))
        for targets, batch, checkpointing in ways:
            settings = Hyperparameters.model_validate(
                {
                    "network_dim": 64,
                    "targets": targets,
                    "gradient_checkpointing": checkpointing,
                }
            )
            cost = step_cost(model, settings, batch, (side, side))
            parts = (cost.base, cost.adapter, cost.activations, cost.peak)
            gib = " | ".join(f"{part / GIB:.2f} GiB" for part in parts)
            yes = "yes" if checkpointing else "no"
            print(f"| {family} | {targets} | {batch} | {yes} | {gib} | {cost.flops / TFLOP:.2f} |")

    print("\n| model | text encoders | card | predicted | way |")
    print("|---|---|---|---|---|")
    for family, side in SIDES.items():
        _ways(family, side)


def _model(family: str) -> PipelineModel:
    name = {"family": family, "pretrained_model_name_or_path": "of/the-public-architecture"}
    return shapes_of(ModelConfig.model_validate(name))


def _ways(family: str, side: int) -> None:
    """What `memory = "auto"` chooses for 8 pictures an update; the judge is left out."""
    forecast = Forecast(_model(family), (side, side))
    base = sum(network_bytes(module) for module in forecast.shapes.modules.values())
    for rate, gib in product((0.0, 1e-5), CARDS):
        settings = Hyperparameters(network_dim=64, text_encoder_lr=rate)
        idle = ("vae",) if rate else ("vae", *forecast.shapes.encoder_names)
        needed = {way: base + forecast.beside(settings, way) for way in ways(settings, 8, idle)}
        fitting = (way for way, peak in needed.items() if peak <= HEADROOM * gib * GIB)
        way = next(fitting, None)
        told = f"{needed[way] / GIB:.2f} GiB | {way.sentence()}" if way else "| does not fit"
        print(f"| {family} | {'trained' if rate else 'frozen'} | {gib} GiB | {told} |")


if __name__ == "__main__":
    main()
