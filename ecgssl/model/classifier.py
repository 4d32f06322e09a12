"""Classifier: an encoder with a linear, attentive or nonlinear head, used for fine-tuning and export."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from ecgssl.config.manifest import OutputKind
from ecgssl.model.encoder import Encoder
from ecgssl.model.recorded import rotate

LIMIT = 6.0
"""Largest absolute value of a standardised feature that ``Network`` receives."""


class Network(nn.Module):
    """One hidden layer on standardised features: (B, E) -> (B, K).

    Args:
        features: number E of features.
        hidden: number of hidden units.
        labels: number K of outputs.
        dropout: share of the features, and of the hidden units, that are dropped in training.
    """

    def __init__(self, features: int, hidden: int, labels: int, dropout: tuple[float, float] = (0.0, 0.0)) -> None:
        super().__init__()
        self.dropout = dropout
        self.to_hidden = nn.Linear(features, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.to_outputs = nn.Linear(hidden, labels)

    def forward(self, standardised: Tensor) -> Tensor:
        x = F.dropout(standardised.clamp(-LIMIT, LIMIT), self.dropout[0], self.training)
        x = F.dropout(F.gelu(self.norm(self.to_hidden(x))), self.dropout[1], self.training)
        out: Tensor = self.to_outputs(x)
        return out


class Head(nn.Module):
    """Linear layer on standardised embeddings: (B, E) -> (B, K) logits. With a network, the mean of the layer and the network.

    The embeddings are standardised with the buffers ``mean`` and ``scale``, which a linear probe computes from the training
    embeddings of the frozen encoder. Linear probes and fine-tuned models use this head.

    Args:
        embed_dim: length E of an embedding.
        labels: number K of outputs.
        hidden: number of hidden units of the network; 0 for none.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, embed_dim: int, labels: int, hidden: int = 0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(embed_dim))
        self.register_buffer("scale", torch.ones(embed_dim))
        self.linear = nn.Linear(embed_dim, labels)
        self.network = Network(embed_dim, hidden, labels) if hidden else None

    def forward(self, embedding: Tensor) -> Tensor:
        standardised = self.standardised(embedding)
        out: Tensor = self.linear(standardised)
        return out if self.network is None else (out + self.network(standardised)) / 2

    def standardised(self, embedding: Tensor) -> Tensor:
        """Return the embeddings (B, E) less their mean, divided by their scale."""
        return (embedding - self.mean) / self.scale


class QueryPooling(nn.Module):
    """Attentive pooling: cross-attention of learned queries over the tokens of a recording, (B, N, D) -> (B, Q D).

    Methods: Chen et al. 2022 (arXiv 2202.03026), Bardes et al. 2024 (arXiv 2404.08471). Keys, values and outputs are not
    projected. A key projection is redundant, because the score ``q' W_k t`` depends only on the learned vector ``W_k' q``
    (Psomas et al. 2025, arXiv 2506.10178).

    Args:
        width: width D of a token.
        queries: number Q of queries.
    """

    def __init__(self, width: int, queries: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.empty(queries, width))
        nn.init.normal_(self.queries)

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the pooled tokens (B, Q D).

        Args:
            tokens: (B, N, D) tokens of the encoder.
            valid: (B, N) bool, as in ``EncoderOutput``; ``None`` for all tokens.
        """
        tokens = tokens.float()
        scores = torch.einsum("b n d, q d -> b q n", tokens, self.queries) * tokens.shape[-1] ** -0.5
        if valid is not None:
            # use a finite score, so that a recording without leads gets the mean of its tokens instead of NaN
            scores = scores.masked_fill(~valid[:, None], torch.finfo(scores.dtype).min)
        pooled = torch.einsum("b q n, b n d -> b q d", scores.softmax(dim=-1), tokens)
        return rearrange(pooled, "b q d -> b (q d)")


class Classifier(nn.Module):
    """Model that maps clean, normalised recordings to outputs for named targets.

    Args:
        encoder: fine-tuned or frozen encoder.
        targets: names of the K outputs, in order.
        kind: type of the outputs. The outputs of ``multilabel`` and ``multiclass`` models are logits.
        queries: number of learned queries. The input of the head is the embedding and, if this number is not 0, the tokens
            pooled by the queries.
        crops: number of views in eval mode, whose outputs are averaged. View k (counted from 0) is shifted circularly by the
            fraction k / crops of its recorded samples. In training mode, only the unshifted view is used.
        hidden: number of hidden units of the network in the head; 0 for a head without a network.

    Attributes:
        offset, spread: (K,), only for ``regression``: mean and standard deviation of each target in the training split. The
            head predicts standardised values; the outputs have the unit of the target.
    """

    offset: Tensor
    spread: Tensor

    def __init__(
        self,
        encoder: Encoder,
        targets: Sequence[str],
        kind: OutputKind = "multilabel",
        queries: int = 0,
        crops: int = 1,
        hidden: int = 0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.targets = tuple(targets)
        self.kind: OutputKind = kind
        self.crops = crops
        self.pooling = QueryPooling(encoder.width, queries) if queries else None
        self.head = Head(encoder.embed_dim + queries * encoder.width, len(self.targets), hidden)
        if kind == "regression":
            self.register_buffer("offset", torch.zeros(len(self.targets)))
            self.register_buffer("spread", torch.ones(len(self.targets)))

    @property
    def query_count(self) -> int:
        """Number of learned queries of the head."""
        return 0 if self.pooling is None else len(self.pooling.queries)

    @property
    def target_spread(self) -> Tensor:
        """Standard deviations (K,) of the targets of a regression; 1 for other kinds, whose outputs are logits."""
        return self.spread if self.kind == "regression" else torch.ones_like(self.head.linear.bias)

    @property
    def hidden_units(self) -> int:
        """Number of hidden units of the network in the head."""
        return 0 if self.head.network is None else self.head.network.to_hidden.out_features

    def forward(
        self,
        x: Tensor,
        lead_mask: Tensor | None = None,
        recorded: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> Tensor:
        """Return the outputs (B, K): logits, or values in the unit of their targets.

        Arguments as in ``Encoder.forward``. ``keep`` must consist of complete time columns (``draw_columns``).
        """
        return self.with_embedding(x, lead_mask, recorded, keep)[0]

    def with_embedding(
        self,
        x: Tensor,
        lead_mask: Tensor | None = None,
        recorded: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the outputs (B, K) of ``forward`` and the embeddings (B, E) of the unshifted recordings."""
        out = self.encoder(x, lead_mask, keep, recorded, shares=True)
        embedding = self.encoder.pool(out)
        outputs = [self.from_features(embedding, out.tokens, out.valid)]
        for crop in range(1, 1 if self.training else self.crops):
            # shift circularly, because there are no samples outside the window of the recording
            view = self.encoder(self._crop(x, crop, recorded), lead_mask, recorded=recorded)
            outputs.append(self.from_features(self.encoder.pool(view), view.tokens, view.valid))
        return torch.stack(outputs).mean(dim=0) if len(outputs) > 1 else outputs[0], embedding

    def _crop(self, x: Tensor, crop: int, recorded: Tensor | None) -> Tensor:
        if recorded is None:
            return torch.roll(x, self.encoder.samples * crop // self.crops, dims=-1)
        return rotate(x, recorded - recorded * crop // self.crops, recorded)

    def from_features(self, embedding: Tensor, tokens: Tensor | None = None, valid: Tensor | None = None) -> Tensor:
        """Return the outputs (B, K) for embeddings and tokens of the encoder.

        Args:
            embedding: (B, E) embeddings.
            tokens: (B, N, D) tokens; required only if the classifier has queries.
            valid: (B, N) bool, as in ``EncoderOutput``; ``None`` for all tokens.

        Raises:
            ValueError: the classifier has queries, but ``tokens`` is ``None``.
        """
        if self.pooling is not None:
            if tokens is None:
                raise ValueError("a classifier with queries needs the tokens of the encoder")
            embedding = torch.cat([embedding, self.pooling(tokens, valid)], dim=1)
        out = self.head(embedding)
        return out * self.spread + self.offset if self.kind == "regression" else out

    def probability(self, logits: Tensor) -> Tensor:
        """Return probabilities (B, K) from logits: independent for each label (``multilabel``), or with sum 1 (``multiclass``).

        Raises:
            ValueError: the classifier is a regression model.
        """
        if self.kind == "regression":
            raise ValueError("a regression model has no probabilities: its outputs are values, not logits")
        return torch.sigmoid(logits) if self.kind == "multilabel" else torch.softmax(logits, dim=-1)


def start_attentive(linear: Classifier, queries: int) -> Classifier:
    """Return a classifier in eval mode with learned queries, which initially has the same outputs as ``linear``.

    The head multiplies the pooled tokens by weights that are initially 0. They are standardised like the mean token, which
    is the first part of the embedding.

    Args:
        linear: classifier without queries and with a single crop; the new classifier shares its encoder.
        queries: number of queries, at least 1. Their initial values come from torch's global generator.
    """
    model = Classifier(linear.encoder, linear.targets, linear.kind, queries)
    width, old, new = linear.encoder.width, linear.head, model.head
    with torch.no_grad():
        new.mean.copy_(torch.cat([old.mean, repeat(old.mean[:width], "d -> (q d)", q=queries)]))
        new.scale.copy_(torch.cat([old.scale, repeat(old.scale[:width], "d -> (q d)", q=queries)]))
        new.linear.weight.zero_()
        new.linear.weight[:, : linear.encoder.embed_dim] = old.linear.weight
        new.linear.bias.copy_(old.linear.bias)
        if linear.kind == "regression":
            model.offset.copy_(linear.offset)
            model.spread.copy_(linear.spread)
    return model.eval()
