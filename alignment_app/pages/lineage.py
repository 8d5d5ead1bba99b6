"""Layout of the lineage figure (model → data → model) for SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alignment_app.models import Checkpoint, DatasetSnapshot
from alignment_app.pages.figures import figures, values_of
from training.evaluation.registry import metrics

MODEL_WIDTH, DATA_WIDTH, HEIGHT = 200, 118, 58
GAP, LANE, PAD = 30, 96, 6


@dataclass(frozen=True, slots=True)
class Node:
    """A box. ``x``, ``y``, ``width`` and ``height`` are in SVG units (pixels at full size)."""

    x: int
    y: int
    width: int
    checkpoint: Checkpoint
    snapshot: DatasetSnapshot | None = None  # set for the training data of ``checkpoint``
    here: bool = False
    reached: str = ""  # its main metrics
    reached_title: str = ""  # the same with intervals

    height: int = HEIGHT

    @property
    def text_x(self) -> int:
        return self.x + 14

    @property
    def first_line(self) -> int:
        return self.y + 25

    @property
    def second_line(self) -> int:
        return self.y + 43


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow as an SVG path. ``reference`` arrows point from the loss's reference model and are dashed."""

    path: str
    reference: bool = False


@dataclass(frozen=True, slots=True)
class Lineage:
    """Boxes, arrows and the size of the figure."""

    nodes: list[Node]
    edges: list[Edge]
    width: int
    height: int


def lineage(checkpoints: Sequence[Checkpoint], *, current: int | None = None) -> Lineage:
    """Lay out the checkpoints of one run.

    A checkpoint is to the right of its parent. Further children of the same parent get their own lane.

    :param checkpoints: in order of number, with ``snapshot`` and ``evaluation`` loaded.
    :param current: id of the checkpoint to highlight.
    """
    nodes: list[Node] = []
    edges: list[Edge] = []
    placed: dict[int, Node] = {}
    lanes_taken = 0
    children: dict[int, int] = {}
    shown = metrics("lineage")
    for checkpoint in checkpoints:
        parent = placed.get(checkpoint.parent_id or 0)
        if parent is None:
            x, y = PAD, PAD + lanes_taken * LANE
            lanes_taken += 1
        else:
            x, y = parent.x + parent.width + GAP, parent.y
            if children.get(parent.checkpoint.pk):
                y = PAD + lanes_taken * LANE
                lanes_taken += 1
            children[parent.checkpoint.pk] = children.get(parent.checkpoint.pk, 0) + 1
        before = parent
        if checkpoint.snapshot is not None:
            data = Node(x, y, DATA_WIDTH, checkpoint, checkpoint.snapshot)
            nodes.append(data)
            if before is not None:
                edges.append(_arrow(before, data))
            x, before = x + DATA_WIDTH + GAP, data
        main = figures(shown, values_of(checkpoint))
        node = Node(
            x,
            y,
            MODEL_WIDTH,
            checkpoint,
            here=checkpoint.pk == current,
            reached=" · ".join(one.line for one in main),
            reached_title=" · ".join(one.full_line for one in main),
        )
        nodes.append(node)
        placed[checkpoint.pk] = node
        if before is not None:
            edges.append(_arrow(before, node))
        reference = placed.get(checkpoint.reference_id or 0)
        if reference is not None and checkpoint.reference_id != checkpoint.parent_id:
            edges.append(_loop(reference, node))
    depth = 34 if any(edge.reference for edge in edges) else 0
    return Lineage(
        nodes,
        edges,
        max((node.x + node.width for node in nodes), default=0) + PAD,
        max((node.y + node.height for node in nodes), default=0) + PAD + depth,
    )


def _arrow(start: Node, end: Node) -> Edge:
    x1, y1 = start.x + start.width, start.y + start.height // 2
    x2, y2 = end.x - 5, end.y + end.height // 2
    if y1 == y2:
        return Edge(f"M{x1} {y1}H{x2}")
    middle = (x1 + x2) // 2
    return Edge(f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}")


def _loop(start: Node, end: Node) -> Edge:
    """Return an arrow from the bottom of one box to the bottom of another."""
    x1, x2, y = start.x + start.width // 2, end.x + end.width // 2, max(start.y, end.y) + HEIGHT
    return Edge(f"M{x1} {start.y + HEIGHT}C{x1} {y + 36} {x2} {y + 36} {x2} {end.y + HEIGHT + 5}", reference=True)
