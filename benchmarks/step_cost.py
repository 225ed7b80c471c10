"""Memory and operations of a full-size training step, computed without weights.

    python benchmarks/step_cost.py

The public architectures on torch's meta device, rank 64, AdamW8bit, everything that a trial has on
the card but the judge. Where there is a card, tests/gpu compares such figures with measured ones.
"""

from itertools import product

from optimizer.config.study import ModelConfig
from optimizer.config.training import Hyperparameters
from optimizer.logs import quiet_libraries
from optimizer.models.shapes import shapes_of
from optimizer.training.cost import step_cost

GIB, TFLOP = 2**30, 1e12
SIDES = {"sd15": 512, "sdxl": 1024}


def main() -> None:
    quiet_libraries()
    print(
        "| model | targets | batch | checkpointing | base | adapter | activations | peak | TFLOP |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for family, side in SIDES.items():
        name = {"family": family, "pretrained_model_name_or_path": "of/the-public-architecture"}
        model = shapes_of(ModelConfig.model_validate(name))
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


if __name__ == "__main__":
    main()
