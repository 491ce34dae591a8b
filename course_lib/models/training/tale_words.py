"""The words of the tales: one list for each kind of slot.

Two rules keep a tale free of mix-ups without the writer having to remember what it used:

- heroes, friends, rivals and letter writers have separate lists of names;
- a list in `POOLED` is dealt out over the chapters (chapter k takes every eighth word, from k on),
  so no two chapters share a friend, a rival or a hiding place. A tale of one episode uses it all.

Things (adjective and noun) belong to a plot, and no plot comes twice in a tale.
"""

HERO_NAMES = tuple(
    "Juniper Pip Tansy Bram Clover Fern Basil Hazel Rowan Sorrel Wren Moss Thistle Bracken Poppy "
    "Robin Tilly Barley Nutmeg Quill Saffron Willow Aster Burdock Dapple Ember Fennel Ginger "
    "Heather Ivy Jasper Kit Linden Marlow Nettle Olive Parsley Rue Teasel Plum".split()
)
FRIEND_NAMES = tuple(
    "Ada Agnes Albert Alma Amos Anna Arthur Barnaby Beatrix Bella Ben Bruno Cora Daisy Dora Edgar "
    "Edith Edmund Ella Elsa Emil Emma Felix Flora Frank Freda George Greta Gus Hanna Harold Henry "
    "Hilda Hugo Ida Ines Iris Jack Jonas Karl Kate Lena Leo Lotte Lucy Mabel Martha Max "
    "Mina Nora Oscar Otto Paul Peter Rosa Rufus Ruth Sam Sophie Stella Theo Tom Vera Walter".split()
)
RIVAL_NAMES = tuple(
    "Boris Cleo Dunstan Elmo Fitz Gilda Horace Igor Jemima Kasper Lola Monty Nelly Osbert Petra "
    "Quentin Ralph Selma Toby Ursula Victor Winnie Xenia Yorick Zelda Angus Bertha Cyril Dexter "
    "Esme Fergus Gloria Hector Isolde Jethro Klaus Lorna Magnus Nigel Ophelia Percy Roland Silas "
    "Tabitha Ulric Violet Wilbur Zachary".split()
)
WRITERS = tuple("Oswin Hester Alden Maud Corin Lettice Tobias Verity Ansel Phoebe Gideon Marian".split())

KINDS = tuple(
    "otter badger hedgehog fox hare mouse mole squirrel beaver toad frog owl heron duck rabbit "
    "dormouse stoat weasel tortoise snail bear donkey lamb robin sparrow newt kingfisher puffin "
    "tinker piper lamplighter juggler beekeeper bookbinder gardener pedlar potter shepherd cook "
    "clockmaker".split()
)
TRAITS = tuple(
    "patient cheerful careful curious sleepy brave gentle stubborn polite hungry clever shy quiet "
    "merry tidy dreamy thoughtful eager absent-minded untidy optimistic bold kindly modest nimble "
    "serious talkative anxious young elderly round-faced long-legged freckled hopeful inventive "
    "early-rising forgetful good-natured practical restless".split()
)

PLACES = tuple(
    phrase.strip()
    for phrase in (
        "in a quiet harbour, on a green hill, by a slow river, in a deep forest, on a windy island, "
        "in a sleepy village, beside a round lake, in a crooked street, at the edge of a moor, "
        "in a stone cottage, under a great oak, in an old windmill, on a narrow canal, in a sunny valley, "
        "behind a waterfall, at the foot of a mountain, in a walled garden, near a salt marsh, "
        "in a market town, at the end of a long lane, in a lighthouse, by a wide bay, in a misty glen, "
        "above a bakery, beside a railway, in an apple orchard, on a sandy shore, in a busy port, "
        "at a crossroads, in a birch wood, on a chalk cliff, in a snowy valley, next to a duck pond, "
        "in a red brick town, on a houseboat, in a village of nine houses, by a stone bridge, "
        "in a meadow full of bees, on a rocky coast, in a hollow tree, near an abandoned castle, "
        "beside a millstream, in a town of many stairs, on a farm without a fence, in a fishing village, "
        "at the mouth of a river, under a thatched roof, in a land of low hills, by an empty beach, "
        "in a town of blue doors"
    ).split(",")
)
HABITS = (
    "collected buttons",
    "sang while washing up",
    "counted the stars every night",
    "talked to the kettle",
    "kept a diary about clouds",
    "never went out without a hat",
    "slept until noon on Sundays",
    "knew the names of all the snails",
    "whistled out of tune",
    "put honey in everything",
    "wrote long lists and lost them",
    "waved at every cart",
    "walked to the sea and back each morning",
    "grew very small pumpkins",
    "read maps for pleasure",
    "always carried a piece of string",
    "swept the doorstep twice a day",
    "laughed at thunder",
    "saved the last biscuit for the birds",
    "had three umbrellas and no boots",
    "painted the door a new colour each spring",
    "said good morning to the moon",
    "slept in a hammock",
    "could not pass a puddle without jumping in",
)
TREATS = (
    "rainy afternoons",
    "fresh snow",
    "honey cakes",
    "old songs",
    "long breakfasts",
    "soft rain",
    "hot baths",
    "brass bands",
    "picnics",
    "pancakes",
    "thick soup",
    "spring mornings",
    "open fires",
    "ripe cherries",
    "clean sheets",
    "tall stories",
)
YEARS = (
    "long rain",
    "three moons",
    "great snow",
    "singing frogs",
    "late apples",
    "broken weathercock",
    "two harvests",
    "warm winter",
    "lost goose",
    "high tide",
    "blue plums",
    "quiet bells",
)
WHENS = (
    "One windy morning",
    "One bright morning",
    "One grey afternoon",
    "One autumn evening",
    "One spring day",
    "Early one Monday",
    "Late one Tuesday",
    "On a frosty Friday",
    "On a warm summer evening",
    "On the first day of May",
    "One foggy morning",
    "One market day",
    "On a lazy Sunday",
    "Just before breakfast",
    "Shortly after lunch",
    "One day in October",
    "At the end of the winter",
    "One rainy Thursday",
    "On the longest day of the year",
    "On a day like any other",
    "One golden afternoon",
    "In the first week of June",
    "When the swallows came back",
    "One evening at supper time",
)
SPOTS = (
    "under the old bridge",
    "behind the church organ",
    "inside a hollow log",
    "in the baker's oven",
    "at the bottom of the well",
    "on top of the clock tower",
    "beneath the third stair",
    "in a nest of straw",
    "behind the waterwheel",
    "under a heap of leaves",
    "in the flour bin",
    "inside the scarecrow",
    "between two haystacks",
    "in the rabbit hole",
    "behind the garden wall",
    "under the school piano",
    "in a barrel of apples",
    "among the nettles",
    "in the bell tower",
    "inside an empty beehive",
    "under the kitchen table",
    "in the captain's boot",
    "behind the stove",
    "on the roof of the barn",
    "beneath a flat stone",
    "in the coal shed",
    "under the ferry steps",
    "inside a tall vase",
    "in the crow's nest",
    "behind a row of jam jars",
    "at the back of the cave",
    "in the laundry basket",
    "under the blackberry hedge",
    "inside the drum of the band",
    "in the hay cart",
    "behind the moonlit statue",
    "beside the frozen fountain",
    "in the tea chest",
    "under the mayor's bed",
    "among the tulip bulbs",
    "inside the chimney",
    "in the post bag",
    "behind the picture of a whale",
    "under a sleeping cow",
    "in the upper attic",
    "at the foot of the signpost",
    "inside the grandfather clock",
    "in the reeds by the pond",
)
FOODS = (
    "plum cake",
    "warm bread",
    "pea soup",
    "apple pie",
    "toasted cheese",
    "ginger biscuits",
    "blackberry jam",
    "onion tart",
    "roast chestnuts",
    "buttered noodles",
    "pear juice",
    "mushroom stew",
    "lemon pudding",
    "pickled beans",
    "oat porridge",
    "potato dumplings",
    "cinnamon buns",
    "hot chocolate",
    "carrot salad",
    "salted almonds",
    "cherry tart",
    "baked apples",
    "honey bread",
    "cold custard",
    "raisin scones",
    "barley broth",
    "walnut cake",
    "mint tea",
    "fried bananas",
    "boiled eggs",
)
TOWNS = (
    "Hollow Ford",
    "Nine Wells",
    "the Far Isles",
    "Candle Bay",
    "Upper Wick",
    "Lower Wick",
    "Goose Green",
    "the Salt Coast",
    "Owl Cross",
    "Kettle Hill",
    "Long Barrow",
    "Mill End",
    "the Copper Hills",
    "Bramble Gate",
    "Starling Rock",
    "Pudding Lane",
    "the Northern Lakes",
    "Whistle Down",
    "Crab Harbour",
    "Old Orchard",
    "Thunder Head",
    "Button Street",
    "the Valley of Pears",
    "Seven Chimneys",
)
NUMBERS = tuple("two three four five six seven eight nine ten eleven twelve twenty".split())
COLOURS = tuple("red green blue yellow purple orange white black brown pink grey crimson".split())
DREADS = (
    "geese",
    "thunder",
    "wet socks",
    "spiders",
    "cold soup",
    "loud bells",
    "tall ladders",
    "ghosts",
    "cows",
    "moths",
    "deep water",
    "sneezing",
    "the north wind",
    "empty houses",
    "feather dusters",
    "icy puddles",
    "brass buttons",
    "swans",
    "porcupines",
    "long speeches",
)
COUNTS = tuple("two three four five six seven eight".split())
ORDINALS = tuple("one two three four five six seven eight".split())

LEXICONS: dict[str, tuple[str, ...]] = {
    "hero": HERO_NAMES,
    "friend": FRIEND_NAMES,
    "rival": RIVAL_NAMES,
    "writer": WRITERS,
    "kind": KINDS,
    "trait": TRAITS,
    "place": PLACES,
    "habit": HABITS,
    "treat": TREATS,
    "year": YEARS,
    "when": WHENS,
    "spot": SPOTS,
    "food": FOODS,
    "town": TOWNS,
    "number": NUMBERS,
    "colour": COLOURS,
    "dread": DREADS,
    "count": COUNTS,
}
POOLED = frozenset({"friend", "rival", "spot"})
"""Lists dealt out over the chapters; see the module docstring."""


def pool(slot: str, chapter: int) -> tuple[str, ...]:
    """Words that `slot` may take in `chapter` (1 to 8), or in a tale of one episode (0)."""
    words = LEXICONS[slot]
    return words[chapter - 1 :: 8] if chapter and slot in POOLED else words


def article(word: str) -> str:
    """ "a" or "an"; the lists hold no word whose spelling and sound disagree, such as "honest"."""
    return "an" if word[0] in "aeiou" else "a"
