"""The voices that tell the tales: how each opens, announces its length, leads on, asks and closes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Voice:
    name: str
    openings: tuple[str, ...]
    lengths: tuple[str, ...]  # only in a tale of several chapters
    leads: tuple[str, ...]  # lead k may begin chapter k + 1, so none is heard twice
    pauses: tuple[str, ...]  # before a question at the end of a chapter
    finals: tuple[str, ...]  # before the questions at the end
    closings: tuple[str, ...]


HABIT_WAYS = ("{hero} {habit}.", "Everybody knew that {hero} {habit}.", "It was no secret that {hero} {habit}.")
LIKED_WAYS = ("{hero} liked {treat} best.", "Of all things {hero} liked {treat} best.")
ENDS = ("The end.", "And that is the end.", "Here the tale ends.")

VOICES = (
    Voice(
        "plain",
        (
            "Once upon a time, {place}, there lived {a:trait} {kind} named {hero}.",
            "Long ago, {place}, {a:trait} {kind} called {hero} had a small house with a round door.",
            "There was once {a:trait} {kind} by the name of {hero}, who lived {place}.",
            "This happened {place}, where one could often meet {a:trait} {kind} called {hero}.",
        ),
        ("This is a tale in {count} chapters.", "The tale has {count} chapters."),
        (
            "The story begins on an ordinary day.",
            "Not long after, there was new excitement.",
            "For a while it was quiet, but not for long.",
            "Life went on, and so does the tale.",
            "Some weeks went by.",
            "Then things became lively again.",
            "The year turned, as years do.",
            "One more thing must be told.",
        ),
        ("Before the tale goes on, here is a question.",),
        ("And now, do you remember?", "That was the tale, and here is what a good listener knows."),
        (
            "Whoever is kind to strangers is never alone for long.",
            "So it was, and if it was not so, it ought to have been.",
            "And {hero} lived happily, with muddy boots and many friends.",
        ),
    ),
    Voice(
        "bedside",
        (
            "Are you warm and comfortable? Then I will tell you about {hero}, {a:trait} {kind} who lived {place}.",
            "Put your head on the pillow and listen. Far away, {place}, lived {a:trait} {kind} called {hero}.",
            "You asked for a story, so here is one. It is about {a:trait} {kind} named {hero}, who lived {place}.",
        ),
        (
            "It is a tale in {count} chapters, so no yawning yet.",
            "I will tell it in {count} chapters, and then you will sleep.",
        ),
        (
            "Now close your eyes and picture it.",
            "Are you still awake? Then listen.",
            "No, you may not have a biscuit now.",
            "Move over a little, and I will go on.",
            "Yes, there is more.",
            "Your eyes are getting small, I can see it.",
            "Shall I stop? No, I thought not.",
            "This is the last one, my dear, I promise.",
        ),
        ("Are you listening? Then tell me this.",),
        ("Before I put out the light, let us see what you remember.", "Still awake? Then answer me."),
        (
            "Good night, and dream of {hero}.",
            "Now sleep well, and mind the edge of the bed.",
            "Sleep now, for even the {kind} is asleep.",
        ),
    ),
    Voice(
        "sailor",
        (
            "Pull up a barrel, shipmates. I once knew {a:trait} {kind} by the name of {hero}, who lived {place}.",
            "I have sailed round the world and back, and I never met anyone like {hero}, {a:trait} {kind} who "
            "lived {place}.",
            "Forty years I spent at sea, but my best yarn happened on land. "
            "There lived {place} {a:trait} {kind} called {hero}.",
        ),
        ("My yarn has {count} chapters, and every one is nearly true.", "It comes in {count} chapters, like waves."),
        (
            "It was like this, by my beard.",
            "Hold on to your hats, for here comes the next wave.",
            "Fill my mug, and I will go on.",
            "You may not believe this part.",
            "I swear on my anchor that it was so.",
            "The wind changed, as it will.",
            "Now mind the ropes and listen.",
            "One last wave, shipmates, and then the shore.",
        ),
        ("Are you asleep, shipmates? Then answer an old sailor.",),
        ("Now, shipmates, who was listening?", "My mug is empty, so it is your turn to talk."),
        (
            "That is my yarn, and there is hardly a knot in it.",
            "Fair winds to {hero}, and fair winds to you.",
            "Believe it or not, as you like, but it is late and the tide is turning.",
        ),
    ),
    Voice(
        "letter",
        (
            "Dear friend, this is {writer}, writing to you by candlelight. "
            "I must tell you about {hero}, {a:trait} {kind} who lives {place}.",
            "Dear friend, thank you for the socks. "
            "In return {writer} sends you the story of {hero}, {a:trait} {kind} {place}.",
            "Dear friend, it rains, and so {writer} has time to write to you. "
            "Did I ever mention {hero}? Imagine {a:trait} {kind} {place}.",
        ),
        ("It will be a letter in {count} chapters, so make some tea.", "I shall write it down in {count} chapters."),
        (
            "I shall begin at the beginning.",
            "I have sharpened my pencil, and here is more.",
            "The candle is shorter now, but I go on.",
            "Forgive the blot, the cat walked over the page.",
            "You will hardly believe what came next.",
            "I had to find more paper.",
            "My hand is tired, but you must hear this.",
            "And here is the last of my news.",
        ),
        ("I wonder whether you read with care, so tell me this.",),
        ("When you write back, answer me these.", "Let me see whether you have read every line."),
        (
            "Write soon. Yours as ever, {writer}.",
            "Give my love to your aunt. Your old friend, {writer}.",
            "Come and visit us, and bring cake. Yours, {writer}.",
        ),
    ),
    Voice(
        "chronicle",
        (
            "In the year of the {year} there lived {place} {a:trait} {kind} named {hero}.",
            "It is written in the town book that in the year of the {year} {a:trait} {kind} called {hero} lived "
            "{place}.",
            "Let it be recorded that {hero}, {a:trait} {kind}, lived {place} in the year of the {year}.",
        ),
        ("This record has {count} chapters.", "The events are set down here in {count} chapters."),
        (
            "Here the record begins.",
            "The record goes on with a fresh pen.",
            "On the next page we read this.",
            "The page is stained with tea, but one can read it.",
            "This is how it was set down.",
            "The writer of the record was there and saw it.",
            "Here somebody drew a duck in the margin.",
            "The last page is the best preserved.",
        ),
        ("In the margin someone has written a question.",),
        ("At the bottom of the page there are questions for the reader.", "Let the reader now be tested."),
        (
            "So ends the record of the year of the {year}.",
            "All this was seen, signed and sealed with candle wax.",
            "After that the book speaks only of turnips.",
        ),
    ),
    Voice(
        "witness",
        (
            "I met {hero} only once, {place}, and I have never forgotten that meeting. "
            "I saw {a:trait} {kind} with a story to tell.",
            "When I was small I had a neighbour called {hero}, {a:trait} {kind}. We lived {place}.",
            "I keep the post office, and so I hear everything. "
            "The best news is always about {hero}, {a:trait} {kind} who lives {place}.",
        ),
        ("I can tell it in {count} chapters.", "What I know fills {count} chapters."),
        (
            "I remember it as if it were yesterday.",
            "I was there for the next part as well.",
            "I had this from {hero}, over a cup of tea.",
            "I saw it from my window.",
            "My sister tells it differently, but she is wrong.",
            "I laughed about this for a week.",
            "I did not believe it at first either.",
            "After this I moved away, so it is my last memory.",
        ),
        ("I asked my sister this, and she did not know.",),
        (
            "People often ask me about it, and I always know the answers.",
            "I have forgotten many things, but not these.",
        ),
        (
            "If you ever meet {hero}, say hello from me.",
            "I still think of {hero} whenever it rains.",
            "I have told you all I know, and perhaps a little more.",
        ),
    ),
    Voice(
        "campfire",
        (
            "Come closer to the fire, for the night is cold. "
            "Here is the story of {hero}, {a:trait} {kind} who lived {place}.",
            "Listen, the birds have stopped calling. "
            "It is time for the story of {a:trait} {kind} called {hero}, who lived {place}.",
            "Put another log on the fire. My grandmother told me of {hero}, {a:trait} {kind} who lived {place}.",
        ),
        ("It is as long as {count} logs, and so it has {count} chapters.", "We have wood enough for {count} chapters."),
        (
            "My grandmother always began like this.",
            "Hand me a potato, and I will go on.",
            "That was a spark, nothing to be afraid of.",
            "Another log, please, and then the next part.",
            "Here my grandmother used to lower her voice.",
            "The moon is up now, and so is my story.",
            "Sit closer, for the fire is getting low.",
            "There is one log left, and one part of the story.",
        ),
        ("Who is still awake round the fire? Then tell me this.",),
        ("The fire is low, so let us see who was listening.", "Whoever can answer gets the last potato."),
        (
            "Now let us look at the stars and be quiet.",
            "Now pour water on the fire and go to your tents.",
            "So my grandmother told it, and she had it from {hero}.",
        ),
    ),
)
