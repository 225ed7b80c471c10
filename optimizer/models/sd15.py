"""Stable Diffusion 1.x: one text encoder, no micro-conditioning."""

from typing import Any

from optimizer.models.base import PictureSizes, PromptEmbeds
from optimizer.models.pipeline_model import PipelineModel
from optimizer.models.text import join_windows, token_windows


class Sd15Model(PipelineModel):
    """A StableDiffusionPipeline."""

    family = "sd15"
    encoder_names = ("text_encoder",)

    def encode_prompts(
        self, captions: list[str], *, max_token_length: int = 75, clip_skip: int | None = None
    ) -> PromptEmbeds:
        """The last layer's states, or with `clip_skip` n those of the n-th layer from the end.

        Every choice passes the final layer norm, as in sd-scripts and the web UIs.
        """
        encoder = self.pipeline.text_encoder
        ids = token_windows(self.pipeline.tokenizer, captions, max_token_length)
        output = encoder(ids.flatten(0, 1).to(encoder.device), output_hidden_states=True)
        if clip_skip is None or clip_skip == 1:
            states = output.last_hidden_state
        else:
            # transformers 5 flattened CLIPTextModel; older ones keep a `text_model` inside.
            norm = getattr(encoder, "text_model", encoder).final_layer_norm
            states = norm(output.hidden_states[-clip_skip])
        return PromptEmbeds(join_windows(states, len(captions)))

    def unet_conditions(self, embeds: PromptEmbeds, sizes: list[PictureSizes]) -> dict[str, Any]:
        """The UNet takes the embeddings alone; picture sizes do not matter."""
        return {"encoder_hidden_states": embeds.prompt_embeds.to(self.device, self.dtype)}
