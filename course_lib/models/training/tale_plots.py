"""The plots of the tales, first half, and the small vocabulary they are written in.

A plot is a fixed row of steps. A step is said in one of a few ways; it may be optional, start a new
paragraph, or tell a fact. A fact's sentence is told once in a tale, and no other sentence of the
plot holds both the fact's key and its answer, so that a reader must look it up there.

Slots: {hero} and the {kind} are the tale's; {friend} the {trade}, {rival} the {beast}, the {thing}
(an {adj} {noun}), {spot}, {food}, {town}, {number}, {colour}, {dread}, {when} are the episode's.
{a:slot} writes "a" or "an" in front.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    ways: tuple[str, ...]
    fact: str = ""  # key into FACTS
    optional: bool = False
    paragraph: bool = False  # starts a new paragraph


@dataclass(frozen=True)
class Plot:
    name: str
    adjectives: tuple[str, ...]
    nouns: tuple[str, ...]
    trades: tuple[str, ...]
    beasts: tuple[str, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class FactForm:
    kind: str
    keys: tuple[str, ...]
    answer: str  # slot
    question: str
    reply: str


# name: (slots that lead to the fact, slot that answers, question, reply)
_FORMS = {
    "gave": ("noun", "friend", "Who gave {hero} the {thing}?", "It was {friend}."),
    "hidden": ("noun", "spot", "Where was the {thing} hidden?", "It was hidden {spot}."),
    "found": ("noun", "spot", "Where was the {thing} found?", "It was found {spot}."),
    "taken": ("noun", "rival", "Who had taken the {thing}?", "It had been taken by {rival}."),
    "belonged": ("noun", "friend", "To whom did the {thing} belong?", "It belonged to {friend}."),
    "made": ("noun", "friend", "Who made the {thing}?", "It was made by {friend}."),
    "won": ("noun", "rival", "Who won the {thing}?", "It was won by {rival}."),
    "cost": ("noun", "number", "How much did the {thing} cost?", "It cost {number} pennies."),
    "wrapped": ("noun", "colour", "What was the {thing} wrapped in?", "It was wrapped in {colour} cloth."),
    "asked": ("rival", "food", "What did {rival} ask for?", "{rival} asked for {food}."),
    "brought": ("friend", "food", "What did {friend} bring?", "{friend} brought {food}."),
    "came": ("rival", "town", "Where did {rival} come from?", "{rival} came from {town}."),
    "afraid": ("rival", "dread", "What was {rival} afraid of?", "{rival} was afraid of {dread}."),
    "sang": ("friend", "dread", "What did {friend} sing about?", "{friend} sang about {dread}."),
    "waited": ("rival", "number", "How long did {rival} wait?", "{rival} waited for {number} hours."),
    "liked": ("hero", "treat", "What did {hero} like best?", "{hero} liked {treat} best."),
}
FACTS = {
    name: FactForm(name, (key,), answer, question, reply) for name, (key, answer, question, reply) in _FORMS.items()
}


def say(*ways: str) -> Step:
    return Step(ways)


def may(*ways: str) -> Step:
    """A step that can be left out."""
    return Step(ways, optional=True)


def turn(*ways: str) -> Step:
    """A step that starts a new paragraph."""
    return Step(ways, paragraph=True)


def tell(fact: str, *ways: str) -> Step:
    """A step that tells a fact; each way is one sentence."""
    return Step(ways, fact=fact)


def plot(name: str, adjectives: str, nouns: str, trades: str, beasts: str, *steps: Step) -> Plot:
    return Plot(name, *(tuple(words.split()) for words in (adjectives, nouns, trades, beasts)), steps)


FIRST_PLOTS = (
    plot(
        "theft",
        "silver tiny dented polished",
        "whistle teapot bell thimble spoon",
        "miller baker weaver grocer",
        "magpie jackdaw raven ferret",
        say(
            "{when}, something was missing from the house, and the whole street came to look.",
            "{when}, {hero} opened the cupboard and found an empty place on the shelf.",
            "{when}, the {kind} had a feeling that something had gone.",
        ),
        tell(
            "taken",
            "The {thing} had been taken by {rival} the {beast}, though nobody knew it yet.",
            "The {thing} had been taken by {rival} the {beast} in the middle of the night.",
        ),
        say(
            "{hero} looked under the bed, then under the rug, and then, to be fair, inside the soup.",
            "{hero} asked the neighbours, the neighbours asked the cat, and the cat asked for milk.",
        ),
        turn(
            "{friend} the {trade} came to help, because two pairs of eyes are better than one.",
            "Luckily {friend} the {trade} was passing by with nothing much to do.",
        ),
        tell("brought", "{friend} brought {food} to keep them going.", "{friend} brought {food} for the search."),
        may(
            "They followed a trail of crumbs across the yard and twice round the pump.",
            "They found one black feather and three small footprints.",
        ),
        tell("hidden", "The {thing} was hidden {spot}.", "The {thing} was hidden {spot}, and rather badly."),
        turn(
            '"I only wanted to see my face in it," said {rival}, looking at the floor.',
            '"It shone so nicely in the moonlight," said {rival} in a very small voice.',
        ),
        say(
            "{hero} thought about it and said that one may always come and look, but one must knock first.",
            "The {kind} was not angry for long, and by evening they were all playing cards.",
        ),
    ),
    plot(
        "storm",
        "striped patched heavy tarred",
        "sail rope umbrella blanket tent",
        "fisher captain roofer farmer",
        "gull seal goose crab",
        say(
            "{when}, black clouds came over the hill like a herd of cattle.",
            "{when}, the sky turned the colour of slate and the birds stopped singing.",
            "{when}, the wind began to rattle every window in the place.",
        ),
        say(
            '"This will be a big one," said {friend} the {trade}, tying down the last chair.',
            '"Bring in the washing," called {friend} the {trade}, "or you will have to fetch it from the next county."',
        ),
        tell("gave", "{friend} gave {hero} {a:thing}.", "Without another word {friend} gave {hero} {a:thing}."),
        turn(
            "Then the rain came down as if somebody had pulled out a plug.",
            "The first thunder made the cups jump on their hooks.",
        ),
        may(
            "The weathercock spun so fast that it forgot which way was north.",
            "A wheelbarrow flew past, and a moment later it flew back.",
        ),
        say(
            "Somebody knocked at the door, and there stood {rival} the {beast}, as wet as a sponge.",
            "Out in the rain {hero} heard a voice and pulled in {rival} the {beast} by the sleeve.",
        ),
        tell("afraid", "{rival} was afraid of {dread}.", "{rival} was afraid of {dread}, storm or no storm."),
        say(
            "So {hero} lit a candle and told jokes until the noise outside seemed quite small.",
            "So the {kind} made tea, and they sat close together and counted the seconds after each flash.",
        ),
        turn(
            "By morning the storm was over, and the whole world smelled of wet grass.",
            "At dawn the wind lay down like a tired dog, and the sun looked in at the window.",
        ),
    ),
    plot(
        "lost",
        "copper rusty crooked narrow",
        "key pin hook latch hinge",
        "cobbler tailor blacksmith teacher",
        "rat mule hen pigeon",
        say(
            "{when}, {friend} the {trade} was crawling about in the road with a worried face.",
            "{when}, {hero} met {friend} the {trade}, who was shaking out an empty pocket.",
            "{when}, a small crowd stood round {friend} the {trade} and gave bad advice.",
        ),
        tell("belonged", "The {thing} belonged to {friend}, and it was lost."),
        say(
            '"It cannot have walked away," said {hero}, and began to search.',
            '"When did you see it last?" asked the {kind}, which is a question that never helps.',
        ),
        may(
            "They found eleven nails, half a comb and a marble, but not what they wanted.",
            "They looked in all the likely places and then in all the unlikely ones.",
        ),
        turn(
            "At noon they met {rival} the {beast}, who had seen something shine.",
            "Then {rival} the {beast} came by and claimed to know all about it.",
        ),
        tell("asked", "{rival} asked for {food} in return.", "{rival} asked for {food} first."),
        say(
            "It was a fair price, so they ran home and fetched it.",
            "They paid at once, for nobody thinks well on an empty stomach.",
        ),
        tell("found", "The {thing} was found {spot}.", "At last the {thing} was found {spot}."),
        turn(
            "There was such joy that even the crowd went home satisfied.",
            "After that it was kept on a long ribbon, and it has never been lost since.",
        ),
    ),
    plot(
        "riddle",
        "locked carved square cedar",
        "box chest casket cupboard drawer",
        "carpenter librarian doctor clerk",
        "raven iguana spider lizard",
        say(
            "{when}, {hero} came home and saw that somebody had left a present at the door.",
            "{when}, the {kind} found something on the doorstep, and there was no name on it.",
        ),
        tell(
            "made",
            "The {thing} was made by {friend} the {trade}.",
            "The {thing} was made by {friend} the {trade}, but {hero} did not know that.",
        ),
        say(
            "On it sat {rival} the {beast}, who would let nobody touch it without a riddle.",
            "Beside it waited {rival} the {beast} with a riddle and a superior smile.",
        ),
        tell("came", "{rival} came from {town}.", "{rival} came from {town}, where riddles grow like weeds."),
        turn(
            '"What has teeth but never eats?" asked the {beast}.',
            '"What gets wetter the more it dries?" asked the {beast}.',
            '"What goes up and down but never moves?" asked the {beast}.',
        ),
        say(
            "{hero} thought for one pot of tea, and then for another.",
            "{hero} walked three times round the table with both eyes shut.",
        ),
        may("A wrong answer came first, and then a worse one.", "The clock ticked, and the {beast} hummed."),
        say(
            "The right answer came at last, like a sneeze, and it was so simple that everybody laughed.",
            "Then {hero} saw the answer hanging on the wall, and shouted it out loud.",
        ),
        tell(
            "wrapped",
            "The {thing} was wrapped in {colour} cloth.",
            "Down to its four feet the {thing} was wrapped in {colour} cloth.",
        ),
        turn(
            "Inside there was a smaller riddle on a piece of paper, and that one is still unsolved.",
            "Inside there was nothing but a note that said well done, and {hero} kept it for ever.",
        ),
    ),
    plot(
        "race",
        "golden shiny tall handsome",
        "cup trophy medal crown shield",
        "barber innkeeper mason saddler",
        "greyhound ostrich pony lynx",
        say(
            "{when}, everybody ran to the field, for it was the day of the great race.",
            "{when}, a notice on the pump said that there would be a race round the hill.",
        ),
        tell(
            "made",
            "The {thing} was made by {friend} the {trade}, and the winner could keep it.",
            "The {thing} was made by {friend} the {trade} and stood on a barrel for all to see.",
        ),
        say(
            "{rival} the {beast} had trained all winter and wore special socks.",
            "{rival} the {beast} did stretches and told everyone not to be disappointed.",
        ),
        tell("afraid", "{rival} was afraid of {dread}.", "In secret, {rival} was afraid of {dread}."),
        turn(
            "A bell rang, and off they went, {hero} in front and then, quite soon, {hero} at the back.",
            "Somebody dropped a handkerchief, and off they went in a cloud of dust.",
        ),
        say(
            "Halfway round the hill {hero} stopped to help a beetle that had fallen on its back.",
            "Halfway round the hill the {kind} stopped to tie a shoe and to admire the view.",
        ),
        may("A dog joined in and ran the wrong way.", "The crowd cheered for everybody, to be on the safe side."),
        tell("won", "The {thing} was won by {rival}.", "By the length of a nose the {thing} was won by {rival}."),
        turn(
            "{hero} came last, but got the loudest cheer and the largest piece of cake.",
            "{hero} came in so late that the moon was up, and the whole crowd had waited.",
        ),
    ),
    plot(
        "feast",
        "giant bubbling cracked blackened",
        "pot pan kettle cauldron bowl",
        "cooper butcher innkeeper grocer",
        "boar cat pig bull",
        say(
            "{when}, {hero} decided to give a feast and to invite the whole neighbourhood.",
            "{when}, the {kind} wrote forty invitations and then looked into an empty larder.",
        ),
        say(
            "There was no flour, no butter and only one egg, which was already spoken for.",
            "There was salt, there was pepper, and there was nothing to put them on.",
        ),
        tell("gave", "{friend} the {trade} gave {hero} {a:thing}.", "Then {friend} the {trade} gave {hero} {a:thing}."),
        say(
            '"Begin with water," said {friend}, "and the rest will come."',
            '"Hang it over the fire," said {friend}, "and be patient."',
        ),
        turn(
            "And it did come, for each guest put in a little something.",
            "Soon the guests arrived, and each of them carried something under one arm.",
        ),
        say(
            "{rival} the {beast} was the last, and the hungriest.",
            "{rival} the {beast} came without an invitation and sat down at the head of the table.",
        ),
        tell("asked", "{rival} asked for {food}.", "Quite loudly, {rival} asked for {food}."),
        may(
            "The soup tasted of carrots, smoke and good company.",
            "Nobody could say what was in the soup, and nobody minded.",
        ),
        tell("cost", "The {thing} cost {number} pennies.", "When it was new, the {thing} cost {number} pennies."),
        turn(
            "They ate until the stars came out, and then they ate a little more.",
            "When the last spoon was put down, even the {beast} was full.",
        ),
    ),
    plot(
        "bridge",
        "wooden creaky mossy long",
        "plank ladder beam gate ramp",
        "mason carpenter engineer miller",
        "goat ox troll mule",
        say(
            "{when}, the bridge broke in the middle with a noise like a cough.",
            "{when}, there was no bridge any more, only two halves that looked at each other.",
        ),
        say(
            "On this side stood {hero}, and on that side stood everybody else.",
            "The milk could not come over, and the post could not come over, and neither could the aunts.",
        ),
        say(
            "{friend} the {trade} scratched one ear and said that something long was needed.",
            "{friend} the {trade} measured the hole twice and got two different answers.",
        ),
        tell("brought", "{friend} brought {food} for the workers.", "Before anything else, {friend} brought {food}."),
        turn(
            "They searched the whole place for something that would fit.",
            "What they needed was lying about somewhere, if only they could think where.",
        ),
        tell("found", "The {thing} was found {spot}.", "In the end the {thing} was found {spot}."),
        say(
            "It was exactly one hand too short, so {hero} stood on a stone and pulled.",
            "They carried it to the river, dropped it twice, and pushed it across.",
        ),
        may(
            "A swan watched everything and laughed at the wrong moments.", "The river hurried past and offered no help."
        ),
        turn(
            "{rival} the {beast} was the first to cross, on tiptoe.",
            "{rival} the {beast} went over first, because somebody had to.",
        ),
        tell(
            "waited",
            "{rival} waited for {number} hours to do so.",
            "{rival} waited for {number} hours on the bank before that.",
        ),
        say(
            "The bridge held, and it holds to this day, if you do not jump.",
            "The bridge creaked, but it stayed where it was, and so did the friendship.",
        ),
    ),
    plot(
        "stranger",
        "dusty leather bulging faded",
        "suitcase satchel bag purse trunk",
        "innkeeper teacher weaver postmaster",
        "camel crane walrus wolf",
        say(
            "{when}, a stranger came down the road and stopped at the pump to drink.",
            "{when}, a stranger knocked at the window and asked for a dry corner.",
        ),
        say(
            "It was {rival} the {beast}, who spoke slowly and bowed to the chickens.",
            "It was {rival} the {beast}, with one boot on and the other in one hand.",
        ),
        tell("came", "{rival} came from {town}.", "{rival} came from {town}, which is a long way on foot."),
        say(
            "Some people shut their doors, but {hero} put another plate on the table.",
            "Some said that one never knows, and {hero} said that one could always ask.",
        ),
        turn("Now everybody wondered about the luggage.", "The luggage stood in the hall and made people curious."),
        tell("cost", "The {thing} cost {number} pennies.", "According to the label the {thing} cost {number} pennies."),
        may("Children came to listen at the keyhole.", "Some guessed gold, and some guessed cheese."),
        say(
            "In the evening they opened it, and out came nothing but songs, neatly written on paper.",
            "When it was opened at last, there was only music in it, page after page.",
        ),
        turn(
            "{friend} the {trade} chose a page and stood on a chair.",
            "{friend} the {trade} could read music and was easily persuaded.",
        ),
        tell("sang", "{friend} sang about {dread}.", "{friend} sang about {dread} until midnight."),
        say(
            "In the morning the stranger was gone, and on the table lay one more song.",
            "The stranger stayed for a week and was nobody's stranger after that.",
        ),
    ),
    plot(
        "rescue",
        "strong knotted woven wide",
        "net basket sling belt scarf",
        "fisher thatcher dyer farmer",
        "kitten calf cub foal",
        say(
            "{when}, a thin voice was calling for help from somewhere below.",
            "{when}, {hero} heard a cry and dropped the shopping.",
        ),
        say(
            "{rival} the {beast} had slipped into the quarry and could not climb out.",
            "{rival} the {beast} was sitting on a ledge, halfway down the cliff.",
        ),
        tell("waited", "{rival} waited for {number} hours down there.", "Bravely, {rival} waited for {number} hours."),
        say(
            '"Do not look down," called {hero}, "or up, if that is worse."',
            '"Stay where you are," called the {kind}, which was hardly necessary.',
        ),
        turn("What could they pull with?", "But how does one lift so much with so little?"),
        tell(
            "belonged",
            "The {thing} belonged to {friend} the {trade}, who lent it gladly.",
            "The {thing} belonged to {friend} the {trade} and was just the right size.",
        ),
        say(
            "They let it down, slowly, hand under hand, while the whole village held its breath.",
            "{hero} tied it to the old tree with the only good knot in the district.",
        ),
        may("Once it slipped, and once it stuck.", "A goose gave orders, and nobody listened."),
        say(
            "Up came two ears, then a nose, and then all the rest of {rival}.",
            "One more pull, and {rival} rolled over the edge and into the grass.",
        ),
        turn(
            "There was dry straw and a warm kitchen for the hero of the day.",
            "Everybody wanted to carry the little one home.",
        ),
        tell(
            "asked",
            "{rival} asked for {food} and fell asleep before the first bite.",
            "{rival} asked for {food} at once.",
        ),
        say(
            "A fence was built on that very spot, and {hero} painted it.",
            "Since then {hero} has looked over every edge, just in case.",
        ),
    ),
)
