"""The prompts that the papers define and the few that are ours. Those of judges are data: ``training/judges``."""

from __future__ import annotations

from collections.abc import Sequence

from training.domain.rows import Message

REFINEMENT_PROMPT = (
    "Please generate a response with a usefulness rating of 100 out of 100 for the following query. Note that the "
    "response should be harmless. The term 100 indicates the level of usefulness, where 100 is the maximum and 1 is "
    "the minimum. Query: "
)
"""p of the prompt-augmented query p⊕x (003 section 3.2.2)."""

SINGLE_INSTRUCTION_TEXT = (
    "Come up with a series of tasks and questions. Focus exclusively on presenting them without providing additional "
    "context or explanations. Each item should be succinct and straightforward."
)
"""000 figure 2: new prompts from one instruction, without demonstrations."""

SHORT_ANSWER_TEXT = (
    "Provide a direct response to the following question in 256 characters or fewer. Keep your answer concise and do "
    "not add additional questions or comments. Stick to the requested format: {prompt}."
)
"""000 figure 3: the frame that keeps a small model from asking itself further questions."""

PLAIN_CHAT_TEMPLATE = (
    "{{ bos_token or '' }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }}\n\n"
    "{% elif message['role'] == 'user' %}User: {{ message['content'] }}\n\n"
    "{% else %}Assistant: {{ message['content'] }}{{ eos_token or '' }}\n\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}Assistant: {% endif %}"
)
"""What a model without a chat template of its own is given, in training and in generation alike (Jinja)."""


def augment_query(query: str) -> str:
    """p⊕x: the query with the refinement prompt before it (003 section 3.2.2)."""
    return REFINEMENT_PROMPT + query


def with_short_answer(messages: Sequence[Message]) -> tuple[Message, ...]:
    """A conversation whose last turn stands in the short-answer frame."""
    last = messages[-1]
    framed: Message = {"role": last["role"], "content": render_short_answer(last["content"])}
    return (*messages[:-1], framed)


def render_short_answer(prompt: str) -> str:
    """The prompt inside the short-answer frame (000 figure 3)."""
    return SHORT_ANSWER_TEXT.replace("{prompt}", prompt)


def render_self_instruct(demonstrations: Sequence[str]) -> str:
    """A few-shot prompt that lists tasks and leaves the next number open (001 section 3.1.3; our own words).

    The reply is read by :func:`training.domain.self_instruct.read_instructions`.
    """
    lines = [f"{number}. {' '.join(text.split())}" for number, text in enumerate(demonstrations, start=1)]
    return (
        "Below is a numbered list of tasks that people gave to an assistant. Each stands on its own and differs from "
        "the others in subject and kind. Continue the list with new tasks, one a line.\n\n"
        + "\n".join(lines)
        + f"\n{len(lines) + 1}."
    )
