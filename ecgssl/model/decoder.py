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


class Decoder(nn.Module):
    """Narrow transformer over all patches of a recording, hidden ones as mask tokens.

    The global representation enters twice: added to every mask token and as a token of its own, so that what the contrastive
    term aligns guides the waveform ("aligns global representations during reconstruction", arXiv 2604.11359).

    Args:
        params: sizes; ``decoder.scope`` ``leadwise`` lets a lead attend only to itself and the global token.
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
        if self.scope == "leadwise":
            tokens = rearrange(tokens, "b (l n) w -> (b l) n w", l=self.n_leads)
            attend = None if attend is None else rearrange(attend, "b (l n) -> (b l) n", l=self.n_leads)
            global_ = global_.repeat_interleave(self.n_leads, dim=0)
        tokens = torch.cat([global_.to(tokens.dtype), tokens], dim=1)
        attend = None if attend is None else torch.cat([torch.ones_like(attend[:, :1]), attend], dim=1)
        for block in self.blocks:
            tokens = block(tokens, attend)
        tokens = tokens[:, 1:]
        if self.scope == "leadwise":
            tokens = rearrange(tokens, "(b l) n w -> b (l n) w", l=self.n_leads)
        return self.to_patch(self.norm(tokens))
