# SPDX-License-Identifier: Apache-2.0
"""Fixed sentences: 28 to compare in pairs, 2000 documents to search in, and 100 queries that say in other words what some
of the documents say."""

SENTENCES = """A man is playing a guitar.|Someone plays a musical instrument.|The cat sleeps on the warm windowsill.
A kitten naps in the sun.|The stock market fell sharply on Monday.|Shares dropped at the start of the week.
She is cooking pasta for dinner.|A woman prepares a meal in the kitchen.|The train to Berlin leaves at noon.
Our bus departs in the evening.|Researchers discovered a new species of frog.|Scientists found an unknown amphibian.
He forgot his umbrella and got wet in the rain.|It was pouring and he had nothing to cover himself with.
The museum is closed on public holidays.|You cannot visit the gallery on Christmas Day.
Water boils at one hundred degrees at sea level.|The boiling point depends on air pressure.
The children built a castle out of sand.|Kids were playing on the beach.|Quantum computers use superposition.
The recipe needs two eggs and a cup of flour.|My laptop battery lasts about six hours.|The senator gave a long speech.
Football fans celebrated in the streets all night.|The team won the championship after extra time.
A dog barks at the mail carrier every morning.|Solar panels turn sunlight into electricity."""
SENTENCES = [sentence for line in SENTENCES.splitlines() for sentence in line.split("|")]

# As documents put it, and as queries do.
WHO = """The old carpenter=a craftsman|My neighbour=the woman next door|A young doctor=a physician|The school teacher=an educator
The mayor of the town=a local politician|An astronaut=someone in space|The football coach=a sports trainer
A group of tourists=some travellers|The librarian=a keeper of books|A retired engineer=a pensioner who used to build machines
Our grandmother=an elderly relative|The fisherman=a man who catches fish|A street musician=a busker|The chef=a cook
Two police officers=the police|A biology student=someone who studies nature|The farmer=a person who works the land
A software developer=a programmer|The bus driver=someone who drives for a living|A journalist=a reporter"""
WHAT = """repaired a wooden chair=mended some furniture|bought fresh vegetables at the market=went shopping for food
wrote a letter to the newspaper=sent a written complaint to the press|learned to play the violin=took up a string instrument
lost the keys to the house=could not get in at the front door|found a wounded bird=rescued an injured animal
painted the fence blue=put colour on a wall around the garden|watched the eclipse of the sun=looked at a rare event in the sky
gave a speech about climate change=talked about global warming|cooked soup for thirty people=made a meal for a crowd
missed the last train=was stranded at the station|broke an arm while skiing=had an accident in the snow
planted apple trees=started an orchard|read a novel about pirates=enjoyed a book about the sea
won a prize in the lottery=became rich by chance|adopted a stray dog=took in a homeless pet
slept through the alarm=got up too late|flew a kite on the hill=played with the wind
fixed a leak in the roof=stopped water from dripping in|opened a small bakery=began to sell bread
took photographs of the waterfall=made pictures in nature|argued about the bill in a restaurant=quarrelled over the price of dinner
measured the temperature of the lake=collected data about water|trained for a marathon=prepared for a long run
built a robot from spare parts=put together a machine"""
WHEN = ["before sunrise", "on a rainy afternoon", "during the summer holidays", "while everybody else was at work"]


def pairs(text):
    return [entry.split("=") for line in text.splitlines() for entry in line.split("|")]


DOCUMENTS = [f"{who} {what} {when}." for who, _ in pairs(WHO) for what, _ in pairs(WHAT) for when in WHEN]
QUERIES = [f"{pairs(WHO)[i % 20][1].capitalize()} {pairs(WHAT)[i * 7 % 25][1]}." for i in range(100)]
