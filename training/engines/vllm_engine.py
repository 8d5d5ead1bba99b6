"""Generation with vLLM inside the worker."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from typing import Any

from training.domain.rows import FinishReason
from training.domain.templates import PLAIN_CHAT_TEMPLATE
from training.engines.base import Completion, EngineError, PromptTooLong, Request, Sampling

_CHUNK = 2048  # requests handed over at once: enough to keep vLLM's scheduler full, few enough to save in between


class VLLMEngine:
    """A model in vLLM, its prefix cache shared by all requests. Implements :class:`training.engines.base.Engine`."""

    name = "vllm"

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "auto",
        max_length: int = 1024,
        tensor_parallel: int = 1,
        trust_remote_code: bool = False,
    ) -> None:
        try:
            import vllm
        except ImportError as error:
            raise EngineError(
                "vLLM is not installed in this worker. Install it with `make install-vllm`, or choose the engine "
                "transformers."
            ) from error
        self._vllm = vllm
        self.max_length = max_length
        try:
            self._llm = vllm.LLM(
                model=model,
                dtype=dtype,
                max_model_len=max_length,
                tensor_parallel_size=tensor_parallel,
                trust_remote_code=trust_remote_code,
                enable_prefix_caching=True,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineError(
                f"vLLM could not start {model!r}: {str(error)[:300]} Check the model, student.max_length and memory."
            ) from error
        self._tokenizer: Any = self._llm.get_tokenizer()
        if self._tokenizer.chat_template is None:
            self._tokenizer.chat_template = PLAIN_CHAT_TEMPLATE

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion a request, chunk by chunk. Raises :class:`PromptTooLong` before the first."""
        prompts = [self._tokens(request, sampling) for request in requests]
        for start in range(0, len(requests), _CHUNK):
            chunk = requests[start : start + _CHUNK]
            outputs = self._llm.generate(
                [{"prompt_token_ids": tokens} for tokens in prompts[start : start + _CHUNK]],
                [self._parameters(request, sampling) for request in chunk],
                use_tqdm=False,
            )
            for request, output in zip(chunk, outputs, strict=True):
                first = output.outputs[0]
                ended: FinishReason = "length" if first.finish_reason == "length" else "stop"
                yield Completion(
                    request.key, first.text, len(first.token_ids), ended, request.seed, first.cumulative_logprob
                )

    def _tokens(self, request: Request, sampling: Sampling) -> list[int]:
        text = self._tokenizer.apply_chat_template(
            [dict(message) for message in request.messages], tokenize=False, add_generation_prompt=True
        )
        tokens = list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        if len(tokens) + sampling.max_new_tokens > self.max_length:
            raise PromptTooLong(
                f"Prompt {request.key!r} has {len(tokens)} tokens; with {sampling.max_new_tokens} new tokens it does "
                f"not fit the limit of {self.max_length}. Shorten the prompt, ask for fewer new tokens, or raise "
                "student.max_length where the model's context allows it."
            )
        return tokens

    def _parameters(self, request: Request, sampling: Sampling) -> Any:
        return self._vllm.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            seed=request.seed,
            logprobs=0,
        )

    def close(self) -> None:
        """Give back the memory before training."""
        del self._llm
        gc.collect()
