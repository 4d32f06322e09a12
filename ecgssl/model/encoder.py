"""Vision-transformer encoder that maps (lead, time) patches to token and global representations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn

from ecgssl.config import ModelParams
from ecgssl.model.blocks import Block, init_weights, sincos_position
from ecgssl.model.recorded import present_patches, recorded_columns
from ecgssl.model.stem import Stem
from ecgssl.signal.leads import LEADS
from ecgssl.signal.spec import SignalSpec


@dataclass(frozen=True)
class EncoderOutput:
    """Output of the encoder for a batch.

    Args:
        tokens: (B, K, D) tokens of the visible patches, in the order of ``keep``; without it, of all patches, lead by lead.
        global_: (B, D) global representation.
        valid: (B, K) bool, true for tokens of recorded leads and completely recorded patches; ``None`` for all tokens.
        shares: (B, K, F) shares of the stem's responses above their thresholds, per patch; ``None`` without a stem, or if
            they were not requested.
        rhythm: (B, M) features of the autocorrelation of the stem's responses over the recording (``Stem.rhythm``); ``None``
            without them, or if ``shares`` were not requested.
    """

    tokens: Tensor
    global_: Tensor
    valid: Tensor | None
    shares: Tensor | None = None
    rhythm: Tensor | None = None


class Encoder(nn.Module):
    """Vision-transformer encoder over (lead, time) patches.

    Args:
        params: sizes of the model.
        leads: canonical names of the input rows; the lead embedding depends on the name, not on the row.
        samples: number T of input samples, a multiple of ``params.patch``.
        drop_path: stochastic depth rate of the last block; the rate increases linearly from 0 at the first block.

    Attributes:
        settings: preprocessing settings of the input, set by ``ecgssl.encoder``; otherwise ``None``.

    The patch embedding is a linear layer followed by LayerNorm. LayerNorm(W p) does not depend on the amplitude of a patch p,
    but LayerNorm(W p + b) does. The bias b is therefore initialised with the standard deviation of W p for a patch of unit
    power.
    """

    lead_index: Tensor
    time_position: Tensor

    def __init__(self, params: ModelParams, leads: Sequence[str], samples: int, drop_path: float = 0.0) -> None:
        super().__init__()
        width, depth, heads = params.shape
        if samples % params.patch:
            raise ValueError(f"{samples} samples are not a multiple of the patch length {params.patch}")
        self.settings: SignalSpec | None = None
        self.params = params
        self.leads = tuple(leads)
        self.samples = samples
        self.patch = params.patch
        self.columns = samples // params.patch
        self.width = width
        self.embed_patch = nn.Linear(params.patch, width)
        self.embed_norm = nn.LayerNorm(width)
        self.stem = Stem(params.stem, params.patch, width, samples) if params.stem.filters else None
        self.lead_embedding = nn.Embedding(len(LEADS), width)
        self.global_token = nn.Parameter(torch.empty(1, 1, width))
        blocks = [Block(width, heads, params.mlp_ratio, drop_path * i / max(depth - 1, 1)) for i in range(depth)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.register_buffer("lead_index", torch.tensor([LEADS.index(lead) for lead in leads]), persistent=False)
        self.register_buffer("time_position", sincos_position(self.columns, width), persistent=False)
        self.apply(init_weights)
        for block in blocks:
            block.shrink(params.residual)
        # Xavier-uniform weights have variance 2 / (patch + width)
        nn.init.normal_(self.embed_patch.bias, std=math.sqrt(2 * params.patch / (params.patch + width)))
        nn.init.normal_(self.lead_embedding.weight, std=0.02)
        nn.init.normal_(self.global_token, std=0.02)

    @property
    def embed_dim(self) -> int:
        """Dimension E of an embedding (``pool``)."""
        return self.params.embed_dim(len(self.leads))

    def patches(self, x: Tensor) -> Tensor:
        """Return the patches (B, L N, P) of x (B, L, T), lead by lead."""
        return rearrange(x, "b l (n p) -> b (l n) p", p=self.patch)

    def positions(self, keep: Tensor | None = None) -> Tensor:
        """Return time position plus lead embedding: (L N, D) for all patches, or (B, K, D) for those in ``keep``.

        With ``keep``, ``nn.Embedding`` is used, because gradients of an indexed tensor accumulate in an order that depends
        on threads. A resumed run would then not be bit-identical.
        """
        if keep is None:
            lead = self.lead_embedding.weight.index_select(0, self.lead_index)
            return rearrange(lead[:, None] + self.time_position[None], "l n d -> (l n) d")
        return self.lead_embedding(self.lead_index[keep // self.columns]) + self.time_position[keep % self.columns]

    def forward(
        self,
        x: Tensor,
        lead_mask: Tensor | None = None,
        keep: Tensor | None = None,
        recorded: Tensor | None = None,
        shares: bool | None = None,
    ) -> EncoderOutput:
        """Return the token and global representations of the visible patches.

        Args:
            x: (B, L, T) clean, normalised signal; rows of absent leads are 0.
            lead_mask: (B, L) bool, recorded leads; ``None`` for all. No token attends to absent leads.
            keep: (B, K) indices of visible patches in the flattened (L N) order; ``None`` for all.
            recorded: (B,) int64, number of recorded samples from the start; ``None`` for all. No token attends to a patch that
                is not completely recorded. The values of later samples have no influence, including NaN.
            shares: compute the shares and the autocorrelation of the stem, which embeddings need; by default only without
                ``keep``. The autocorrelation is that of the whole recording also with ``keep``.
        """
        if recorded is not None:
            x = self.without_partial_patches(x, recorded)
        patches = self.patches(x)  # (B, L N, P)
        position = self.positions(keep)
        valid = present_patches(lead_mask, recorded, len(self.leads), self.columns, self.patch)
        if keep is not None:
            patches = patches.gather(1, keep[..., None].expand(-1, -1, self.patch))  # (B, K, P)
            valid = None if valid is None else valid.gather(1, keep)
        tokens = self.embed_norm(self.embed_patch(patches)) + position
        found = rhythm = None
        if self.stem is not None:
            tokens = tokens + self.stem(x, keep)
            if shares or (shares is None and keep is None):
                found, rhythm = self.stem.shares(x, keep), self.stem.rhythm(x, lead_mask, recorded)
        tokens = torch.cat([self.global_token.expand(x.shape[0], -1, -1).to(tokens.dtype), tokens], dim=1)
        attend = None if valid is None else torch.cat([torch.ones_like(valid[:, :1]), valid], dim=1)
        for block in self.blocks:
            tokens = block(tokens, attend)
        tokens = self.norm(tokens)
        return EncoderOutput(tokens[:, 1:], tokens[:, 0], valid, found, rhythm)

    def without_partial_patches(self, x: Tensor, recorded: Tensor) -> Tensor:
        """Return x (B, L, T) with 0 in the time columns that are not completely recorded; ``recorded`` as in ``forward``."""
        there = recorded_columns(recorded, self.columns, self.patch).repeat_interleave(self.patch, dim=1)
        return torch.where(there[:, None], x, 0)

    def embed(self, x: Tensor, lead_mask: Tensor | None = None, recorded: Tensor | None = None) -> Tensor:
        """Return embeddings (B, E) float32 of whole recordings; see ``pool``."""
        return self.pool(self(x, lead_mask, recorded=recorded))

    def pool(self, out: EncoderOutput) -> Tensor:
        """Return embeddings (B, E) float32, given the output for all patches of a batch, or for some time columns of it.

        An embedding contains the mean and standard deviation of the valid tokens and the global representation (3 D). The
        standard deviation reflects variation within the recording, such as rhythm and ectopy. Then follow, by ``pooling``:

        - ``recording``: the mean shares of the stem over all leads,
        - ``lead``: the mean token and the mean shares of each lead, because many findings are defined by their leads,
        - ``lead_shares``: the mean shares of each lead.

        The values of an absent lead are the means over the recorded leads. With ``stem.autocorrelation``, the last M values
        are those of ``Stem.rhythm``.
        """
        tokens = out.tokens.float()
        weight = torch.ones_like(tokens[..., :1]) if out.valid is None else out.valid[..., None].float()
        count = weight.sum(dim=1).clamp_min(1)
        mean = (tokens * weight).sum(dim=1) / count
        variance = ((tokens - mean[:, None]) ** 2 * weight).sum(dim=1) / count
        parts = [mean, torch.sqrt(variance + 1e-6), out.global_.float()]
        shares = [] if out.shares is None else [out.shares.float()]
        if self.params.pooling == "recording":
            parts += [(s * weight).sum(dim=1) / count for s in shares]
        elif by_lead := [tokens, *shares] if self.params.pooling == "lead" else shares:
            parts.append(rearrange(self._mean_per_lead(torch.cat(by_lead, dim=-1), weight), "b l v -> b (l v)"))
        if out.rhythm is not None:
            parts.append(out.rhythm.float())
        return torch.cat(parts, dim=1)

    def _mean_per_lead(self, values: Tensor, weight: Tensor) -> Tensor:
        """Return the mean of values (B, L N, V) with weights (B, L N, 1) over the visible columns of every lead, (B, L, V)."""
        values, weight = (rearrange(v, "b (l n) v -> b l n v", l=len(self.leads)) for v in (values, weight))
        total, count = (values * weight).sum(dim=2), weight.sum(dim=2)  # (B, L, V), (B, L, 1)
        overall = total.sum(dim=1, keepdim=True) / count.sum(dim=1, keepdim=True).clamp_min(1)
        return torch.where(count > 0, total / count.clamp_min(1), overall)
