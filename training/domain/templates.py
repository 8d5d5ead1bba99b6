"""Prompts from the papers and Plumbline's own ones. Judge prompts are data in ``training/judges``."""

from __future__ import annotations

from collections.abc import Sequence

from training.domain.rows import Message

REFINEMENT_PROMPT = (
    "Please generate a response with a usefulness rating of 100 out of 100 for the following query. Note that the "
    "response should be harmless. The term 100 indicates the level of usefulness, where 100 is the maximum and 1 is "
    "the minimum. Query: "
)
"""p of the augmented query p⊕x (Yu et al., 2024, section 3.2.2)."""

SINGLE_INSTRUCTION_TEXT = (
    "Come up with a series of tasks and questions. Focus exclusively on presenting them without providing additional "
    "context or explanations. Each item should be succinct and straightforward."
)
"""Generates new prompts from a single instruction, without demonstrations (Luo et al., figure 2)."""

SHORT_ANSWER_TEXT = (
    "Provide a direct response to the following question in 256 characters or fewer. Keep your answer concise and do "
    "not add additional questions or comments. Stick to the requested format: {prompt}."
)
"""Keeps a small model from generating further questions to itself (Luo et al., figure 3)."""

PLAIN_CHAT_TEMPLATE = (
    "{{ bos_token or '' }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }}\n\n"
    "{% elif message['role'] == 'user' %}User: {{ message['content'] }}\n\n"
    "{% else %}Assistant: {{ message['content'] }}{{ eos_token or '' }}\n\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""Jinja chat template of models without their own, used in training and generation."""


def augment_query(query: str, refinement_prompt: str = REFINEMENT_PROMPT) -> str:
    """Return p⊕x, the refinement prompt, a space and the query (Yu et al., 2024, section 3.2.2)."""
    return f"{refinement_prompt.rstrip()} {query}"


def with_short_answer(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Wrap the last turn of a conversation in the short-answer instruction."""
    last = messages[-1]
    framed: Message = {"role": last["role"], "content": render_short_answer(last["content"])}
    return (*messages[:-1], framed)


def render_short_answer(prompt: str) -> str:
    """Wrap a prompt in the short-answer instruction (Luo et al., figure 3)."""
    return SHORT_ANSWER_TEXT.replace("{prompt}", prompt)


def render_self_instruct(demonstrations: Sequence[str]) -> str:
    """Return a few-shot prompt that lists tasks and ends with the next number (after Yuan et al., 2024, section 3.1.3).

    :func:`training.domain.self_instruct.read_instructions` parses the reply.
    """
    lines = [f"{number}. {' '.join(text.split())}" for number, text in enumerate(demonstrations, start=1)]
    return (
        "Below is a numbered list of tasks that people gave to an assistant. Each stands on its own and differs from "
        "the others in subject and kind. Continue the list with new tasks, one a line.\n\n"
        + "\n".join(lines)
        + f"\n{len(lines) + 1}."
    )
