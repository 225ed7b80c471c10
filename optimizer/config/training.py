"""The settings of one training run, under the names that LoRA users already write (sd-scripts')."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from optimizer.config.base import Frozen

OptimizerType = Literal["AdamW", "AdamW8bit", "PagedAdamW8bit", "Lion", "Lion8bit", "Adafactor"]
SchedulerType = Literal[
    "constant",
    "constant_with_warmup",
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
]
Targets = Literal["attention", "transformer"]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Hyperparameters(Frozen):
    """Everything that decides what a training run computes, given its base model and data."""

    learning_rate: Positive = 1e-4
    unet_lr: Positive | None = None
    """Learning rate of the UNet's adapter; `learning_rate` when not given."""
    text_encoder_lr: NotNegative = 0.0
    """Learning rate of the text encoders' adapters; 0 trains the UNet alone."""

    network_dim: Count = 32
    network_alpha: Positive = 16.0
    """Scale of the adapter: its output is multiplied by network_alpha / network_dim."""
    network_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: Targets = "transformer"
    """`attention`: q, k, v, out. `transformer`: feed-forward and projections too (sd-scripts)."""

    optimizer_type: OptimizerType = "AdamW8bit"
    weight_decay: NotNegative = 0.01
    max_grad_norm: NotNegative = 1.0
    """Gradient norm to clip at; 0 does not clip."""
    lr_scheduler: SchedulerType = "cosine"
    lr_scheduler_num_cycles: Count = 1
    lr_warmup_steps: Annotated[int, Field(ge=0)] = 0
    lr_warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Warm-up as a share of all updates; the alternative to `lr_warmup_steps`."""

    train_batch_size: Count | None = None
    """Pictures per step; the dataset's own batch_size when not given."""
    gradient_accumulation_steps: Count = 1
    max_train_epochs: Count = 10
    save_every_n_epochs: Count = 2

    min_snr_gamma: Positive | None = None
    noise_offset: NotNegative = 0.0
    clip_skip: Annotated[int, Field(ge=1, le=12)] | None = None
    """SD1.5 only: count of the text encoder's layers from the end, 1 being the last."""
    max_token_length: Literal[75, 150, 225] = 75
    """In units of the real models' 75-token windows: 1, 2 or 3 windows of the text encoder."""
    prior_loss_weight: NotNegative = 1.0

    gradient_checkpointing: bool = True
    mixed_precision: Literal["auto", "no", "fp16", "bf16"] = "auto"
    """`auto`: bf16 where the device has it, fp16 on older CUDA cards, none on the CPU."""
    save_precision: Literal["fp16", "bf16", "float"] = "fp16"
    seed: int = 42

    @property
    def effective_unet_lr(self) -> float:
        """Learning rate of the UNet's adapter."""
        return self.unet_lr or self.learning_rate

    @property
    def trains_text_encoders(self) -> bool:
        """Whether the text encoders get adapters of their own."""
        return self.text_encoder_lr > 0

    @model_validator(mode="after")
    def _check_warmup(self) -> Self:
        if self.lr_warmup_steps and self.lr_warmup_ratio:
            raise ValueError("give lr_warmup_steps or lr_warmup_ratio, not both")
        if self.lr_scheduler == "constant" and (self.lr_warmup_steps or self.lr_warmup_ratio):
            raise ValueError("lr_scheduler constant has no warm-up; use constant_with_warmup")
        return self
