"""Generation in this process with ``transformers``: any causal language model, local or from the hub.

The decode loop replaces ``generate``, which does not combine three features: a seed per row, one prefill per shared
prompt, and removal of finished rows from the batch.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.conversation.encoder import ConversationEncoder
from training.conversation.frame import ConversationRefused
from training.engines.base import Completion, EngineError, Request, Sampling
from training.engines.drawing import draw_tokens, uniform_noise
from training.engines.kv_cache import preallocated_cache
from training.engines.prompts import encode

_WATCH_STEPS = 4  # tokens between two calls of ``watch``
_COMPACT_AT = 0.25  # share of finished rows at which the cache is compacted


@dataclass(frozen=True, slots=True)
class _Job:
    """A request and its tokenized prompt."""

    request: Request
    prompt: tuple[int, ...]


class TransformersEngine:
    """A causal language model in this process; implements :class:`training.engines.base.Engine`.

    ``dtype`` "auto" loads weights as stored on a GPU and as float32 on a CPU. A tokenizer without a chat template gets
    :data:`training.domain.templates.PLAIN_CHAT_TEMPLATE`. ``max_length`` limits prompt and completion together, in
    tokens, and is capped at the model's context length. ``logprob`` is computed before temperature and nucleus
    sampling; ``logprob`` and ``token_count`` include the end token.

    ``watch``, if set, is called with the growing text of the first request. ``on_idle`` is called before each batch,
    once all finished completions have been consumed.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        name: str = "transformers",
        batch_size: int = 64,
        dtype: str = "auto",
        max_length: int = 1024,
        trust_remote_code: bool = False,
    ) -> None:
        self.name = name
        self.batch_size = batch_size
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer, self.model = _load(str(model), dtype, self.device, trust_remote_code)
        context = getattr(self.model.config, "max_position_embeddings", None) or max_length
        self.max_length = min(max_length, context)
        self.conversations = ConversationEncoder(self.tokenizer)
        ends = self.conversations.end_ids(self.model.generation_config)
        self.end_tokens = torch.tensor(ends, dtype=torch.long, device=self.device)
        self.in_flight = 0
        self.watch: Callable[[str], None] | None = None
        self.on_idle: Callable[[], None] = lambda: None

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion per request, batch by batch, shortest prompts first.

        Raises :class:`PromptsRefused` before generating anything if a prompt does not fit or the template refuses it.
        """
        try:
            for batch in self._batches(self._encode(requests, sampling)):
                self.on_idle()
                self.in_flight = len(batch)
                yield from self._decode_in_parts(batch, sampling)
        finally:
            self.in_flight = 0

    def max_answer_tokens(self, request: Request) -> int:
        """Return the maximum answer length in tokens; zero or negative if the prompt alone does not fit.

        Raises :class:`EngineError` if the chat template refuses the prompt.
        """
        try:
            return self.max_length - len(self.conversations.prompt(request.messages).ids)
        except ConversationRefused as error:
            raise EngineError(str(error)) from error

    def close(self) -> None:
        """Free the model's memory."""
        self.model = None
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _encode(self, requests: Sequence[Request], sampling: Sampling) -> list[_Job]:
        prompts = encode(self.conversations, requests, sampling, max_length=self.max_length)
        return [_Job(request, tuple(prompt)) for request, prompt in zip(requests, prompts, strict=True)]

    def _batches(self, jobs: list[_Job]) -> Iterator[list[_Job]]:
        """Batches sorted by length, with equal prompts adjacent, to reduce padding and share prefills."""
        jobs = sorted(jobs, key=lambda job: (len(job.prompt), job.prompt))
        start = 0
        while start < len(jobs):
            batch = jobs[start : start + self.batch_size]  # may have shrunk after an out-of-memory error
            start += len(batch)
            yield batch

    def _decode_in_parts(self, jobs: list[_Job], sampling: Sampling) -> Iterator[Completion]:
        """Decode the batch; if memory runs out, decode it in halves, which gives the same texts."""
        try:
            done = self._decode(jobs, sampling)
        except torch.OutOfMemoryError as error:
            if len(jobs) == 1:
                raise EngineError(
                    f"The device ran out of memory with a single prompt of {len(jobs[0].prompt)} tokens. Lower "
                    "student.max_length or the number of new tokens, or use a smaller model or dtype bfloat16."
                ) from error
            done = None
        if done is not None:
            yield from done
            return
        gc.collect()
        torch.cuda.empty_cache()
        half = len(jobs) // 2
        self.batch_size = max(1, min(self.batch_size, half))
        yield from self._decode_in_parts(jobs[:half], sampling)
        yield from self._decode_in_parts(jobs[half:], sampling)

    @torch.inference_mode()
    def _decode(self, jobs: list[_Job], sampling: Sampling) -> list[Completion]:
        steps, rows = sampling.max_new_tokens, len(jobs)
        cache, logits, mask = self._prefill(jobs, steps)
        width = mask.shape[1] - steps
        positions = mask[:, :width].sum(-1, keepdim=True)
        noise = self._noise(jobs, sampling)
        written = torch.full((rows, steps), -1, dtype=torch.long, device=self.device)
        logps = torch.zeros(rows, device=self.device)
        alive = torch.arange(rows, device=self.device)  # index of the job of each active row
        ended = torch.zeros(rows, dtype=torch.bool, device=self.device)
        for step in range(steps):
            tokens, gained = draw_tokens(
                logits, noise[alive, step], temperature=sampling.temperature, top_p=sampling.top_p
            )
            running = ~ended
            written[alive[running], step] = tokens[running]
            logps[alive[running]] += gained[running]
            ended = ended | torch.isin(tokens, self.end_tokens)
            if self.watch is not None and step % _WATCH_STEPS == _WATCH_STEPS - 1:
                self.watch(self.conversations.texts([written[0][written[0] >= 0].tolist()])[0])
            over = int(ended.sum())
            if over == len(alive) or step + 1 == steps:
                break
            if over >= _COMPACT_AT * len(alive):
                stay = (~ended).nonzero()[:, 0]
                cache.reorder_cache(stay)
                alive, tokens, mask, positions = alive[stay], tokens[stay], mask[stay], positions[stay]
                ended = torch.zeros(len(alive), dtype=torch.bool, device=self.device)
            output = self.model(
                input_ids=tokens[:, None],
                attention_mask=mask[:, : width + step + 1],
                position_ids=positions + step,
                past_key_values=cache,
                use_cache=True,
            )
            logits = output.logits[:, -1]
        return self._completions(jobs, written.cpu().numpy(), logps.cpu().numpy())

    def _prefill(self, jobs: list[_Job], steps: int) -> tuple[Any, Tensor, Tensor]:
        """Prefill each distinct prompt once. Returns cache, logits (rows, vocabulary), mask (rows, width + steps)."""
        prompts = list(dict.fromkeys(job.prompt for job in jobs))
        place = {prompt: index for index, prompt in enumerate(prompts)}
        width = max(map(len, prompts))
        tokens = np.zeros((len(prompts), width), dtype=np.int64)
        mask = np.ones((len(prompts), width + steps), dtype=np.int64)
        for row, prompt in enumerate(prompts):
            tokens[row, width - len(prompt) :] = prompt
            mask[row, : width - len(prompt)] = 0
        attention = torch.from_numpy(mask).to(self.device)
        output = self.model(
            input_ids=torch.from_numpy(tokens).to(self.device),
            attention_mask=attention[:, :width],
            position_ids=(attention[:, :width].cumsum(-1) - 1).clamp(min=0),
            past_key_values=preallocated_cache(self.model.config, width + steps),
            use_cache=True,
            logits_to_keep=1,
        )
        cache, logits = output.past_key_values, output.logits[:, -1]
        if len(prompts) < len(jobs):
            owner = torch.tensor([place[job.prompt] for job in jobs], device=self.device)
            cache.reorder_cache(owner)
            logits, attention = logits[owner], attention[owner]
        return cache, logits, attention

    def _noise(self, jobs: list[_Job], sampling: Sampling) -> Tensor:
        if sampling.temperature == 0:
            return torch.zeros(len(jobs), sampling.max_new_tokens, device=self.device)
        rows = [uniform_noise(job.request.seed, sampling.max_new_tokens) for job in jobs]
        return torch.from_numpy(np.stack(rows)).to(self.device, torch.float32)

    def _completions(self, jobs: list[_Job], written: np.ndarray, logps: np.ndarray) -> list[Completion]:
        ends = set(self.end_tokens.tolist())
        counts = (written >= 0).sum(-1)
        stopped = [int(row[count - 1]) in ends for row, count in zip(written, counts, strict=True)]
        kept = [row[: count - stop].tolist() for row, count, stop in zip(written, counts, stopped, strict=True)]
        texts = self.conversations.texts(kept)
        return [
            Completion(
                key=job.request.key,
                text=text,
                token_count=int(count),
                finish_reason="stop" if stop else "length",
                seed=job.request.seed,
                logprob=float(logp),
            )
            for job, text, count, stop, logp in zip(jobs, texts, counts, stopped, logps, strict=True)
        ]


def _load(model: str, dtype: str, device: torch.device, trust_remote_code: bool) -> tuple[Any, Any]:
    """Return tokenizer and model. Raises :class:`EngineError` if they cannot be loaded."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would fill the worker's log
    wanted = dtype if dtype != "auto" or device.type != "cpu" else "float32"
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=trust_remote_code)
        loaded = AutoModelForCausalLM.from_pretrained(model, dtype=wanted, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise EngineError(
            f"The model {model!r} could not be loaded: {_first_line(error)} Give the folder of a checkpoint, or the "
            "name of a causal language model on the hub that this machine can reach."
        ) from error
    return tokenizer, loaded.to(device).eval()


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    first = text[0].rstrip(".") if text else type(error).__name__
    return f"{first[:300]}."
