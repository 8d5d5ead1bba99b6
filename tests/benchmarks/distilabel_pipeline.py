"""distilabel's side of ``generation --distilabel``, for a Python with distilabel installed (Plumbline is not needed).

    PYTHON distilabel_pipeline.py BASE_URL MODEL    (a JSON object on standard input)

Reads ``{"prompts", "n", "sampling", "batch"}``, runs one TextGeneration pipeline, and prints a line of JSON:
seconds from ``Pipeline.run`` to its Distiset, and the texts.
"""

from __future__ import annotations

import json
import os
import sys
import time

os.environ.setdefault("DISTILABEL_LOG_LEVEL", "WARNING")


def main() -> int:
    import logging

    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)  # it logs a line per request
    asked = json.load(sys.stdin)
    batch = asked["batch"]
    with Pipeline(name="responses") as pipeline:
        source = LoadDataFromDicts(data=[{"instruction": text} for text in asked["prompts"]], batch_size=batch)
        model = OpenAILLM(
            base_url=sys.argv[1], model=sys.argv[2], api_key="none", generation_kwargs=asked["sampling"], timeout=600
        )
        writer = TextGeneration(llm=model, num_generations=asked["n"], input_batch_size=batch, group_generations=False)
        source >> writer
    began = time.monotonic()
    rows = pipeline.run(use_cache=False)["default"]["train"]
    seconds = time.monotonic() - began
    print(json.dumps({"seconds": seconds, "texts": [row["generation"] for row in rows]}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
