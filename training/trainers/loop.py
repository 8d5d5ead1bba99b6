"""Code around the Trainer shared by both trainings: arguments, schedule, guards, progress, stop and resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import PrinterCallback, TrainerCallback

from training.config import PreferenceConfig, SFTConfig
from training.domain.metrics import kl_estimate
from training.trainers import checkpoints, processes
from training.trainers.batches import CPU_TOKENS, StepBatches, StepLoader, WeightedRows, parts_of_a_step
from training.trainers.loading import computes_in_bfloat16, use_cpu
from training.trainers.results import OutOfMemory, Report, ShouldStop, Stopped, TrainingError, TrainResult
from training.trainers.schedule import decay_to_floor

_OPTIMIZERS = {"adamw": "adamw_torch", "rmsprop": "rmsprop"}
_CURVES = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "rewards/chosen": "chosen_reward",
    "rewards/rejected": "rejected_reward",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "rewards/augmented_margins": "augmented_margin",
    "rewards/augmented_accuracies": "augmented_accuracy",
    "tokens": "tokens",
    "tokens_per_second": "tokens_per_second",
    "memory_bytes": "memory_bytes",
    "seconds": "seconds",
    "epoch": "epoch",
}


def trainer_arguments(
    config: SFTConfig | PreferenceConfig, *, output_dir: Path, seed: int, dtype: str, at_once: int
) -> dict[str, Any]:
    """Return keyword arguments of ``TrainingArguments``, with at most ``at_once`` rows per forward pass.

    Raises :class:`TrainingError` if a step's rows cannot be divided evenly between the processes.
    """
    world = processes.state().num_processes
    try:
        parts = parts_of_a_step(config.batch_size, at_once, world)
    except ValueError as error:
        raise TrainingError(f"{error}. Set batch_size to a multiple of {world}, or use fewer processes.") from None
    return {
        "output_dir": str(output_dir / checkpoints.RESUME),
        "per_device_train_batch_size": config.batch_size // (parts * world),
        "gradient_accumulation_steps": parts,
        "num_train_epochs": config.epochs,
        "learning_rate": config.learning_rate,
        "optim": _OPTIMIZERS[config.optimizer],
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": use_cpu(),
        "bf16": computes_in_bfloat16(dtype),
        "gradient_checkpointing": config.gradient_checkpointing,
        "ddp_find_unused_parameters": False,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": config.save_steps,
        "save_total_limit": checkpoints.KEPT,
        "report_to": [],
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": not use_cpu(),
    }


def rows_at_once(config: SFTConfig | PreferenceConfig, lengths: Sequence[int]) -> int:
    """Return the rows per forward pass: at most ``micro_batch_size``, and on a CPU no more than is efficient."""
    most = min(config.micro_batch_size, config.batch_size)
    if not use_cpu():
        return most
    return max(1, min(most, CPU_TOKENS * len(lengths) // max(1, sum(lengths))))


class LoopMixin:
    """Trainer mixin: exact losses with gradient accumulation, a schedule with a floor, and a guard against NaN.

    The loss of a part is its sum over rows divided by the number (or weight) of the rows in the whole step, over all
    processes. :meth:`_get_num_items_in_batch` computes that divisor from the :meth:`items` of each batch.
    """

    loss_is_scaled_for_ga = True
    tokens_seen: int = 0
    factor_of: Callable[[int], Callable[[int], float]]
    rows: Sequence[dict[str, Any]]
    batches: StepBatches
    accelerator: Any
    args: Any
    state: Any
    data_collator: Any
    optimizer: Any
    lr_scheduler: Any

    def items(self, batch: dict[str, Any]) -> torch.Tensor:
        """Return this batch's share of the divisor of the step's loss."""
        raise NotImplementedError

    def get_train_dataloader(self) -> StepLoader:
        """Return a loader of this process's parts, in order, already divided between the processes."""
        return StepLoader(
            WeightedRows(self.rows),  # type: ignore[arg-type]
            batch_sampler=self.batches,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> torch.Tensor:
        """Return the divisor of the whole step, per process, because gradients are averaged over processes."""
        counts = [sum(float(self.items(batch)) for batch in batch_samples)]
        counts.append(sum(float(batch["tokens"]) for batch in batch_samples))
        total = self.accelerator.gather(torch.tensor([counts], dtype=torch.float64, device=device)).sum(dim=0)
        self.tokens_seen += int(total[1])
        return (total[0] / self.accelerator.num_processes).float()

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Create the schedule of :func:`training.trainers.schedule.decay_to_floor`."""
        if self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, self.factor_of(num_training_steps)
            )
        return self.lr_scheduler

    def guard(self, loss: torch.Tensor, what: str, rows: str) -> torch.Tensor:
        """Return the loss. Raises :class:`TrainingError` if it is NaN or infinite, before the weights change.

        ``rows`` names the rows of this batch in the message.
        """
        if not torch.isfinite(loss):
            raise TrainingError(
                f"The loss became {loss.item()} at step {self.state.global_step + 1} ({what}), in the batch of {rows}. "
                "Nothing was saved from this step. Lower the learning rate, or set max_grad_norm to 1; at step 1, "
                "check these rows and the model."
            )
        return loss


def prepare(
    trainer: Any,
    config: SFTConfig | PreferenceConfig,
    rows: Sequence[dict[str, Any]],
    lengths: Sequence[int],
    *,
    by_length: bool = True,
) -> None:
    """Set the rows, their ``lengths`` in tokens, and the config's schedule of a trainer with :class:`LoopMixin`."""
    world = processes.state()
    trainer.rows = rows
    trainer.batches = StepBatches(
        lengths,
        batch_size=config.batch_size,
        parts=trainer.args.gradient_accumulation_steps,
        seed=trainer.args.seed,
        by_length=by_length,
        processes=world.num_processes,
        process=world.process_index,
    )
    trainer.factor_of = lambda total_steps: decay_to_floor(
        shape=config.schedule,
        peak=config.learning_rate,
        floor=config.final_learning_rate,
        total_steps=total_steps,
        warmup_ratio=config.warmup_ratio,
        warmup_steps=config.warmup_steps,
    )


class Progress(TrainerCallback):
    """Callback that reports every step, checks for stop requests, and seals checkpoints.

    Time, tokens and memory are added to the trainer's history, which is part of each checkpoint: a resumed training
    reports the earlier steps again and continues their counts.
    """

    def __init__(
        self,
        trainer: Any,
        report: Report,
        should_stop: ShouldStop,
        key: str,
        *,
        beta: float | None = None,
        pause_at: int | None = None,
        keep: Callable[[], None] = lambda: None,
    ) -> None:
        """``keep`` saves the model of step ``pause_at``, before the checkpoint of that step is sealed."""
        self.trainer = trainer
        self.report = report
        self.should_stop = should_stop
        self.key = key
        self.beta = beta
        self.pause_at = pause_at
        self.keep = keep
        self.stopped = False
        self.paused = False
        self.losses: list[float] = []
        self.last: dict[str, Any] = {}
        self.seconds = 0.0
        self._last = time.monotonic(), 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock, at the time of the resumed checkpoint if there is one."""
        before = [entry for entry in state.log_history if "loss" in entry]
        if before:
            self.seconds = before[-1].get("seconds", 0.0)
            self.trainer.tokens_seen = before[-1].get("tokens", 0)
        self._last = time.monotonic(), self.trainer.tokens_seen
        for entry in before:
            self._report(entry, state)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End the training with a checkpoint if a stop was requested."""
        if state.global_step >= state.max_steps:
            return
        self.paused = state.global_step == self.pause_at
        self.stopped = not self.paused and processes.agreed(self.should_stop())
        if self.paused or self.stopped:
            control.should_save = True
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Report a step."""
        if not logs or "loss" not in logs:
            return
        entry = state.log_history[-1]
        gradient = logs.get("grad_norm")
        if gradient is not None and not math.isfinite(float(gradient)):
            raise TrainingError(
                f"The gradient became {float(gradient)} at step {state.global_step}. Lower the learning rate or the "
                "dropout, and resume from the last checkpoint."
            )
        now, tokens = time.monotonic(), self.trainer.tokens_seen
        seconds = max(now - self._last[0], 1e-9)
        self.seconds += seconds
        entry |= {
            "tokens": tokens,
            "tokens_per_second": (tokens - self._last[1]) / seconds,
            "memory_bytes": memory_bytes(),
            "seconds": self.seconds,
        }
        self._last = now, tokens
        self._report(entry, state)

    def _report(self, entry: dict[str, Any], state: Any) -> None:
        self.losses.append(float(entry["loss"]))
        self.last = self._point(entry, state)
        self.report(self.last)

    def _point(self, entry: dict[str, Any], state: Any) -> dict[str, Any]:
        """Convert an entry of the trainer's history into a curve point."""
        point: dict[str, Any] = {name: float(entry[key]) for key, name in _CURVES.items() if key in entry}
        if self.beta and "chosen_reward" in point and "rejected_reward" in point:
            point["kl"] = kl_estimate(point["chosen_reward"], point["rejected_reward"], beta=self.beta)
        return point | {"step": entry["step"], "total_steps": state.max_steps}

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Seal the checkpoint, once all processes have written it."""
        if self.paused:
            self.keep()
        world = processes.state()
        world.wait_for_everyone()
        if world.is_main_process:
            checkpoints.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}", self.key)


def run(
    trainer: Any,
    *,
    output_dir: Path,
    key: str,
    report: Report,
    should_stop: ShouldStop,
    save: Callable[[Path, dict[str, Any] | None], None],
    notes: tuple[str, ...],
    pause_at: int | None = None,
) -> TrainResult:
    """Train from the newest complete checkpoint to the end and publish the model, or to ``pause_at`` and keep it.

    ``save`` writes the model into a folder; if the weights are sharded over processes, it receives them gathered.
    Raises :class:`Stopped` after a requested stop, and :class:`TrainingError` if the training cannot continue.
    """
    trainer.remove_callback(PrinterCallback)
    world = processes.state()

    def written(folder: Path, *, finished: bool, into: Callable[[Path, dict[str, Any], Any], Path]) -> TrainResult:
        """Save the current model and its summary atomically."""
        tail = progress.losses[-max(1, len(progress.losses) // 10) :]
        result = TrainResult(
            model_dir=folder,
            steps=trainer.state.global_step,
            loss=sum(tail) / len(tail) if tail else None,
            seconds=progress.seconds,
            tokens=trainer.tokens_seen,
            resumed_from=resume[1] if resume else 0,
            notes=notes,
            finished=finished,
            last=progress.last,
        )
        summary = {"key": key, **asdict(result), "model_dir": str(folder)}
        weights = trainer.accelerator.get_state_dict(trainer.model) if world.num_processes > 1 else None
        if world.is_main_process:
            into(folder, summary, lambda place: save(place, weights))
        world.wait_for_everyone()
        return result

    def keep() -> None:
        step = checkpoints.step_folder(output_dir, trainer.state.global_step)
        written(step, finished=False, into=checkpoints.save_whole)

    beta = getattr(trainer, "beta", None)
    progress = Progress(trainer, report, should_stop, key, beta=beta, pause_at=pause_at, keep=keep)
    trainer.add_callback(progress)
    resume = processes.agreed(checkpoints.latest(output_dir, key) if world.is_main_process else None)
    try:
        trainer.train(resume_from_checkpoint=str(resume[0]) if resume else None)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise OutOfMemory(f"The device ran out of memory at step {trainer.state.global_step + 1}.") from error
    if progress.stopped:
        raise Stopped(trainer.state.global_step)
    if progress.paused:
        paused = already_finished(output_dir, key, pause_at)
        assert paused is not None
        return paused
    return written(
        output_dir / checkpoints.MODEL,
        finished=True,
        into=lambda _, summary, write: checkpoints.publish(output_dir, summary, write),
    )


def memory_bytes() -> int:
    """Return memory use in bytes: the GPU's peak so far, or on a CPU the process's current memory."""
    if use_cpu():
        return int(psutil.Process().memory_info().rss)
    return int(torch.cuda.max_memory_allocated())


def already_finished(output_dir: Path, key: str, pause_at: int | None = None) -> TrainResult | None:
    """Return the result of this training if it is already finished or paused at ``pause_at``, else ``None``."""
    summary = checkpoints.finished(output_dir, key, pause_at)
    return result_of(summary, output_dir) if summary else None


def result_of(summary: dict[str, Any], output_dir: Path) -> TrainResult:
    """Create the result of a saved summary, with its model in ``output_dir``."""
    is_done = summary.get("finished", True)
    folder = output_dir / checkpoints.MODEL if is_done else checkpoints.step_folder(output_dir, summary["steps"])
    return TrainResult.of(summary, folder)


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError) or "out of memory" in text or "can't allocate" in text
    )
