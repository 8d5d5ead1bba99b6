"""Everyday instructions, composed of phrases and subjects. Held-out ones have subjects that training never has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

from training.domain.seeds import derive_seed

HELD_OUT_SHARE: Final = 0.2  # of the subjects of each list


def _list(text: str) -> tuple[str, ...]:
    return tuple(" ".join(item.split()) for item in text.split(";"))


_THINGS: Final = _list("""
    a lighthouse; an old bridge; a busy kitchen; a mountain lake; a railway station at night; a small bakery; a
    desert at noon; a library on a quiet morning; a fishing boat; a walled garden; a city square in winter; a
    workshop full of tools; a beach after a storm; a greenhouse; a school playground; a night market; a forest path
    in autumn; a windmill; a crowded ferry; a snow-covered village; an attic; a river at dawn; a museum hall; a
    barn; a rooftop terrace; a cave; a vineyard; a harbour in fog; a mountain hut; an orchestra that tunes its
    instruments
""")
_SKILLS: Final = _list("""
    bake bread; repair a bicycle tyre; grow tomatoes; learn a new language; swim; write a letter of complaint; plan
    a picnic; paint a wall; make a paper boat; sleep better; prepare for a job interview; read a map; save water at
    home; train a puppy; cook rice; give a short speech; organize a bookshelf; start running; take good photographs;
    choose a birthday present; keep houseplants alive; pack a suitcase; make new friends; sharpen a knife; build a
    birdhouse; remember names; clean windows; fold a shirt; make compost; play chess
""")
_WONDERS: Final = _list("""
    leaves change colour in autumn; the sky is blue; bread rises; cats purr; we dream; the sea is salty; bees dance;
    ice floats; people yawn; birds migrate; the moon has phases; onions make us cry; mountains are cold at the top;
    rain smells fresh; we have fingerprints; stars twinkle; fish swim in groups; milk turns sour; flowers have
    scent; thunder follows lightning; metal rusts; days are longer in summer; we need sleep; rivers bend; spiders
    build webs; clocks go forward in spring; music moves us; deserts are cold at night; wood burns; rainbows appear
""")
_PAIRS: Final = _list("""
    tea and coffee; cities and villages; books and films; summer and winter; trains and aeroplanes; cats and dogs;
    running and walking; the sea and the mountains; pens and keyboards; breakfast and dinner; bicycles and cars;
    maps and satellite navigation; theatre and cinema; letters and phone calls; cooking and baking; gardens and
    parks; mornings and evenings; lakes and rivers; school and university; wool and cotton; gold and silver; poems
    and songs; owls and eagles; apples and oranges; radio and podcasts; chess and card games; snow and rain; candles
    and lamps; bread and rice; deserts and jungles
""")
_STORIES: Final = _list("""
    a lost umbrella; two neighbours and a fence; a clock that runs backwards; a fox in the city; an empty train; a
    message in a bottle; the last day of summer; a key without a door; a cook who cannot taste; a talking well; a
    violin in the snow; a child who collects shadows; a tailor and a king; an island with one tree; a robot in a
    garden; a letter that comes too late; a race between friends; a village without a name; an old photograph; a
    stolen cake; a storm at sea; a secret staircase; a stubborn donkey; a paper crown; the keeper of a bridge; a
    blue door; a broken compass; a dog that waits; a mountain that hums; a red kite
""")
#: Phrases with a subject each, by their subjects.
TEMPLATES: Final[Mapping[tuple[str, ...], Sequence[str]]] = {
    _THINGS: ("Describe {}.", "Write a postcard from {}.", "What might you hear, see and smell at {}?"),
    _SKILLS: (
        "Explain how to {}.",
        "Give advice to somebody who wants to {}.",
        "What do beginners get wrong when they {}?",
    ),
    _WONDERS: (
        "Why is it that {}?",
        "Explain to a child why {}.",
        "Tell me something surprising about the fact that {}.",
    ),
    _PAIRS: ("Compare {}.", "Which do people prefer, {}? Give reasons.", "What do {} have in common?"),
    _STORIES: (
        "Write a short story about {}.",
        "Suggest how a film about {} could begin.",
        "Write a summary of a novel about {}.",
    ),
}


def instructions(seed: int, *, held_out: bool) -> list[str]:
    """Return the training or the held-out instructions, in random order by the seed."""
    found = []
    for subjects, phrases in TEMPLATES.items():
        order = list(subjects)
        Random(derive_seed(seed, "subjects", subjects[0])).shuffle(order)
        last = round(HELD_OUT_SHARE * len(order))
        chosen = order[-last:] if held_out else order[:-last]
        found += [phrase.format(subject) for subject in chosen for phrase in phrases]
    Random(derive_seed(seed, "order", str(held_out))).shuffle(found)
    return found
