"""The settings of one training run, under the names that LoRA users already write (sd-scripts')."""

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from optimizer.config.base import Frozen
from optimizer.config.training_keys import ELSEWHERE

OptimizerType = Literal[
    "AdamW",
    "AdamW8bit",
    "PagedAdamW8bit",
    "Lion",
    "Lion8bit",
    "Adafactor",
    "Prodigy",
    "AdamWScheduleFree",
]
SchedulerType = Literal[
    "constant",
    "constant_with_warmup",
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
]
LossType = Literal["l2", "l1", "huber", "smooth_l1"]
Targets = Literal["attention", "transformer"]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


def _unet_block(name: str) -> str:
    if re.fullmatch(r"(down_blocks|up_blocks)\.\d+|mid_block", name) is None:
        raise ValueError('must be a block of the UNet, such as "down_blocks.1" or "mid_block"')
    return name


UnetBlock = Annotated[str, AfterValidator(_unet_block)]


class Hyperparameters(Frozen):
    """Everything that decides what a training run computes, given its base model and data."""

    keys_elsewhere: ClassVar[Mapping[str, str]] = ELSEWHERE

    learning_rate: Positive = 1e-4
    """Prodigy finds the rate itself and wants 1 here."""
    unet_lr: Positive | None = None
    """Learning rate of the UNet's adapter; `learning_rate` when not given."""
    text_encoder_lr: NotNegative = 0.0
    """Learning rate of the text encoders' adapters; 0 trains the UNet alone."""
    text_encoder_2_lr: NotNegative | None = None
    """Of SDXL's second encoder; `text_encoder_lr` when not given, 0 leaves it untrained."""
    loraplus_lr_ratio: Annotated[float, Field(ge=1)] | None = None
    """How much faster the up matrices learn (LoRA+, arXiv 2402.12354)."""

    network_dim: Count = 32
    network_alpha: Positive = 16.0
    """Scale of the adapter: its output is multiplied by network_alpha / network_dim."""
    network_dropout: Share = 0.0
    """Of the adapters' inputs, as PEFT has it."""
    targets: Targets = "transformer"
    """`attention`: q, k, v, out. `transformer`: feed-forward and projections too (sd-scripts)."""
    conv_dim: Count | None = None
    """Rank in the UNet's 3x3 convolutions; none of its residual blocks are trained without it."""
    conv_alpha: Positive | None = None
    """Their alpha; of network_alpha's share of its rank when not given."""
    block_dims: Mapping[UnetBlock, Count] = Field(default_factory=dict)
    """Other ranks in some blocks of the UNet, as "down_blocks.1" = 16; alpha stays the same."""
    use_dora: bool = False
    """Direction and magnitude learnt apart (arXiv 2402.09353)."""
    use_rslora: bool = False
    """Scale by network_alpha / sqrt(network_dim) instead (arXiv 2312.03732)."""

    optimizer_type: OptimizerType = "AdamW8bit"
    weight_decay: NotNegative = 0.01
    max_grad_norm: NotNegative = 1.0
    """Gradient norm to clip at; 0 does not clip."""
    scale_weight_norms: Positive | None = None
    """Largest norm an adapter's product may have; it is scaled down after each update."""
    lr_scheduler: SchedulerType = "cosine"
    lr_scheduler_num_cycles: Count = 1
    lr_warmup_steps: Annotated[int, Field(ge=0)] = 0
    lr_warmup_ratio: Share = 0.0
    """Warm-up as a share of all updates; the alternative to `lr_warmup_steps`."""

    train_batch_size: Count | None = None
    """Pictures per step; the dataset's own batch_size when not given."""
    gradient_accumulation_steps: Count = 1
    max_train_epochs: Count = 10
    save_every_n_epochs: Count = 2

    loss_type: LossType = "l2"
    huber_c: Positive = 0.1
    """Where huber and smooth_l1 turn from squares to absolute values."""
    huber_schedule: Literal["constant", "exponential", "snr"] = "snr"
    """How huber_c shrinks with the timestep."""
    min_snr_gamma: Positive | None = None
    debiased_estimation_loss: bool = False
    noise_offset: NotNegative = 0.0
    multires_noise_iterations: Annotated[int, Field(ge=0)] = 0
    """Coarser layers of noise to add; 6 to 10 are usual, 0 adds none."""
    multires_noise_discount: Annotated[float, Field(gt=0, lt=1)] = 0.3
    ip_noise_gamma: NotNegative = 0.0
    """Input perturbation (arXiv 2301.11706): noise that the prediction is not asked for."""
    clip_skip: Annotated[int, Field(ge=1, le=12)] | None = None
    """SD1.5 only: count of the text encoder's layers from the end, 1 being the last."""
    max_token_length: Literal[75, 150, 225] = 75
    """In units of the real models' 75-token windows: 1, 2 or 3 windows of the text encoder."""
    prior_loss_weight: NotNegative = 1.0

    gradient_checkpointing: bool | Literal["auto"] = "auto"
    """`auto`: where the card is predicted to be too small without, or proves to be."""
    mixed_precision: Literal["auto", "no", "fp16", "bf16"] = "auto"
    """`auto`: bf16 where the device has it, fp16 on older CUDA cards, none on the CPU."""
    save_precision: Literal["fp16", "bf16", "float"] = "fp16"
    save_format: Literal["kohya", "peft"] = "kohya"
    """`kohya`: what ComfyUI, A1111 and sd-scripts read. `peft`: diffusers' own format."""
    seed: int = 42

    @property
    def effective_unet_lr(self) -> float:
        """Learning rate of the UNet's adapter."""
        return self.unet_lr or self.learning_rate

    def learning_rate_of(self, component: str) -> float:
        """Learning rate of `unet`, `text_encoder` or `text_encoder_2`; 0 leaves it untrained."""
        if component == "unet":
            return self.effective_unet_lr
        if component == "text_encoder_2" and self.text_encoder_2_lr is not None:
            return self.text_encoder_2_lr
        return self.text_encoder_lr

    @property
    def trains_text_encoders(self) -> bool:
        """Whether a text encoder gets an adapter of its own."""
        return self.text_encoder_lr > 0 or bool(self.text_encoder_2_lr)

    @model_validator(mode="after")
    def _check_schedule(self) -> Self:
        warms_up = self.lr_warmup_steps or self.lr_warmup_ratio
        if self.lr_warmup_steps and self.lr_warmup_ratio:
            raise ValueError("give lr_warmup_steps or lr_warmup_ratio, not both")
        if self.lr_scheduler == "constant" and warms_up:
            raise ValueError("lr_scheduler constant has no warm-up; use constant_with_warmup")
        if self.optimizer_type == "AdamWScheduleFree" and not self.lr_scheduler.startswith("const"):
            raise ValueError(
                "optimizer_type AdamWScheduleFree replaces the schedule; set lr_scheduler to "
                "constant or constant_with_warmup"
            )
        return self

    @model_validator(mode="after")
    def _check_prodigy(self) -> Self:
        others = {self.unet_lr, self.text_encoder_lr, self.text_encoder_2_lr}
        several = others - {None, 0, self.learning_rate} or self.loraplus_lr_ratio is not None
        if self.optimizer_type == "Prodigy" and several:
            raise ValueError(
                "optimizer_type Prodigy finds one rate for everything: other learning rates must "
                "equal learning_rate or be 0, and loraplus_lr_ratio is not for it"
            )
        return self

    @model_validator(mode="after")
    def _check_network(self) -> Self:
        if self.conv_alpha is not None and self.conv_dim is None:
            raise ValueError("conv_alpha means nothing without conv_dim")
        if self.use_dora and self.scale_weight_norms is not None:
            raise ValueError("scale_weight_norms cannot be used with use_dora, which learns norms")
        if self.use_rslora and self.block_dims:
            raise ValueError(
                "use_rslora cannot be used with block_dims: diffusers misreads files whose "
                "attention layers have several alphas"
            )
        return self
