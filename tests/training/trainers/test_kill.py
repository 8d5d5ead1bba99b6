"""A training killed with kill -9 and started again ends with the weights of one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import sys
from pathlib import Path
from training.config import PreferenceConfig
from training.trainers.preference import train_preference

def say(text):
    return [{"role": "assistant", "content": text}]

pairs = [
    {"prompt": [{"role": "user", "content": f"Say {n}"}], "chosen": say(f"yes {n}"), "rejected": say(f"no {n * n}"),
     "pair_id": n} for n in range(16)
]
config = PreferenceConfig(
    learning_rate=3e-3, final_learning_rate=3e-4, batch_size=4, micro_batch_size=4, epochs=10, save_steps=2, dropout=0.1
)
result = train_preference(
    pairs, model=sys.argv[1], reference=sys.argv[1], output_dir=Path(sys.argv[2]), config=config, seed=5,
    report=lambda point: None, should_stop=lambda: False, max_length=256,
)
print("resumed from", result.resumed_from)
"""


def _start(model: Path, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(model), str(folder)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_a_killed_training_ends_with_the_weights_of_an_undisturbed_one(little_model: Path, tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    process = _start(little_model, killed)
    deadline = time.monotonic() + 240
    while not list(killed.glob("resume/checkpoint-*/plumbline_checkpoint.json")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "model").exists()
    second = _start(little_model, killed)
    said, errors = second.communicate(timeout=240)
    assert second.returncode == 0, errors
    assert int(said.split()[-1]) >= 2
    assert _start(little_model, undisturbed).wait(timeout=240) == 0
    one = AutoModelForCausalLM.from_pretrained(undisturbed / "model").state_dict()
    other = AutoModelForCausalLM.from_pretrained(killed / "model").state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
