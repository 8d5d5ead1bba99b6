"""Head-to-head: each checkpoint's answers against the previous checkpoint's, judged in both orders."""

from __future__ import annotations

from typing import Any

from training.config import RunConfig
from training.domain.metric import Metric
from training.domain.metrics import head_to_head
from training.evaluation.measure import EvaluationContext, Measure, Requests, Rows, Sizes

ORDERS = 2  # judged once per order of the two answers


class HeadToHead(Measure):
    """The evaluator compares the answers of two checkpoints in both orders (Yuan et al., 2024, section 3.1.2)."""

    key = "head_to_head"
    title = "Head-to-head against the previous checkpoint"
    needs_evaluator = needs_previous = True
    metrics = (
        Metric("n", "Prompts compared with the previous checkpoint", rows="comparisons"),
        Metric("win", "Wins", rows="comparisons", filter="outcome=win"),
        Metric("tie", "Ties", rows="comparisons", filter="outcome=tie"),
        Metric("lose", "Losses", rows="comparisons", filter="outcome=lose"),
        Metric(
            "win_rate", "Win rate against the previous checkpoint, ties as half", "", "percent", "", "comparisons",
            short="win rate", about="A win counts only if the verdicts in both orders agree.",
            low="win_low", high="win_high", places=("models", "lineage", "study"),
        ),
        Metric("sign_test_p", "Sign test, p", "", "p", "", "comparisons",
               about="Exact and two-sided, over prompts without a tie."),
    )  # fmt: skip

    def rows(self, context: EvaluationContext) -> Rows:
        return Rows(len(context.compared_prompts()), len(context.prompts))

    def run(self, context: EvaluationContext) -> None:
        newer, older, done = context.current_answers(), context.previous_answers(), context.compared_prompts()
        context.compare(
            [
                (prompt, newer[prompt.id], older[prompt.id])
                for prompt in context.prompts
                if prompt.id in newer and prompt.id in older and prompt.id not in done
            ]
        )

    def figures(self, context: EvaluationContext) -> dict[str, Any]:
        rows = context.compared()
        # A reply without a verdict is counted, but excluded from the win rate.
        outcomes = [row.outcome for row in rows if "unparsed" not in (row.verdict_first, row.verdict_second)]
        counts = {"n": len(outcomes), "verdicts_unparsed": len(rows) - len(outcomes)}
        if not outcomes:
            return {"win": None, "tie": None, "lose": None, **counts}
        summary = head_to_head(outcomes)
        return {
            "win": summary.wins,
            "tie": summary.ties,
            "lose": summary.losses,
            **counts,
            "win_rate": summary.win_rate,
            "win_low": summary.low,
            "win_high": summary.high,
            "sign_test_p": summary.p_value,
        }

    def cost(self, config: RunConfig, sizes: Sizes) -> list[Requests]:
        section = config.evaluation
        prompt = sizes.judge_prompt + 2 * sizes.response(section.max_new_tokens)
        return [Requests("evaluator", section.count * ORDERS, prompt, sizes.judgement)]
