"""Decoder that predicts hidden patches from visible tokens and the global representation."""

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
"""Attention scope of successive blocks, as einops patterns.

``joint``: all tokens. ``leadwise``: tokens of one lead. ``axial``: alternately tokens of one lead and of one time column.
"""

START = 0.01
"""Initial scale of the last layer, relative to Xavier initialisation. Initial predictions are then close to 0."""


class Decoder(nn.Module):
    """Narrow transformer over all patches of a recording, with mask tokens for hidden patches.

    With ``global_representation``, the global representation is added to every mask token and is also a separate token. The
    reconstruction then uses the representation of the contrastive term ("aligns global representations during
    reconstruction", arXiv 2604.11359).
    Absent leads are treated as hidden.

    Args:
        params: sizes and options, see ``DecoderParams``.
        leads: canonical names of the rows.
        columns: number N of patches per lead.
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
        self.from_global = nn.Linear(encoder_width, d.width) if d.global_representation else None
        self.mask_token = nn.Parameter(torch.empty(1, 1, d.width))
        self.lead_embedding = nn.Embedding(len(LEADS), d.width)
        self.mixing = TimeMixing(d.width, d.mixing) if d.mixing > 1 else None
        self.blocks = nn.ModuleList(Block(d.width, d.heads, params.mlp_ratio) for _ in range(d.depth))
        self.norm = nn.LayerNorm(d.width)
        self.to_patch = LeadHead(leads, d.width, params.patch) if d.head == "lead" else nn.Linear(d.width, params.patch)
        self.register_buffer("lead_index", torch.tensor([LEADS.index(lead) for lead in leads]), persistent=False)
        self.register_buffer("time_position", sincos_position(columns, d.width), persistent=False)
        self.apply(init_weights)
        nn.init.normal_(self.lead_embedding.weight, std=0.02)
        nn.init.normal_(self.mask_token, std=0.02)
        with torch.no_grad():
            self.to_patch.weight.mul_(START)

    def forward(self, encoded: EncoderOutput, keep: Tensor) -> Tensor:
        """Return predictions for all patches.

        Args:
            encoded: output of the encoder for the visible patches.
            keep: (B, K) indices of the visible patches in the flattened (L N) order.

        Returns:
            (B, L N, P) predictions; only those of hidden patches are trained.
        """
        visible = self.from_tokens(encoded.tokens)  # (B, K, W)
        hidden = self.mask_token.to(visible.dtype)
        context = None
        if self.from_global is not None:
            context = self.from_global(encoded.global_)[:, None].to(visible.dtype)  # (B, 1, W)
            hidden = hidden + context
        if encoded.valid is not None:
            # replace visible tokens of absent leads, which contain no signal, by mask tokens
            visible = torch.where(encoded.valid[..., None], visible, hidden)
        tokens = hidden.expand(len(keep), self.n_leads * self.columns, -1)
        tokens = tokens.scatter(1, keep[..., None].expand_as(visible), visible)
        position = self.lead_embedding(self.lead_index)[:, None] + self.time_position[None]  # (L, N, W)
        tokens = rearrange(tokens, "b (l n) w -> b l n w", l=self.n_leads) + position
        if self.mixing is not None:
            tokens = self.mixing(tokens)
        for number, block in enumerate(self.blocks):
            tokens = self._attend(block, SCOPES[self.scope][number % len(SCOPES[self.scope])], tokens, context)
        return rearrange(self.to_patch(self.norm(tokens)), "b l n p -> b (l n) p")

    def _attend(self, block: nn.Module, among: str, tokens: Tensor, context: Tensor | None) -> Tensor:
        """Return the tokens after a block with attention among all patches, those of a lead, or those of a time column.

        Args:
            block: transformer block of the decoder.
            among: einops pattern of the tokens (batch and sequence axes) inside the block.
            tokens: (B, L, N, W) tokens.
            context: (B, 1, W) additional token for every group of tokens, or ``None``.
        """
        inside = rearrange(tokens, f"b l n w -> {among} w")
        if context is not None:
            context = context.to(tokens.dtype).repeat_interleave(len(inside) // len(tokens), dim=0)
            inside = torch.cat([context, inside], dim=1)
        done = block(inside)
        done = done if context is None else done[:, 1:]
        return rearrange(done, f"{among} w -> b l n w", l=self.n_leads, n=self.columns)


class TimeMixing(nn.Module):
    """Convolution over neighbouring patches of a lead: x + convolution(norm(x)).

    Args:
        width: width W of a token.
        kernel: kernel size in patches, odd.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolution = nn.Conv1d(width, width, kernel, padding=kernel // 2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the mixed tokens, (B, L, N, W) -> (B, L, N, W)."""
        mixed = self.convolution(rearrange(self.norm(tokens), "b l n w -> (b l) w n"))
        return tokens + rearrange(mixed, "(b l) w n -> b l n w", b=len(tokens))


class LeadHead(nn.Module):
    """Linear output layers, one per lead, all with the same initial weights.

    Limb leads differ in sign and scale, which one layer for all leads does not take into account.

    Args:
        leads: canonical names of the rows; the name selects the layer.
        width: width W of a token.
        patch: number P of samples per patch.
    """

    lead_index: Tensor

    def __init__(self, leads: Sequence[str], width: int, patch: int) -> None:
        super().__init__()
        self.in_features = width
        start = nn.init.xavier_uniform_(torch.empty(width, patch))
        self.weight = nn.Parameter(start.repeat(len(LEADS), 1, 1))
        self.bias = nn.Parameter(torch.zeros(len(LEADS), 1, patch))
        self.register_buffer("lead_index", torch.tensor([LEADS.index(lead) for lead in leads]), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the predicted patches, (B, L, N, W) -> (B, L, N, P)."""
        weight, bias = (p.index_select(0, self.lead_index) for p in (self.weight, self.bias))
        out: Tensor = torch.einsum("blnw,lwp->blnp", tokens, weight) + bias
        return out
