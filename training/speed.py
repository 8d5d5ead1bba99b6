"""Speed of generation and training on a machine: the constants of the estimate and their sources."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from training.config import RunConfig
from training.domain.engine_kinds import ENGINES
from training.hardware import Hardware
from training.model_size import ModelSize

#: (dense bfloat16 TFLOP/s, memory bandwidth in TB/s) by a part of the GPU's name, from the vendors' data sheets.
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
GPU_TRAINING_SHARE: Final = 0.3  # share of the peak FLOP/s, for TRL on padded batches
GPU_PREFILL_SHARE: Final = 0.4
GPU_BANDWIDTH_SHARE: Final = 0.6
GPU_LAYER_SECONDS: Final = 0.0006  # kernel launches per layer and decoding step, transformers
CONTINUOUS_LAYER_SECONDS: Final = 0.0001  # the same for vLLM
GPU_TRAINING_STEP_SECONDS: Final = 0.05
CPU_CORE_FLOPS: Final = 40e9  # float32 FLOP/s per core; AVX2, measured 30e9 to 55e9 on 1000 x 1000 matrices
CPU_BANDWIDTH: Final = 10e9  # bytes per second and core, for at most four cores
CPU_DECODE_SECONDS: Final = 0.003  # fixed cost per decoding step: sampling, masks, Python
CPU_LAYER_SECONDS: Final = 0.0006
CPU_TRAINING_STEP_SECONDS: Final = 0.012  # per micro-batch: collation, autograd, optimizer
CPU_TRAINING_LAYER_SECONDS: Final = 0.004
LOAD_SECONDS: Final = 0.5  # fixed cost of loading a model; the worker has loaded the libraries
LOAD_BYTES: Final = 1e9  # bytes read and converted per second


@dataclass(frozen=True, slots=True)
class Speed:
    """Rates of one device. ``where`` describes the device."""

    on_gpu: bool
    flops: float  # per second, in training
    prefill_flops: float  # per second
    bandwidth: float  # bytes per second
    decode_seconds: float  # fixed cost per decoding step
    decode_layer_seconds: float  # per decoding step and layer
    step_seconds: float  # fixed cost per training micro-batch
    step_layer_seconds: float  # per micro-batch and layer
    batch: int
    weight_bytes: int
    where: str

    def loading(self, size: ModelSize) -> float:
        """Return the seconds to load the weights."""
        return LOAD_SECONDS + size.parameters * self.weight_bytes / LOAD_BYTES

    def generation(
        self, size: ModelSize, requests: float, prompt_tokens: float, new_tokens: float, *, shared: int = 1
    ) -> float:
        """Return the seconds to answer ``requests`` prompts; groups of ``shared`` requests share one prefill."""
        if requests <= 0:
            return 0.0
        batches = math.ceil(requests / self.batch)
        rows = min(requests, self.batch)
        prefill = 2 * size.parameters * prompt_tokens * requests / shared / self.prefill_flops
        # A batch runs as long as its longest row; finished rows are removed from it.
        steps = batches * new_tokens * 1.5
        read = size.parameters * self.weight_bytes / self.bandwidth
        computed = 2 * size.parameters * rows * 0.7 / self.prefill_flops
        step = max(read, computed) + self.decode_seconds + size.layers * self.decode_layer_seconds
        return self.loading(size) + prefill + steps * step

    def training(self, size: ModelSize, tokens: float, micro_steps: int) -> float:
        """Return the seconds to train on ``tokens`` in ``micro_steps`` micro-batches.

        Forward and backward pass together cost three forward passes.
        """
        if micro_steps <= 0:
            return 0.0
        fixed = micro_steps * (self.step_seconds + size.layers * self.step_layer_seconds)
        return 2 * self.loading(size) + 6 * size.parameters * tokens / self.flops + fixed

    def forward(self, size: ModelSize, tokens: float, micro_steps: int) -> float:
        """Return the seconds of forward passes without training."""
        fixed = micro_steps * (self.step_seconds + size.layers * self.step_layer_seconds) / 3
        return 2 * size.parameters * tokens / self.prefill_flops + fixed


def speed_of(config: RunConfig, hardware: Hardware) -> Speed:
    """Return the speed of the device that the config would use: the first GPU, or the CPU."""
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
            where=f"estimated for {cores} CPU {'core' if cores == 1 else 'cores'} without a GPU",
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
        where=f"estimated for one {gpu.name}{'' if known else ', whose speed is guessed'}",
    )
