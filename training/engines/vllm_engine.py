"""Generation with vLLM inside the worker, driven by a separate thread.

The thread never waits for the database: finished completions are queued for the stage while vLLM computes the next
tokens. On a CPU, vLLM's core runs in this process, which saves two imports of torch and two busy loops. On a GPU it
runs in its own process (vLLM's default), so that all GPU memory is freed when that process ends.
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

from training.conversation.encoder import ConversationEncoder
from training.domain.rows import FinishReason
from training.engines.base import Completion, EngineError, Request, Sampling
from training.engines.prompts import encode

_SILENT_SECONDS = 0.5  # without a completion before ``on_idle`` is called
_AHEAD = 1024  # requests passed to vLLM at a time: more than it runs concurrently, so that it never idles
_CPU_CACHE_BYTES = 2 << 30  # key-value cache, unless VLLM_CPU_KVCACHE_SPACE (GiB) is set
_CPU_STEP = 4096  # prompt tokens per step
_CPU_BLOCK = 32  # tokens per block of the prefix cache. vLLM's default, 128, would share no short prompt


@dataclass(slots=True)
class Tokens:
    """Token counts of an engine since its start: prompt tokens, cached prompt tokens, and generated tokens."""

    prompt: int = 0
    cached: int = 0
    new: int = 0


class VLLMEngine:
    """A model in vLLM; implements :class:`training.engines.base.Engine`.

    Completions are yielded as they finish. Requests with a common prefix (the samples of one prompt, the judge's
    template) share its computation through vLLM's prefix cache. ``model`` is a folder or a hub name; the folder of a
    LoRA adapter is served on its base model. ``dtype`` "auto" loads weights as stored on a GPU and as float32 on a
    CPU. ``max_length`` limits prompt and completion together, in tokens, and is capped at the model's context length.
    ``logprob`` sums over the completion's tokens, including the end token, before temperature and nucleus sampling.
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
        _set_environment_defaults(on_gpu)
        try:
            import vllm
        except ImportError as error:
            raise EngineError(
                f"vLLM cannot be imported in this worker ({error}). Install it with `make install-vllm`, or use the "
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
                **({} if on_gpu else _cpu_arguments(self.max_length, tensor_parallel)),
            )
        except (OSError, ValueError, KeyError, RuntimeError, AssertionError) as error:
            raise EngineError(
                f"vLLM could not start {str(model)!r}: {' '.join(str(error).split())[:300]} Check the model's name, "
                "student.max_length, engine.tensor_parallel and free memory."
            ) from error
        self.conversations = ConversationEncoder(self._llm.get_tokenizer())
        self._ends = self.conversations.end_ids()
        self.tokens = Tokens()
        self.in_flight = 0
        self.on_idle: Callable[[], None] = lambda: None
        self._asked = 0
        # One thread for the engine's lifetime: every computing thread creates its own pool of OpenMP threads.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vllm")
        # Exclude the loaded objects from garbage collection: each full collection stops all threads for half a second
        # on a CPU, a tenth of a stage. vLLM does the same if its core has its own process.
        gc.collect()
        gc.freeze()

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion per request, in the order in which they finish.

        Raises :class:`training.engines.base.PromptsRefused` before generating anything.
        """
        prompts = encode(self.conversations, requests, sampling, max_length=self.max_length)
        finished: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        enough = threading.Event()
        loop = self._thread.submit(self._work, requests, prompts, sampling, finished, enough)
        loop.add_done_callback(lambda _: finished.put(None))
        try:
            while True:
                try:
                    item = finished.get(timeout=_SILENT_SECONDS)
                except queue.Empty:
                    self.on_idle()
                    continue
                if item is None:
                    break
                number, output = item
                yield self._completion(requests[number], output)
            self._raise(loop)
        finally:
            enough.set()
            loop.exception()  # wait until vLLM has aborted the remaining requests

    def close(self) -> None:
        """Free the memory: on a GPU vLLM's process ends, on a CPU its weights and cache are released."""
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
        """Step vLLM until all requests are finished or ``enough`` is set. Runs in the engine's thread."""
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
        # The last token of a finished text is the end token, which is not part of the text.
        kept = ids if ended == "length" else ids[:-1]
        text = self.conversations.texts([kept])[0]
        return Completion(request.key, text, len(ids), ended, request.seed, written.cumulative_logprob)

    def _parameters(self, request: Request, sampling: Sampling) -> Any:
        return self._vllm.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            seed=request.seed,
            stop_token_ids=self._ends,  # besides those of the generation config
            logprobs=0,
            flat_logprobs=True,
            detokenize=False,  # detokenizing once at the end is cheaper
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
                f"vLLM stopped: {type(error).__name__}: {' '.join(str(error).split())[:300]} "
                "Finished completions are kept. If memory ran out, lower student.max_length; then resume."
            ) from error


def _set_environment_defaults(on_gpu: bool) -> None:
    """Set defaults of the environment variables that vLLM reads on import; existing values are kept."""
    wanted = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
    if not on_gpu:
        wanted |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def _cpu_arguments(max_length: int, tensor_parallel: int) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "enforce_eager": True,
        "block_size": _CPU_BLOCK,
        # After a prompt computed in several chunks, vLLM rewinds the request's random generator, which a CPU generator
        # does not support ("CPU Generator does not use offset"). A single chunk avoids the rewind.
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(_CPU_STEP, max_length),
    }
    if tensor_parallel == 1 and os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0":
        settings["distributed_executor_backend"] = "uni"
    if not os.environ.get("VLLM_CPU_KVCACHE_SPACE"):
        settings["kv_cache_memory_bytes"] = _CPU_CACHE_BYTES
    return settings


def _adapter_of(model: str) -> tuple[str, str, int]:
    """Return (base model, adapter folder, rank) if ``model`` is a LoRA adapter's folder, else (model, "", 0)."""
    config = Path(model) / "adapter_config.json"
    if not config.is_file():
        return model, "", 0
    adapter = json.loads(config.read_text(encoding="utf-8"))
    # vLLM supports a fixed list of ranks: use the smallest sufficient one.
    own_rank = int(adapter["r"])
    rank = next((size for size in (1, 8, 16, 32, 64, 128, 256, 320, 512) if size >= own_rank), own_rank)
    return str(adapter["base_model_name_or_path"]), model, rank


def _context(model: str, trust_remote_code: bool) -> int | None:
    """Return the model's context length in tokens, if its config specifies it."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model, trust_remote_code=trust_remote_code)
    return getattr(config.get_text_config(), "max_position_embeddings", None)
