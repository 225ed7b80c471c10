"""SDXL: two text encoders, pooled embeddings and six time ids."""

from typing import Any

import torch
from torch import Tensor

from optimizer.models.base import PictureSizes, PromptEmbeds, Size
from optimizer.models.pipeline_model import PipelineModel
from optimizer.models.text import join_windows, token_windows


class SdxlModel(PipelineModel):
    """A StableDiffusionXLPipeline."""

    family = "sdxl"
    encoder_names = ("text_encoder", "text_encoder_2")

    def encode_prompts(
        self, captions: list[str], *, max_token_length: int = 75, clip_skip: int | None = None
    ) -> PromptEmbeds:
        """Last but one hidden states of both encoders, joined; pooled from the second one.

        No layer norm follows, and `clip_skip` means nothing here: SDXL was trained with exactly
        these layers. The pooled embedding is the first window's.
        """
        states, pooled = [], None
        for name, tokenizer in (("", "tokenizer"), ("_2", "tokenizer_2")):
            encoder = getattr(self.pipeline, f"text_encoder{name}")
            ids = token_windows(getattr(self.pipeline, tokenizer), captions, max_token_length)
            output = encoder(ids.flatten(0, 1).to(encoder.device), output_hidden_states=True)
            states.append(join_windows(output.hidden_states[-2], len(captions)))
            if name:
                pooled = output.text_embeds.view(*ids.shape[:2], -1)[:, 0]
        return PromptEmbeds(torch.cat(states, dim=-1), pooled)

    def unet_conditions(self, embeds: PromptEmbeds, sizes: list[PictureSizes]) -> dict[str, Any]:
        """Embeddings, pooled embeddings and time ids (float32: bf16 cannot hold 1333)."""
        assert embeds.pooled_prompt_embeds is not None
        return {
            "encoder_hidden_states": embeds.prompt_embeds.to(self.device, self.dtype),
            "added_cond_kwargs": {
                "text_embeds": embeds.pooled_prompt_embeds.to(self.device, self.dtype),
                "time_ids": time_ids(sizes).to(self.device),
            },
        }

    def pipeline_conditions(self, embeds: PromptEmbeds, size: Size) -> dict[str, Any]:
        """As for every pipeline, with the pooled embedding and an uncropped picture."""
        return super().pipeline_conditions(embeds, size) | {
            "pooled_prompt_embeds": embeds.pooled_prompt_embeds,
            "original_size": size,
            "target_size": size,
        }


def time_ids(sizes: list[PictureSizes]) -> Tensor:
    """(batch, 6) float32: original height, width, crop top, left, target height, width."""
    rows = [[*s.original, *s.crop_top_left, *s.target] for s in sizes]
    return torch.tensor(rows, dtype=torch.float32)
