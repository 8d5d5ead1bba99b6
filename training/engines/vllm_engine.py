"""Generation with vLLM inside the worker: its scheduler is fed and read by a thread of its own.

That thread never waits for the database: what is finished lies in a queue until the stage takes it, and meanwhile the
next tokens are computed. On a CPU vLLM's core runs in this process, since its default of a process for the core and one
for the model costs two more imports of torch and two busy loops; on a GPU it stays vLLM's own default, a process whose
end gives back all of the GPU's memory.
"""

from __future__ import annotations

import gc
import json
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training.domain.rows import FinishReason
from training.engines.base import Completion, EngineError, Request, Sampling
from training.engines.prompts import encode, with_template

_SILENT_SECONDS = 0.5  # without a completion, after which ``before_silence`` is called
_AHEAD = 1024  # requests handed to vLLM at a time: more than it runs at once, so that it never waits for more
_CPU_CACHE_BYTES = 2 << 30  # of keys and values, where VLLM_CPU_KVCACHE_SPACE (GiB) does not say otherwise
_CPU_STEP = 4096  # prompt tokens computed in one step
_CPU_BLOCK = 32  # tokens: what a shared beginning is counted in. 128, vLLM's default there, would share no short prompt


@dataclass(slots=True)
class Tokens:
    """What an engine has worked through since it began: prompt tokens, those found in its cache, and new ones."""

    prompt: int = 0
    cached: int = 0
    new: int = 0


class VLLMEngine:
    """A model in vLLM; implements :class:`training.engines.base.Engine`.

    Completions come as they finish. Requests that share a beginning (the samples of one prompt, the judge's template)
    share its computation through vLLM's prefix cache. ``model`` is a folder or a hub name; the folder of a LoRA adapter
    is served as an adapter on its base model. ``dtype`` "auto" is as stored on a GPU and float32 on a CPU.
    ``max_length`` limits prompt and completion together and is itself limited by the model's context. ``logprob`` is
    the sum over the completion's tokens, its end token included, under the model before temperature and nucleus.
    """

    name = "vllm"

    def __init__(
        self,
        model: str | Path,
        *,
        dtype: str = "auto",
        max_length: int = 1024,
        tensor_parallel: int = 1,
        trust_remote_code: bool = False,
    ) -> None:
        on_gpu = torch.cuda.is_available()
        _settle_environment(on_gpu)
        try:
            import vllm
        except ImportError as error:
            raise EngineError(
                f"vLLM cannot be imported in this worker ({error}). Install it with `make install-vllm`, or choose the "
                "engine transformers."
            ) from error
        self._vllm = vllm
        base, self._adapter, rank = _adapter_of(str(model))
        try:
            self.max_length = min(max_length, _context(base, trust_remote_code) or max_length)
            self._llm: Any = vllm.LLM(
                model=base,
                dtype=dtype if on_gpu or dtype != "auto" else "float32",
                max_model_len=self.max_length,
                tensor_parallel_size=tensor_parallel,
                trust_remote_code=trust_remote_code,
                enable_prefix_caching=True,
                seed=0,
                **({"enable_lora": True, "max_lora_rank": rank} if self._adapter else {}),
                **({} if on_gpu else _on_a_cpu(self.max_length, tensor_parallel)),
            )
        except (OSError, ValueError, KeyError, RuntimeError, AssertionError) as error:
            raise EngineError(
                f"vLLM could not start {str(model)!r}: {' '.join(str(error).split())[:300]} Check the model's name, "
                "student.max_length, engine.tensor_parallel and free memory."
            ) from error
        self.tokenizer = with_template(self._llm.get_tokenizer())
        self.tokens = Tokens()
        self.in_flight = 0
        self.before_silence: Callable[[], None] = lambda: None
        self._asked = 0
        # One thread for the engine's whole life: a computing thread brings its own pool of OpenMP threads along.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vllm")
        # What has been loaded until here stays for the engine's life, and looking through it for garbage stops every
        # thread: half a second a time on a CPU, a tenth of a stage. vLLM does the same where its core has a process.
        gc.collect()
        gc.freeze()

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion a request, in the order in which they finish.

        Raises :class:`training.engines.base.PromptTooLong` before anything is generated where a prompt does not fit.
        """
        prompts = encode(self.tokenizer, requests, sampling, max_length=self.max_length)
        finished: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        enough = threading.Event()
        loop = self._thread.submit(self._work, requests, prompts, sampling, finished, enough)
        loop.add_done_callback(lambda _: finished.put(None))
        try:
            while True:
                try:
                    came = finished.get(timeout=_SILENT_SECONDS)
                except queue.Empty:
                    self.before_silence()
                    continue
                if came is None:
                    break
                number, output = came
                yield self._completion(requests[number], output)
            self._raise(loop)
        finally:
            enough.set()
            loop.exception()  # waits until vLLM has let go of what nobody wants any more

    def close(self) -> None:
        """Give back the memory: on a GPU vLLM's process ends, on a CPU its weights and cache are let go."""
        self._thread.shutdown()
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.llm_engine.engine_core.shutdown()
        del llm
        gc.unfreeze()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _work(
        self,
        requests: Sequence[Request],
        prompts: Sequence[list[int]],
        sampling: Sampling,
        finished: queue.SimpleQueue[tuple[int, Any] | None],
        enough: threading.Event,
    ) -> None:
        """Feed vLLM and step it until all is finished or nobody wants more; runs in the engine's thread."""
        engine = self._llm.llm_engine
        lora = self._lora_request()
        running: dict[str, int] = {}
        given = 0
        self._asked += 1
        try:
            while (given < len(requests) or running) and not enough.is_set():
                while given < len(requests) and len(running) < _AHEAD:
                    name = f"{self._asked}.{given}"
                    parameters = self._parameters(requests[given], sampling)
                    running[name] = given
                    engine.add_request(name, {"prompt_token_ids": prompts[given]}, parameters, lora_request=lora)
                    given += 1
                self.in_flight = len(running)
                for output in engine.step():
                    if output.finished:
                        finished.put((running.pop(output.request_id), output))
        finally:
            self.in_flight = 0
            if running:
                engine.abort_request(list(running))

    def _completion(self, request: Request, output: Any) -> Completion:
        written = output.outputs[0]
        ids = list(written.token_ids)
        self.tokens.prompt += len(output.prompt_token_ids)
        self.tokens.cached += output.num_cached_tokens or 0
        self.tokens.new += len(ids)
        ended: FinishReason = "length" if written.finish_reason == "length" else "stop"
        # The last token of a text that has ended is its end token, which is no text.
        kept = ids if ended == "length" else ids[:-1]
        text = self.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Completion(request.key, text, len(ids), ended, request.seed, written.cumulative_logprob)

    def _parameters(self, request: Request, sampling: Sampling) -> Any:
        return self._vllm.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            seed=request.seed,
            logprobs=0,
            flat_logprobs=True,
            detokenize=False,  # once at the end is cheaper than a token at a time
            output_kind=self._vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
        )

    def _lora_request(self) -> Any:
        if not self._adapter:
            return None
        from vllm.lora.request import LoRARequest

        return LoRARequest("student", 1, self._adapter)

    def _raise(self, loop: Future[None]) -> None:
        error = loop.exception()
        if isinstance(error, EngineError):
            raise error
        if error is not None:
            raise EngineError(
                f"vLLM stopped: {type(error).__name__}: {' '.join(str(error).split())[:300]} What came is kept. Where "
                "memory ran out, lower student.max_length; then resume."
            ) from error


def _settle_environment(on_gpu: bool) -> None:
    """What vLLM reads from the environment, before it is imported; what is set already stays."""
    wanted = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
    if not on_gpu:
        wanted |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def _on_a_cpu(max_length: int, tensor_parallel: int) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "enforce_eager": True,
        "block_size": _CPU_BLOCK,
        # A prompt computed in two parts draws once too often, and vLLM then turns the request's generator back, which a
        # CPU's generator cannot ("CPU Generator does not use offset"). In one part there is nothing to turn back.
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(_CPU_STEP, max_length),
    }
    if tensor_parallel == 1 and os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0":
        settings["distributed_executor_backend"] = "uni"
    if not os.environ.get("VLLM_CPU_KVCACHE_SPACE"):
        settings["kv_cache_memory_bytes"] = _CPU_CACHE_BYTES
    return settings


def _adapter_of(model: str) -> tuple[str, str, int]:
    """(base model, adapter folder, its rank) where ``model`` is the folder of a LoRA adapter; else (model, "", 0)."""
    config = Path(model) / "adapter_config.json"
    if not config.is_file():
        return model, "", 0
    told = json.loads(config.read_text(encoding="utf-8"))
    # vLLM takes ranks of a list: the next one that is enough.
    rank = next((size for size in (1, 8, 16, 32, 64, 128, 256, 320, 512) if size >= int(told["r"])), int(told["r"]))
    return str(told["base_model_name_or_path"]), model, rank


def _context(model: str, trust_remote_code: bool) -> int | None:
    """Tokens that the model's context holds, where its config says so."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model, trust_remote_code=trust_remote_code)
    return getattr(config.get_text_config(), "max_position_embeddings", None)
