"""Prompts, responses, judgements and the preference pairs made of them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class Dataset(models.Model):
    """A named set of rows: imported, made by the miniature, or collected by a run (self-instruct)."""

    class Kind(models.TextChoices):
        PROMPTS = "prompts", "Prompts"
        DEMONSTRATIONS = "demonstrations", "Prompt and response"  # IFT, EFT: for supervised fine-tuning
        SCORED = "scored", "Prompt, responses and scores"
        PREFERENCES = "preferences", "Preference pairs"

    name = models.CharField(max_length=120, unique=True)
    kind = models.CharField(max_length=16, choices=Kind)
    description = models.TextField(blank=True)
    licence = models.CharField(max_length=80, blank=True)
    source_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the newest imported file.")
    run = models.ForeignKey(
        "alignment_app.Run", null=True, blank=True, on_delete=models.CASCADE, related_name="datasets"
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Prompt(models.Model):
    """A conversation that ends with a user turn. Its content is unique in its data set."""

    class Source(models.TextChoices):
        SEED = "seed", "Seed"
        GENERATED = "generated", "Generated"
        IMPORTED = "imported", "Imported"
        EVALUATION = "evaluation", "Evaluation"

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="prompts")
    source = models.CharField(max_length=16, choices=Source)
    messages = models.JSONField(help_text='[{"role": "user", "content": "…"}]; empty for raw training text.')
    text = models.TextField(blank=True, help_text="The last user turn, for lists and search.")
    content_hash = models.CharField(max_length=64, help_text="SHA-256 of the messages (and of raw text).")
    position = models.PositiveIntegerField(default=0, help_text="Order within the data set.")
    meta = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("dataset", "position", "id")
        constraints = [models.UniqueConstraint(fields=("dataset", "content_hash"), name="prompt_content_once_in_a_set")]
        indexes = [models.Index(fields=("dataset", "position"), name="prompt_order")]

    def __str__(self) -> str:
        return self.text[:80]


class IterationPrompt(models.Model):
    """A prompt that an iteration uses, and what became of it."""

    class Role(models.TextChoices):
        TRAIN = "train", "Training"
        EVALUATION = "evaluation", "Evaluation"
        VALIDATION = "validation", "Validation"  # for early stopping

    iteration = models.ForeignKey("alignment_app.Iteration", on_delete=models.CASCADE, related_name="iteration_prompts")
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="uses")
    role = models.CharField(max_length=12, choices=Role, default=Role.TRAIN)
    position = models.PositiveIntegerField()
    outcome = models.CharField(max_length=200, blank=True, help_text="Why it made its pair, or none, in words.")
    outcome_code = models.CharField(
        max_length=24, blank=True, help_text="The same as a code: training.domain.rows.PromptOutcome."
    )

    class Meta:
        ordering = ("iteration", "role", "position")
        constraints = [
            models.UniqueConstraint(fields=("iteration", "role", "prompt"), name="prompt_once_in_an_iteration")
        ]


class RejectedPrompt(models.Model):
    """A prompt that self-instruct wrote and a filter removed, and why."""

    iteration = models.ForeignKey("alignment_app.Iteration", on_delete=models.CASCADE, related_name="rejected_prompts")
    round = models.PositiveIntegerField()
    place = models.PositiveIntegerField(help_text="Number among the candidates of its round, from 0.")
    text = models.TextField()
    reason = models.CharField(max_length=80, db_index=True)
    detail = models.TextField(blank=True, help_text="The word, or the known prompt that it is too near to.")
    rouge_l = models.FloatField(null=True, blank=True)

    class Meta:
        ordering = ("iteration", "round", "place")
        constraints = [
            models.UniqueConstraint(fields=("iteration", "round", "place"), name="rejected_prompt_once_in_a_round")
        ]


class Response(models.Model):
    """One response to one prompt, by a checkpoint, a teacher or a person."""

    class Source(models.TextChoices):
        STUDENT = "student", "Student"
        TEACHER = "teacher", "Teacher"
        HUMAN = "human", "Person"
        IMPORTED = "imported", "Imported"

    class Purpose(models.TextChoices):
        TARGET = "target", "Training target"  # the response of an imported prompt-response row
        CANDIDATE = "candidate", "Candidate"
        DEMONSTRATION = "demonstration", "Demonstration"
        EVALUATION = "evaluation", "Evaluation answer"
        VALIDATION = "validation", "Validation answer"  # of a training's step, which is its index
        PROBE = "probe", "Judge probe"  # sampled on held-out prompts to measure the self-judge

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="responses")
    iteration = models.ForeignKey(
        "alignment_app.Iteration", null=True, blank=True, on_delete=models.CASCADE, related_name="responses"
    )
    checkpoint = models.ForeignKey(
        "alignment_app.Checkpoint", null=True, blank=True, on_delete=models.PROTECT, related_name="responses"
    )
    source = models.CharField(max_length=12, choices=Source)
    purpose = models.CharField(max_length=16, choices=Purpose)
    author = models.CharField(max_length=200, blank=True, help_text="Model or person, where there is no checkpoint.")
    index = models.PositiveIntegerField(help_text="Number among the responses of its prompt, from 0.")
    text = models.TextField(blank=True)
    weights = models.JSONField(
        default=list, blank=True, help_text="[[start, end, weight], …]: spans whose training loss is multiplied."
    )
    sampling = models.JSONField(default=dict, blank=True, help_text="Temperature, top_p, max_new_tokens.")
    seed = models.BigIntegerField(null=True, blank=True)
    token_count = models.PositiveIntegerField(null=True, blank=True)
    logprob = models.FloatField(null=True, blank=True, help_text="Sum over tokens, nats, under the sampling model.")
    finish_reason = models.CharField(max_length=12, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("prompt", "index")
        constraints = [
            models.UniqueConstraint(
                fields=("iteration", "prompt", "purpose", "source", "index"),
                condition=models.Q(iteration__isnull=False),
                name="response_once_in_an_iteration",
            ),
            models.UniqueConstraint(
                fields=("prompt", "purpose", "source", "index"),
                condition=models.Q(iteration__isnull=True),
                name="imported_response_once",
            ),
        ]

    def __str__(self) -> str:
        return self.text[:80]


class Judgement(models.Model):
    """One judge's verdict on one response: k raw replies, each with its score or unparsed, and their mean."""

    class Source(models.TextChoices):
        SELF = "self", "Self"
        TEACHER = "teacher", "Teacher"
        HUMAN = "human", "Person"
        REFERENCE = "reference", "Outside reference"  # never used for training; for comparison only

    response = models.ForeignKey(Response, on_delete=models.CASCADE, related_name="judgements")
    iteration = models.ForeignKey(
        "alignment_app.Iteration", null=True, blank=True, on_delete=models.CASCADE, related_name="judgements"
    )
    source = models.CharField(max_length=12, choices=Source)
    judge = models.ForeignKey("alignment_app.Judge", on_delete=models.RESTRICT, related_name="judgements")
    samples = models.JSONField(
        default=list, help_text='[{"raw": "…", "score": 4.0 or null (unparsed), "given": 80.0, "seed": 1}, …]'
    )
    parsed_count = models.PositiveSmallIntegerField(default=0)
    sample_count = models.PositiveSmallIntegerField(default=0)
    score = models.FloatField(null=True, blank=True, help_text="Mean of the parsed samples; null: unparsed.")
    spread = models.FloatField(null=True, blank=True, help_text="Population standard deviation of the parsed samples.")
    rationale = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("response", "source", "id")
        constraints = [
            models.UniqueConstraint(fields=("response", "source", "judge"), name="judgement_once_a_judge_and_response")
        ]

    @property
    def is_unparsed(self) -> bool:
        return self.score is None


class PreferencePair(models.Model):
    """Chosen over rejected, where it came from, and what people did to it."""

    class Origin(models.TextChoices):
        SELF = "self", "Self-judged"
        TEACHER = "teacher", "Teacher-judged"
        DEMONSTRATION = "demonstration", "Teacher demonstration"
        HUMAN = "human", "People"
        IMPORTED = "imported", "Imported"
        RANDOM = "random", "Random control"

    class State(models.TextChoices):
        PROPOSED = "proposed", "Proposed"
        CONFIRMED = "confirmed", "Confirmed"
        OVERRIDDEN = "overridden", "Overridden"
        EXCLUDED = "excluded", "Excluded"

    class Part(models.TextChoices):
        """What the frozen iteration did with the pair."""

        TRAIN = "train", "Trained on"
        HELD_OUT = "held_out", "Held out"
        LEFT_OUT = "left_out", "Left out"

    #: States that go into a training set.
    TRAINABLE = (State.PROPOSED, State.CONFIRMED, State.OVERRIDDEN)

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="pairs")
    iteration = models.ForeignKey(
        "alignment_app.Iteration", null=True, blank=True, on_delete=models.CASCADE, related_name="pairs"
    )
    chosen = models.ForeignKey(Response, on_delete=models.CASCADE, related_name="chosen_in")
    rejected = models.ForeignKey(Response, on_delete=models.CASCADE, related_name="rejected_in")
    chosen_score = models.FloatField(null=True, blank=True)
    rejected_score = models.FloatField(null=True, blank=True)
    margin = models.FloatField(null=True, blank=True, help_text="Chosen score minus rejected score, 0-5 points.")
    origin = models.CharField(max_length=16, choices=Origin)
    state = models.CharField(max_length=12, choices=State, default=State.PROPOSED)
    part = models.CharField(
        max_length=12, choices=Part, default=Part.TRAIN, help_text="Set when the training set is frozen."
    )
    reason = models.TextField(blank=True)
    stands_for = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="stand_ins",
        help_text="The pair as it was made, in whose place people put this one after it had been trained on.",
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("iteration", "prompt", "id")
        constraints = [
            models.UniqueConstraint(
                fields=("iteration", "chosen", "rejected"),
                condition=models.Q(iteration__isnull=False),
                name="pair_once_in_an_iteration",
            ),
            models.UniqueConstraint(
                fields=("chosen", "rejected"),
                condition=models.Q(iteration__isnull=True),
                name="imported_pair_once",
            ),
            models.CheckConstraint(condition=~models.Q(chosen=models.F("rejected")), name="pair_of_two_responses"),
        ]
        # The desk says before every answer how many pairs the next training set will hold.
        indexes = [models.Index(fields=("iteration", "state"), name="pairs_by_state")]
