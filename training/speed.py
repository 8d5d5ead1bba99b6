"""How fast a machine generates and trains: the constants behind the estimate, and where each comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from training.config import RunConfig
from training.domain.engine_kinds import ENGINES
from training.hardware import Hardware
from training.model_size import ModelSize

#: (bfloat16 TFLOP/s without sparsity, memory bandwidth in TB/s) by a part of the GPU's name; makers' data sheets.
GPU_SPEED: Final[dict[str, tuple[float, float]]] = {
    "B200": (2250, 8.0),
    "H200": (989, 4.8),
    "H100": (989, 3.35),
    "A100": (312, 2.0),
    "L40S": (362, 0.864),
    "L4": (121, 0.3),
    "A10": (125, 0.6),
    "T4": (65, 0.32),
    "V100": (125, 0.9),
    "4090": (165, 1.0),
    "3090": (71, 0.94),
}
OTHER_GPU: Final = (60.0, 0.5)
GPU_TRAINING_SHARE: Final = 0.3  # of those FLOP/s, for TRL on padded batches
GPU_PREFILL_SHARE: Final = 0.4
GPU_BANDWIDTH_SHARE: Final = 0.6
GPU_LAYER_SECONDS: Final = 0.0006  # a decoding step of transformers: launching a layer's kernels
CONTINUOUS_LAYER_SECONDS: Final = 0.0001  # the same of vLLM
GPU_TRAINING_STEP_SECONDS: Final = 0.05
CPU_CORE_FLOPS: Final = 40e9  # float32 of one core; AVX2, measured 30 to 55 on matrices of a thousand
CPU_BANDWIDTH: Final = 10e9  # bytes a second and core, at most four cores' worth
CPU_DECODE_SECONDS: Final = 0.003  # a decoding step's fixed cost: sampling, masks, Python
CPU_LAYER_SECONDS: Final = 0.0006
CPU_TRAINING_STEP_SECONDS: Final = 0.012  # a micro-batch: collation, autograd, optimizer
CPU_TRAINING_LAYER_SECONDS: Final = 0.004
LOAD_SECONDS: Final = 0.5  # a model of no size: the libraries are loaded in the worker
LOAD_BYTES: Final = 1e9  # read and converted a second


@dataclass(frozen=True, slots=True)
class Speed:
    """Rates of one device. ``where`` says in words what was counted with."""

    on_gpu: bool
    flops: float  # a second, reached while training
    prefill_flops: float
    bandwidth: float  # bytes a second
    decode_seconds: float  # a decoding step, fixed
    decode_layer_seconds: float
    step_seconds: float  # a training micro-batch, fixed
    step_layer_seconds: float
    batch: int
    weight_bytes: int
    where: str

    def loading(self, size: ModelSize) -> float:
        """Seconds to load the weights."""
        return LOAD_SECONDS + size.parameters * self.weight_bytes / LOAD_BYTES

    def generation(
        self, size: ModelSize, requests: float, prompt_tokens: float, new_tokens: float, *, shared: int = 1
    ) -> float:
        """Seconds to answer ``requests`` prompts; ``shared`` requests have the same prompt and read it once."""
        if requests <= 0:
            return 0.0
        batches = math.ceil(requests / self.batch)
        rows = min(requests, self.batch)
        prefill = 2 * size.parameters * prompt_tokens * requests / shared / self.prefill_flops
        # The slowest of a batch decides how long it runs; ended rows leave it.
        steps = batches * new_tokens * 1.5
        read = size.parameters * self.weight_bytes / self.bandwidth
        computed = 2 * size.parameters * rows * 0.7 / self.prefill_flops
        step = max(read, computed) + self.decode_seconds + size.layers * self.decode_layer_seconds
        return self.loading(size) + prefill + steps * step

    def training(self, size: ModelSize, tokens: float, micro_steps: int) -> float:
        """Seconds to train on ``tokens`` in ``micro_steps`` micro-batches: forward and backward are three forwards."""
        if micro_steps <= 0:
            return 0.0
        fixed = micro_steps * (self.step_seconds + size.layers * self.step_layer_seconds)
        return 2 * self.loading(size) + 6 * size.parameters * tokens / self.flops + fixed

    def forward(self, size: ModelSize, tokens: float, micro_steps: int) -> float:
        """Seconds for forward passes alone."""
        fixed = micro_steps * (self.step_seconds + size.layers * self.step_layer_seconds) / 3
        return 2 * size.parameters * tokens / self.prefill_flops + fixed


def speed_of(config: RunConfig, hardware: Hardware) -> Speed:
    """The device that the config would run on: the first GPU, or the CPU's cores."""
    if not hardware.gpus:
        cores = hardware.cpu_cores
        flops = CPU_CORE_FLOPS * cores
        return Speed(
            on_gpu=False,
            flops=flops,
            prefill_flops=flops,
            bandwidth=CPU_BANDWIDTH * min(cores, 4),
            decode_seconds=CPU_DECODE_SECONDS,
            decode_layer_seconds=CPU_LAYER_SECONDS,
            step_seconds=CPU_TRAINING_STEP_SECONDS,
            step_layer_seconds=CPU_TRAINING_LAYER_SECONDS,
            batch=config.engine.batch_size,
            weight_bytes=4,
            where=f"counted with {cores} CPU {'core' if cores == 1 else 'cores'}, no GPU",
        )
    gpu = hardware.gpus[0]
    tera, bandwidth = next((speed for part, speed in GPU_SPEED.items() if part in gpu.name), OTHER_GPU)
    engine = ENGINES[config.engine.kind]
    shared = config.engine.tensor_parallel if "tensor_parallel" in engine.engine_fields else 1
    known = any(part in gpu.name for part in GPU_SPEED)
    return Speed(
        on_gpu=True,
        flops=tera * 1e12 * GPU_TRAINING_SHARE,
        prefill_flops=tera * 1e12 * GPU_PREFILL_SHARE * shared,
        bandwidth=bandwidth * 1e12 * GPU_BANDWIDTH_SHARE * shared,
        decode_seconds=0.002,
        decode_layer_seconds=CONTINUOUS_LAYER_SECONDS if engine.batches_continuously else GPU_LAYER_SECONDS,
        step_seconds=GPU_TRAINING_STEP_SECONDS,
        step_layer_seconds=0.0,
        batch=max(config.engine.batch_size, 256) if engine.batches_continuously else config.engine.batch_size,
        weight_bytes=4 if config.student.dtype == "float32" else 2,
        where=f"counted with one {gpu.name}{'' if known else ', whose speed is guessed'}",
    )
