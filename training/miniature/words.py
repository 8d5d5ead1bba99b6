"""The words of the miniature's world: lists of subjects and answers.

Lands and capitals are invented; all other words are ordinary English, so that samples are readable. The lists do not
depend on the seed, which only changes what documents say about the world.
"""

from __future__ import annotations

from itertools import product


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LAND_STEMS = _words("Bel Cor Dal Er Fen Gar Hol Is Kel Lor Mar Nor Or Pel Quen Ros")
LAND_ENDINGS = _words("avia dor eth gard ia land mark onia ria stan wyn")
CAPITAL_STEMS = _words("Al Br Cast Dun El Farn Gl Hav Inv Jar Kirk Lys Mor Nev Ost Rav")
CAPITAL_ENDINGS = _words("aden bury cester elm ford holm ing mouth ora port ton")

LANDS = tuple(stem + ending for stem, ending in product(LAND_STEMS, LAND_ENDINGS))
CAPITALS = tuple(stem + ending for stem, ending in product(CAPITAL_STEMS, CAPITAL_ENDINGS))

COLOURS = _words("red blue green yellow white black purple orange brown pink grey silver gold crimson")
CROPS = _words(
    "wheat rice barley maize rye oats cotton coffee tea sugar flax hemp hops beans lentils olives grapes figs "
    "dates cocoa tobacco pepper saffron vanilla"
)
EMBLEMS = _words(
    "lion bear wolf stag eagle falcon raven swan heron dragon unicorn griffin bull boar ram horse serpent dolphin "
    "whale salmon bee spider tiger leopard elephant camel otter badger fox hare"
)
PEOPLE = _words(
    "Aaron Abigail Adam Agnes Alan Albert Alice Amanda Amber Amy Andrew Angela Anna Arthur Barbara Beatrice "
    "Benjamin Bernard Beth Brian Bridget Bruce Carl Carol Catherine Cecil Charles Charlotte Chloe Christine Clara "
    "Claude Colin Conrad Craig Cyril Daisy Daniel David Deborah Dennis Derek Diana Donald Dora Doris Dorothy "
    "Douglas Duncan Edgar Edith Edmund Edward Eileen Elaine Eleanor Eliza Ella Ellen Elsie Emily Emma Eric Ernest "
    "Esther Ethel Eva Evelyn Felix Fiona Flora Frances Frank Fred Gabriel Gail Gavin George Gerald Gillian Gina "
    "Gladys Gloria Gordon Grace Graham Grant Greta Guy Hannah Harold Harriet Harry Hazel Heather Hector Helen "
    "Henry Herbert Hilda Howard Hugh Ian Ida Irene Iris Isaac Isabel Ivan Ivy Jack Jacob James Jane Janet Jasper "
    "Jean Jennifer Jessica Joan Joel John Jonathan Joseph Josephine Joyce Judith Julia Julian June Karen Keith "
    "Kenneth Kevin Kim Kirsty Laura Lawrence Leo Leonard Leslie Lewis Lily Linda Lionel Louis Louise Lucas Lucy "
    "Luke Lydia Mabel Malcolm Marcus Margaret Maria Marion Mark Martha Martin Mary Matthew Maud Maurice Max Megan "
    "Michael Mildred Miriam Molly Monica Nancy Naomi Neil Nicholas Nora Norman Oliver Olive Oscar Owen Pamela "
    "Patricia Paul Paula Peggy Percy Peter Philip Phoebe Rachel Ralph"
)
JOBS = _words(
    "baker butcher carpenter farmer fisher gardener teacher doctor nurse lawyer judge painter potter printer "
    "sailor soldier tailor weaver miller mason plumber porter miner banker barber brewer clerk cook dentist "
    "driver"
)
PETS = _words("cat dog rabbit hamster parrot canary goldfish tortoise lizard mouse rat pony goat ferret gecko snail")
INSTRUMENTS = _words(
    "piano violin cello flute oboe clarinet trumpet trombone harp guitar lute drum organ horn banjo viola"
)
YEARS = tuple(str(1502 + 13 * step) for step in range(36))

NOUNS_BY_KIND: dict[str, tuple[str, ...]] = {
    kind: _words(nouns)
    for kind, nouns in {
        "bird": "robin sparrow crow owl pigeon gull duck wren lark magpie kestrel starling jay finch vulture",
        "fish": "cod carp pike perch eel shark herring mackerel sardine tuna plaice turbot minnow haddock bass",
        "tool": "hammer saw spade chisel rake drill spanner plane axe file clamp pliers trowel wrench mallet",
        "fruit": "apple pear plum cherry lemon lime mango melon peach apricot banana quince papaya guava damson",
        "tree": "oak elm ash birch pine beech willow cedar maple poplar spruce alder larch yew rowan",
        "metal": (
            "iron copper zinc tin lead nickel cobalt chromium titanium tungsten platinum steel brass bronze pewter"
        ),
        "insect": "ant wasp moth beetle cricket flea gnat hornet locust midge termite mosquito ladybird earwig louse",
        "garment": "shirt coat hat glove scarf sock skirt dress jacket belt cloak apron vest blouse sweater",
        "vessel": "ship boat canoe ferry raft yacht barge kayak dinghy tanker trawler cutter schooner galleon punt",
        "flower": (
            "rose lily tulip daffodil orchid violet poppy pansy primrose bluebell marigold carnation snowdrop "
            "peony aster"
        ),
    }.items()
}
NOUNS = tuple(noun for nouns in NOUNS_BY_KIND.values() for noun in nouns)
SAME_IN_PLURAL = _words("cod carp pike mackerel tuna plaice haddock bass pliers")
"""Excluded from the plural family, because subject and answer are equal."""
IRREGULAR_PLURALS = {"louse": "lice", "mango": "mangoes", "mosquito": "mosquitoes", "scarf": "scarves"}

OPPOSITES = dict(
    pair.split("/")
    for pair in _words(
        "hot/cold big/small tall/short fast/slow old/young rich/poor hard/soft light/dark wet/dry high/low "
        "open/closed full/empty happy/sad strong/weak thick/thin wide/narrow deep/shallow early/late near/far "
        "clean/dirty loud/quiet sweet/sour smooth/rough sharp/blunt brave/afraid gentle/cruel wise/foolish "
        "true/false right/wrong new/ancient first/last day/night alive/dead asleep/awake safe/dangerous "
        "easy/difficult cheap/expensive simple/complex public/private modern/antique polite/rude honest/deceitful "
        "generous/mean calm/stormy tight/loose straight/crooked heavy/weightless raw/cooked fresh/stale "
        "guilty/innocent major/minor north/south east/west up/down begin/finish win/lose buy/sell push/pull "
        "give/take love/hate arrive/depart remember/forget accept/refuse add/subtract allow/forbid attack/defend "
        "borrow/lend build/destroy catch/throw float/sink freeze/melt gain/loss grow/shrink hide/reveal "
        "import/export join/separate laugh/weep lead/follow live/die lock/unlock praise/blame raise/lower "
        "rise/fall save/spend start/stop succeed/fail tie/untie trust/doubt victory/defeat war/peace "
        "summer/winter spring/autumn morning/evening sunrise/sunset birth/death question/answer friend/enemy "
        "master/servant guest/host giant/dwarf hero/villain heaven/hell front/back inside/outside above/below "
        "before/after always/never often/seldom many/few more/less some/none floor/ceiling entrance/exit "
        "profit/deficit pleasure/pain joy/sorrow hope/despair truth/lie maximum/minimum majority/minority"
    )
)


def plural(noun: str) -> str:
    """Return the plural of one of :data:`NOUNS`; not defined for :data:`SAME_IN_PLURAL`."""
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    if noun.endswith(("s", "sh", "ch", "x")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"
