"""The plots of the tales, second half. How a plot is written is told in `tale_plots.py`."""

from .tale_plots import FIRST_PLOTS, may, plot, say, tell, turn

SECOND_PLOTS = (
    plot(
        "bargain",
        "speckled tame plump noisy",
        "hen turkey parrot canary piglet",
        "farmer grocer tanner barber",
        "monkey gecko stork hamster",
        say(
            "{when}, {hero} went to market to sell a cabbage and came home without the cabbage.",
            "{when}, the market was so full that the {kind} had to walk on the side of the road.",
        ),
        say(
            "{rival} the {beast} had a stall with a red curtain and a great deal to say.",
            "{rival} the {beast} was standing on a box and selling everything but the box.",
        ),
        tell(
            "afraid", "{rival} was afraid of {dread}.", "One thing was well known, that {rival} was afraid of {dread}."
        ),
        turn(
            "In a cage behind the stall sat something with bright eyes.",
            "Something looked at {hero} through the bars and seemed to wink.",
        ),
        tell("cost", "The {thing} cost {number} pennies.", "The {thing} cost {number} pennies, cage and all."),
        say(
            '"Too much," said {hero}. "Too little," said {rival}. So they shook hands.',
            "They talked it up and they talked it down, and it ended just where it had begun.",
        ),
        may("A band played, and somebody danced with a goat.", "It began to drizzle, and the prices fell a little."),
        turn(
            "On the way home {hero} met {friend} the {trade}, who was looking for company.",
            "At the gate stood {friend} the {trade}, who had waited to hear the news.",
        ),
        tell("brought", "{friend} brought {food} to celebrate.", "{friend} brought {food} for the new guest."),
        say(
            "The cage was opened that night, and nobody flew or ran away.",
            "Since that day the mornings have been louder, and nobody has complained.",
        ),
    ),
    plot(
        "festival",
        "paper glowing round painted",
        "lantern balloon mask star dragon",
        "painter tailor teacher glazier",
        "peacock moth swan goldfish",
        say(
            "{when}, all the windows were open, for the festival was about to begin.",
            "{when}, flags hung from house to house, because the festival had come round again.",
        ),
        say(
            "Everyone had made something to show, and everyone pretended that it was nothing special.",
            "There would be music, a parade, and a speech that was always too long.",
        ),
        tell(
            "made",
            "The {thing} was made by {friend} the {trade}.",
            "The {thing} was made by {friend} the {trade}, and it was the best of all.",
        ),
        turn("But an hour before the parade it was gone.", "But when the drums began, its place was empty."),
        say(
            "{hero} ran up one street and down the next, asking everyone with a nose.",
            "The {kind} left the parade and went to look, though the band was playing a favourite.",
        ),
        tell("hidden", "The {thing} was hidden {spot}.", "As a joke, the {thing} was hidden {spot}."),
        may("It was a little bent, but it was whole.", "Somebody giggled in the dark."),
        turn(
            "Out of the shadows came {rival} the {beast}, who had only wanted to be noticed.",
            "{rival} the {beast} confessed everything, with a drooping head and wide eyes.",
        ),
        tell("came", "{rival} came from {town}.", "{rival} came from {town} and knew nobody at the feast."),
        say(
            '"Then walk in front with me," said {hero}, and so they led the parade together.',
            "So {hero} found a second drum, and they marched side by side until the last lamp went out.",
        ),
    ),
    plot(
        "night journey",
        "brass trusty folding battered",
        "compass lamp telescope torch horn",
        "doctor captain pilot librarian",
        "bat nightjar lynx hound",
        say(
            "{when}, a message came that could not wait until the next day.",
            "{when}, {hero} had to leave at once, and it would be dark before the first hill.",
        ),
        tell(
            "gave",
            "{friend} the {trade} gave {hero} {a:thing} for the road.",
            "At the last house {friend} the {trade} gave {hero} {a:thing}.",
        ),
        say(
            "The path went through the wood, and the wood was full of small noises.",
            "Behind the last garden the path became thin, and then it became a guess.",
        ),
        may("A bird said something that sounded like a question.", "Every tree looked like an uncle."),
        turn(
            "At the crossing sat {rival} the {beast}, who knew the way in the dark.",
            "Then two green eyes shone, and they belonged to {rival} the {beast}.",
        ),
        tell("afraid", "{rival} was afraid of {dread}.", "Strangely enough, {rival} was afraid of {dread}."),
        say(
            '"Then let us go together," said {hero}, "and each be brave about the other half."',
            "So they walked side by side, and the {kind} sang the only marching song that anyone knows.",
        ),
        turn(
            "When the sky turned pink they could see the roofs below them.",
            "At sunrise they came over the last hill with cold ears and light hearts.",
        ),
        tell("asked", "At the inn {rival} asked for {food}.", "{rival} asked for {food}, and was given two helpings."),
        say(
            "The message was delivered, and it turned out to be a birthday greeting.",
            "The message arrived in time, and the answer was yes.",
        ),
    ),
    plot(
        "promise",
        "rare drooping climbing young",
        "rose lily tulip cactus orchid",
        "florist dyer painter farmer",
        "caterpillar ram goose slug",
        say(
            "{when}, {hero} made a promise, and promises were taken seriously there.",
            "{when}, the {kind} said yes before hearing the whole question.",
        ),
        tell(
            "belonged",
            "The {thing} belonged to {friend} the {trade}, who had to go away for a month.",
            "The {thing} belonged to {friend} the {trade}, who was leaving on a long visit.",
        ),
        say(
            '"Water it each evening," said {friend}, "and tell it something nice."',
            '"Never forget it, not for one day," said {friend}, and climbed into the coach.',
        ),
        say(
            "{hero} watered it, and dusted it, and told it about the weather.",
            "So every evening {hero} carried the can and made polite conversation.",
        ),
        turn(
            "One night {rival} the {beast} looked over the fence with a hungry smile.",
            "But in the second week {rival} the {beast} moved in next door.",
        ),
        tell(
            "asked",
            "{rival} asked for {food} instead, after a long talk.",
            "After a long talk {rival} asked for {food} instead.",
        ),
        may("It rained, it hailed, and it rained again.", "A leaf fell off, and nobody slept well."),
        turn(
            "To keep it safe from the cold wind, a new home had to be found.",
            "When the frost came, it had to be moved in a hurry.",
        ),
        tell("hidden", "The {thing} was hidden {spot}.", "For nine nights the {thing} was hidden {spot}."),
        say(
            "When the month was over there was a new bud on it, and a promise had been kept.",
            "The coach came back at last, and {hero} slept for two days.",
        ),
    ),
    plot(
        "quarrel",
        "soft feather velvet lumpy",
        "cushion chair pillow mattress armchair",
        "tailor upholsterer weaver barber",
        "collie terrier pug dachshund",
        say(
            "{when}, {hero} and {rival} the {beast} stopped speaking to each other.",
            "{when}, there was a quarrel, and {hero} and {rival} the {beast} were in the middle of it.",
        ),
        say(
            "It had begun with a seat by the fire, as so many things do.",
            "Each of them wanted the best place, and there was only one.",
        ),
        tell(
            "cost",
            "The {thing} cost {number} pennies, and they had paid half each.",
            "The {thing} cost {number} pennies, which they had saved up together.",
        ),
        may("They drew a line across the room with chalk.", "They sent each other notes by way of the cat."),
        turn(
            "On the third day {friend} the {trade} came for a visit and sat down right on the line.",
            "Then {friend} the {trade} heard of it and came over with a plan.",
        ),
        tell("sang", "{friend} sang about {dread}.", "Without any warning, {friend} sang about {dread}."),
        say(
            "It was so dreadful that both of them had to laugh, and they could not stop.",
            "The {kind} snorted, the {beast} snorted, and after that it was no use being cross.",
        ),
        turn(
            '"You may have it on odd days," said {hero}, "and I on even ones."',
            '"Take it," said {hero}. "No, you," said {rival}, and they almost quarrelled again.',
        ),
        tell(
            "found",
            "Years later the {thing} was found {spot}.",
            "Much later the {thing} was found {spot}, because nobody had wanted to be the one to keep it.",
        ),
        say("They laughed about that too.", "It makes a good bed for mice now."),
    ),
    plot(
        "music",
        "ancient cheerful squeaky walnut",
        "fiddle flute drum trumpet harp",
        "baker blacksmith bellringer roofer",
        "cricket nightingale cockerel bullfrog",
        say(
            "{when}, there was music in the air, and nobody could tell where it came from.",
            "{when}, {hero} heard a tune and had to stop sweeping.",
        ),
        say(
            "It seemed to come from the left, and when one went left, it came from the right.",
            "The {kind} followed it over a stile, through a hedge and into a ditch.",
        ),
        turn(
            "Behind the hedge sat {rival} the {beast} and played with closed eyes.",
            "And there, on a milestone, sat {rival} the {beast} and played.",
        ),
        tell("came", "{rival} came from {town}.", "{rival} came from {town}, where babies are born humming."),
        say(
            '"Why do you play out here?" asked {hero}. "Because indoors they throw slippers," was the answer.',
            '"Do you take requests?" asked {hero}. "Only loud ones," was the answer.',
        ),
        tell(
            "belonged",
            "The {thing} belonged to {friend} the {trade} and was only borrowed.",
            "The {thing} belonged to {friend} the {trade}, as it turned out.",
        ),
        turn(
            "So they all went back together, and it became a concert.",
            "They marched to the square, and people came out in their nightshirts.",
        ),
        tell("sang", "{friend} sang about {dread}.", "In a deep voice {friend} sang about {dread}."),
        may("Three dogs knew the chorus.", "An old couple danced with a broom between them."),
        say(
            "When the last note was gone, nobody wanted to be the first to go home.",
            "Not one slipper was thrown, and that was noticed.",
        ),
    ),
    plot(
        "luck",
        "lucky smooth spotted flat",
        "pebble coin shell button marble",
        "grocer fisher clerk mason",
        "crab rat gosling pug",
        say(
            "{when}, everything went wrong that could go wrong.",
            "{when}, {hero} put the left shoe on the right foot and fell down the steps.",
        ),
        say(
            "The milk was sour, the bread was burnt, and the hat blew into a tree.",
            "A button came off, then a door handle, and then the door.",
        ),
        tell(
            "gave",
            "{friend} the {trade} gave {hero} {a:thing}.",
            "For comfort {friend} the {trade} gave {hero} {a:thing}.",
        ),
        say(
            '"It brings good luck," said {friend}, "if you look after somebody else with it."',
            '"Rub it twice," said {friend}, "and then stop worrying."',
        ),
        turn(
            "Soon after that {hero} stumbled over {rival} the {beast}, who was crying into a sock.",
            "On the corner stood {rival} the {beast}, who had had an even worse day.",
        ),
        tell(
            "waited",
            "{rival} waited for {number} hours, and no coach had come.",
            "All in vain, {rival} waited for {number} hours.",
        ),
        say(
            "So {hero} shared an umbrella, and then a bench, and then a long story.",
            "The {kind} sat down too, and together they waited for nothing in particular.",
        ),
        may("The sun came out, as if by accident.", "The hat came down from the tree on its own."),
        turn(
            "In the evening all was well, but one pocket was empty.",
            "Only at bedtime did {hero} notice that something was missing.",
        ),
        tell("found", "The {thing} was found {spot}.", "A week later the {thing} was found {spot}."),
        say(
            "By then {hero} had a friend instead, and that is luckier.",
            "It may lie there still, for luck is better when it is left for the next one.",
        ),
    ),
    plot(
        "letter",
        "sealed crumpled secret yellowed",
        "letter map parcel note scroll",
        "postmaster printer librarian sailor",
        "pigeon spider carthorse stork",
        say(
            "{when}, a mistake was discovered at the post office.",
            "{when}, {hero} found something that should have arrived ten years before.",
        ),
        tell("found", "The {thing} was found {spot}.", "By pure chance the {thing} was found {spot}."),
        say(
            "{friend} the {trade} put on a second pair of glasses and read the address aloud.",
            "{friend} the {trade} blew off the dust and sneezed for some time.",
        ),
        tell(
            "wrapped",
            "The {thing} was wrapped in {colour} cloth.",
            "Against the damp the {thing} was wrapped in {colour} cloth.",
        ),
        say(
            '"Late is better than never," said {hero}, and set out to deliver it.',
            '"I shall take it myself," said the {kind}, "before it gets any later."',
        ),
        turn(
            "It was for {rival} the {beast}, who lived at the very top of the longest stairs.",
            "At the end of a muddy lane lived {rival} the {beast}, who never got any post.",
        ),
        tell(
            "afraid",
            "{rival} was afraid of {dread} and opened the door only a little.",
            "{rival} was afraid of {dread}, so it was a while before the door opened.",
        ),
        may("The bell did not work, and neither did the knocker.", "A curtain moved, and a curtain moved back."),
        turn(
            "It said that somebody was thinking of the reader and hoped for an answer.",
            "There were only three lines in it, and the last one was an invitation.",
        ),
        say(
            '"Then I had better hurry," said {rival}, and looked for a clean collar.',
            "They wrote a reply that same evening, and {hero} ran with it all the way.",
        ),
    ),
    plot(
        "snow",
        "woollen warm knitted fluffy",
        "hat coat mitten shawl jumper",
        "weaver tailor hatter draper",
        "penguin reindeer sheep elk",
        say(
            "One winter morning it began to snow, and it did not stop until the doors were gone.",
            "One day in January {hero} looked out and saw nothing but white.",
        ),
        say(
            "The hens had to be dug out, and after them the henhouse.",
            "The pump froze, and then the beard of the man at the pump.",
        ),
        turn(
            "In front of the house stood {rival} the {beast} with chattering teeth.",
            "A snowdrift sneezed, and it was {rival} the {beast}.",
        ),
        tell("came", "{rival} came from {town}.", "{rival} came from {town}, where it never snows."),
        say(
            "There was not a warm thing in the house that would fit.",
            "{hero} tried a tea cosy first, but it was too small.",
        ),
        tell(
            "made",
            "The {thing} was made by {friend} the {trade} in a single night.",
            "The {thing} was made by {friend} the {trade}, stitch by stitch.",
        ),
        may("It was too big, which is the right size in winter.", "It itched, but it was a friendly kind of itch."),
        turn(
            "After that the snow was only snow, and they built a tower out of it.",
            "Then they went out and rolled the largest snowball in the history of the place.",
        ),
        tell("brought", "{friend} brought {food} in a covered dish.", "When it got dark, {friend} brought {food}."),
        say(
            "They sat round the stove and steamed, and nobody wished for summer.",
            "The snow stayed for a month, and so did {rival}.",
        ),
    ),
    plot(
        "clock",
        "bent toothed oily steel",
        "cog spring wheel pendulum hammer",
        "locksmith blacksmith bellringer mayor",
        "woodpecker cuckoo starling jackdaw",
        say(
            "{when}, the town clock stopped, and from then on it was always ten past four.",
            "{when}, the great clock struck thirteen and then said nothing more.",
        ),
        say(
            "Nobody knew when to have lunch, so some had none, and some had three.",
            "The school could not begin, which the children took very calmly.",
        ),
        tell(
            "taken",
            "The {thing} had been taken by {rival} the {beast}.",
            "The {thing} had been taken by {rival} the {beast} to build a nest.",
        ),
        say(
            "{hero} climbed up the tower and counted the stairs until they ran out.",
            "So the {kind} took a candle and went up, and up, and up.",
        ),
        turn(
            "At the top stood {friend} the {trade} among a thousand little wheels.",
            "{friend} the {trade} was already there, with black hands and a puzzled look.",
        ),
        tell(
            "sang", "{friend} sang about {dread} while oiling the rest.", "To keep calm, {friend} sang about {dread}."
        ),
        may("A pigeon gave them a hard stare.", "From up there the people looked like pepper."),
        say(
            "Then {hero} saw a straw, and another straw, and followed them.",
            "Then {hero} heard a ticking from where no ticking should be.",
        ),
        tell("hidden", "The {thing} was hidden {spot}.", "For the whole week the {thing} was hidden {spot}."),
        turn(
            "They built a better nest out of an old hat, and everyone was pleased.",
            "{rival} said sorry and was made keeper of the clock.",
        ),
        say(
            "At once it struck nine, although it was noon, and people ran to work.",
            "The clock went again, a little slower than before, and so did life.",
        ),
    ),
    plot(
        "picture",
        "framed famous upside-down oval",
        "portrait painting mirror sketch photograph",
        "glazier mayor barber printer",
        "poodle peahen pug tomcat",
        say(
            "{when}, there was a picture show, and everybody came in good shoes.",
            "{when}, {hero} was asked to hang something on the wall of the town hall.",
        ),
        tell(
            "belonged",
            "The {thing} belonged to {friend} the {trade}.",
            "The {thing} belonged to {friend} the {trade}, who was proud of it.",
        ),
        say("{hero} took a nail, a hammer and a deep breath.", "The {kind} measured the wall with one eye shut."),
        tell(
            "wrapped",
            "The {thing} was wrapped in {colour} cloth.",
            "Until noon the {thing} was wrapped in {colour} cloth.",
        ),
        turn("Then it was shown, and there was a long silence.", "When the cloth came off, somebody dropped a cup."),
        say(
            '"It is a cow," said some. "It is the sea," said others.',
            '"Very fine," said one half, and the other half asked what it was.',
        ),
        may("A baby pointed at it and laughed.", "Somebody turned it round, and it was no clearer."),
        turn(
            "Only {rival} the {beast} stood before it for a long time and nodded.",
            "Only {rival} the {beast} came closer and closer and began to smile.",
        ),
        tell(
            "waited",
            "{rival} waited for {number} hours to see it.",
            "{rival} waited for {number} hours until the room was empty.",
        ),
        say(
            '"It is me," said {rival}, "on a good day." And it really was, if one squinted.',
            "From then on nobody asked what it was, only how it was.",
        ),
    ),
    plot(
        "boat",
        "little leaky swift flat-bottomed",
        "boat raft canoe barge dinghy",
        "captain fisher cooper sailor",
        "pelican seal swan cormorant",
        say(
            "{when}, {hero} made up a mind to see what lay behind the bend of the river.",
            "{when}, the {kind} packed two sandwiches and went down to the water.",
        ),
        tell(
            "cost", "The {thing} cost {number} pennies.", "The {thing} cost {number} pennies, with the holes thrown in."
        ),
        say(
            "It floated, mostly, and {hero} called it a ship.",
            "It turned in a circle twice before it agreed to go forward.",
        ),
        turn(
            "At the first bend {rival} the {beast} was sitting on a post.",
            "Soon somebody swam alongside, and it was {rival} the {beast}.",
        ),
        tell("asked", "{rival} asked for {food} as a toll.", "Like every keeper of a river, {rival} asked for {food}."),
        say(
            '"I have only a sandwich," said {hero}, and half of it was accepted.',
            "They settled on half a sandwich and a good story.",
        ),
        may("A fish jumped over them without saying hello.", "It was so still that they could hear the clouds."),
        turn(
            "At the second bend {friend} the {trade} was waving from a landing stage.",
            "In the reeds they met {friend} the {trade}, who was stuck.",
        ),
        tell(
            "sang",
            "{friend} sang about {dread} in time with the oars.",
            "All the way back {friend} sang about {dread}.",
        ),
        say(
            "Behind the bend there was another bend, and {hero} was very glad of it.",
            "Nobody remembers what lay behind the bend, only that it was a lovely day.",
        ),
    ),
    plot(
        "book",
        "thick borrowed forgotten ragged",
        "book diary atlas songbook cookbook",
        "librarian printer teacher mayor",
        "bookworm tabby ferret parrot",
        say(
            "{when}, the library was to be counted, from the first shelf to the last.",
            "{when}, a stern card came for {hero}, and it said overdue.",
        ),
        say(
            "One place on the shelf was empty, between the birds and the bridges.",
            "It had been due back in the spring, and not in this spring either.",
        ),
        tell(
            "taken",
            "The {thing} had been taken by {rival} the {beast}.",
            "Without asking, the {thing} had been taken by {rival} the {beast}.",
        ),
        say(
            '"I never finish anything," sighed {rival}, "and so I could not bring it back."',
            '"I only got as far as page two," said {rival}, "because it is so exciting."',
        ),
        turn(
            "So {hero} sat down in the good light and read it out from beginning to end.",
            "So the {kind} offered to read the rest aloud, with all the voices.",
        ),
        tell(
            "brought",
            "{friend} the {trade} brought {food} and stayed to listen.",
            "{friend} the {trade} brought {food} when it got to the sad part.",
        ),
        may("One by one the neighbours came in and sat on the floor.", "The lamp was filled twice."),
        turn(
            "When it was over they put it back before anyone could count.",
            "The next morning it was on the shelf again, with one small stain.",
        ),
        tell(
            "wrapped",
            "From then on the {thing} was wrapped in {colour} cloth.",
            "To keep it clean, the {thing} was wrapped in {colour} cloth.",
        ),
        say(
            "The fine was three pennies, and it was forgiven.",
            "There is a reading every Friday now, and there are never enough chairs.",
        ),
    ),
)

PLOTS = FIRST_PLOTS + SECOND_PLOTS
"""All plots, as a ring: the next chapter's plot is one, two or three places on, so none comes twice."""
