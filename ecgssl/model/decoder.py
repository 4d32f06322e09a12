"""The decoder: fills in hidden patches from visible tokens and the global representation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from ecgssl.config import ModelParams
from ecgssl.model.blocks import Block, init_weights, sincos_position
from ecgssl.model.encoder import EncoderOutput
from ecgssl.signal.leads import LEADS

SCOPES = {"joint": ("b (l n)",), "leadwise": ("(b l) n",), "axial": ("(b l) n", "(b n) l")}
"""What the tokens of successive blocks attend to: everything; their lead; their lead and their time column in turn."""


class Decoder(nn.Module):
    """Narrow transformer over all patches of a recording, hidden ones as mask tokens.

    The global representation enters twice: added to every mask token and as a token of its own, so that what the contrastive
    term aligns guides the waveform ("aligns global representations during reconstruction", arXiv 2604.11359).

    Args:
        params: sizes; ``decoder.scope`` says what a patch attends to beside the global token: ``joint`` all patches,
            ``leadwise`` its lead, ``axial`` its lead and its time column in turn.
        leads: canonical names of the rows.
        columns: N, patches per lead.
    """

    lead_index: Tensor
    time_position: Tensor

    def __init__(self, params: ModelParams, leads: Sequence[str], columns: int) -> None:
        super().__init__()
        d = params.decoder
        encoder_width = params.shape[0]
        self.scope = d.scope
        self.n_leads, self.columns = len(leads), columns
        self.from_tokens = nn.Linear(encoder_width, d.width)
        self.from_global = nn.Linear(encoder_width, d.width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, d.width))
        self.lead_embedding = nn.Embedding(len(LEADS), d.width)
        self.blocks = nn.ModuleList(Block(d.width, d.heads, params.mlp_ratio) for _ in range(d.depth))
        self.norm = nn.LayerNorm(d.width)
        self.to_patch = nn.Linear(d.width, params.patch)
        self.register_buffer("lead_index", torch.tensor([LEADS.index(lead) for lead in leads]), persistent=False)
        self.register_buffer("time_position", sincos_position(columns, d.width), persistent=False)
        self.apply(init_weights)
        nn.init.normal_(self.lead_embedding.weight, std=0.02)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, encoded: EncoderOutput, keep: Tensor) -> Tensor:
        """Predict every patch.

        Args:
            encoded: of the visible patches.
            keep: (B, K) their indices in the flattened (L N) order.

        Returns:
            (B, L N, P); only hidden patches are meant to be read.
        """
        batch, total = keep.shape[0], self.n_leads * self.columns
        global_ = self.from_global(encoded.global_)[:, None]  # (B, 1, W)
        visible = self.from_tokens(encoded.tokens)  # (B, K, W)
        hidden = (self.mask_token + global_).to(visible.dtype).expand(batch, total, -1)
        tokens = hidden.scatter(1, keep[..., None].expand(-1, -1, visible.shape[-1]), visible)
        position = self.lead_embedding(self.lead_index)[:, None] + self.time_position[None]  # (L, N, W)
        tokens = tokens + rearrange(position, "l n w -> (l n) w")
        attend = None
        if encoded.valid is not None:
            # a visible token of an absent lead carries nothing and is attended to by nothing
            attend = torch.ones(batch, total, dtype=torch.bool, device=keep.device).scatter(1, keep, encoded.valid)
        for number, block in enumerate(self.blocks):
            tokens = self._attend(block, SCOPES[self.scope][number % len(SCOPES[self.scope])], tokens, global_, attend)
        return self.to_patch(self.norm(tokens))

    def _attend(self, block: nn.Module, among: str, tokens: Tensor, global_: Tensor, attend: Tensor | None) -> Tensor:
        """Run a block with attention confined to all patches, those of a lead, or those of a time column.

        Args:
            block: of the decoder.
            among: einops pattern of the tokens (batch and sequence axes) inside the block.
            tokens: (B, L N, W).
            global_: (B, 1, W), which every patch may attend to.
            attend: (B, L N) bool or ``None``.
        """
        size = {"l": self.n_leads, "n": self.columns}
        inside = rearrange(tokens, f"b (l n) w -> {among} w", **size)
        context = global_.to(tokens.dtype).repeat_interleave(inside.shape[0] // tokens.shape[0], dim=0)
        valid = None
        if attend is not None:
            grouped = rearrange(attend, f"b (l n) -> {among}", **size)
            valid = torch.cat([torch.ones_like(grouped[:, :1]), grouped], dim=1)
        done = block(torch.cat([context, inside], dim=1), valid)[:, 1:]
        return rearrange(done, f"{among} w -> b (l n) w", **size)
