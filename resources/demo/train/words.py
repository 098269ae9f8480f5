# SPDX-License-Identifier: Apache-2.0
"""The words of the demo texts, written for this project. Order matters: earlier words of a list are picked more often."""


def _w(text):
    return text.split()


def _p(text):
    return [part.strip() for part in text.strip().split(";") if part.strip()]


GIRLS = _w("""Mara Lina Tessa Ada Nora Ines Petra Wilma Sela Oda Greta Hanna Ruth Vera Zora Clara Dora Elin Frida Gwen Hilde Iris
Jana Karin Lotte Mina Nadia Olga Paula Quinn Rosa Sonja Tilda Ursa Viola Wanda Xenia Ylva Zelda Alma Berta Carla Delia Edda Fenna
Gisela Henny Ilka Judith Kaja Leonie Marlen Nell Orla Pia Renske Sigrid Thea Undine Valerie Wiebke Agnes Bianca Cora Daphne Esther
Flora Gerda Heidi Imke Joan Kira Luise Margit Naomi Ottilie Priya Regina Salome Tamsin Ulrike Vesna Winnie Yara Zoe Amira Brenda""")
BOYS = _w("""Tom Anton Bruno Emil Jonas Pavel Oskar Milo Felix Hugo Karl Leo Nils Otto Piet Ralf Simon Theo Ulf Viktor Walter Yann Arno
Bela Casper Dirk Edgar Frank Gustav Henrik Ivo Jakob Kaspar Lars Magnus Norbert Olaf Paul Quentin Rufus Sven Tobias Urs Vito Wim
Xaver Yuri Zeno Albert Boris Claus Dario Erwin Fabian Georg Hannes Igor Jasper Konrad Ludwig Martin Nico Orlando Philip Roland Stefan
Tilman Umberto Valentin Werner Alfred Bertram Colin Dennis Elias Florian Gregor Harald Ismael Joel Kurt Lorenz Moritz Nathan Oliver""")
FAMILIES = _w("""Brandt Keller Moss Tarn Holm Weber Stone Lund Fisk Marsh Vogel Sanders Quist Berger Dahl Ekman Falk Grau Hale Iversen Jansen
Krook Lindt Maier Noll Oster Pohl Rask Sommer Thorn Uhl Voss Winter Yardley Zander Ashby Birch Colby Darrow Elster Finch Garner Hobbs
Ingram Jessop Kemp Larkin Mercer Nolan Ormond Parrish Ridley Selby Tanner Underhill Vance Whitby Arlen Bexley Crane Dunmore Easton""")
TOWNS = _w("""Elmsby Harrow Norwick Talford Brindle Osterby Lakeham Pinewood Vellin Marrow Graystone Tiverbrook Sandmere Ulmen Kastel Wexford
Dornach Fenwick Halden Ilmen Joffre Kelmar Lindow Merrin Nettleby Orsk Pelham Quarley Rosmar Stellin Thornby Upwell Varna Westmoor
Yarrow Zellin Amberly Birkholm Calder Draycott Eastvale Farnley Glenby Hollin Iversand Jarrow Kirkby Langsett Moorgate Northolt Oakley
Penrith Ravenby Saltash Tarnow Ulverly Vinestead Wharram Ashcombe Barrowby Cresswell Dunham Ellerton Fallowby Gristhorpe Hexley""")
RIVERS = _w("Ister Mulde Arren Vell Tamble Orle Sarn Wend Lome Brisk Calla Dorne Evel Fane Gree Hask Iller Jurn Kess Lorn Nidd Pell Ribb Swale")
COUNTRIES = _w("Norvania Belmark Tarsia Ostmar Galdia Ruvenia Calmora Destria Ilmara Fenland Pellonia Quistan Sorvia Veldt Zembria")
DAYS = _w("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = _w("January February March April May June July August September October November December")
SEASONS = _w("spring summer autumn winter")
COLOURS = _w("""red blue green yellow white black brown grey orange purple pink golden silver scarlet turquoise violet crimson beige ivory
amber maroon olive navy copper lilac teal indigo cream coral russet""")
MATERIALS = _w("wooden iron glass leather paper silver cotton stone copper woollen plastic silk clay brass linen tin velvet rubber marble bamboo steel wicker")
PETS = _w("dog cat horse goat parrot rabbit hen donkey hamster goose sheep turtle pony mouse duck canary ferret cow pigeon lizard lamb puppy kitten")
WILD = _w("""fox owl deer wolf bear hedgehog squirrel badger raven heron otter hare stork eagle beaver moose lynx frog toad bat swan crow falcon
weasel boar mole adder sparrow thrush magpie robin cuckoo seal whale dolphin salmon trout pike carp eel crab""")
PET_NAMES = _w("""Biscuit Pepper Shadow Muffin Button Tiger Patch Ginger Domino Pebble Rusty Nutmeg Comet Daisy Flint Olive Pickle Smoky Tango Wafer
Clover Bramble Sooty Marble Noodle Velvet Whisper Bandit Cricket Dusty Fudge Honey Jumper Mango Toffee Ziggy""")
CLOTHES = _w("hat coat scarf jacket cap dress shirt apron cloak sweater vest raincoat skirt uniform waistcoat tunic cardigan shawl poncho blouse")
OBJECTS = _w("""lamp box key basket bottle clock book chair cup drum bell mirror bucket ladder kite bag rope candle knife map suitcase violin
flute compass notebook telescope hammer lantern blanket umbrella pillow teapot kettle spoon fork plate bowl jar tray broom shovel rake saw
needle thimble ribbon wallet purse ring necklace bracelet brooch whistle trumpet guitar piano cello accordion harp camera radio telephone
letter stamp envelope pencil brush easel canvas statue vase pitcher barrel crate trunk drawer cupboard shelf table bench stool cradle
wheel pulley anchor oar sail net hook spear shield helmet crown sword arrow bow puppet doll marble balloon puzzle dice chessboard card
thermometer barometer microscope scale abacus hourglass calendar globe atlas magnet battery torch matchbox toolbox wrench chisel pliers""")
SMALL = _p("""apples; pears; coins; marbles; stamps; eggs; books; nuts; buttons; shells; candles; cards; plums; pencils; keys; stones; beads; tickets;
cherries; carrots; potatoes; lemons; roses; postcards; feathers; nails; acorns; figs; bottles; jars; bricks; tulips; onions; peaches;
ribbons; spoons; badges; biscuits; chestnuts; melons; radishes; oranges; corks; mushrooms; bulbs; tiles; sacks; boxes; loaves; letters""")
JOBS = _w("""teacher baker farmer doctor sailor painter carpenter nurse gardener miller tailor blacksmith librarian postman clockmaker fisherman
pilot engineer cook shepherd potter weaver printer lawyer judge driver musician dancer actor sculptor chemist surveyor astronomer
mechanic mason plumber locksmith florist butcher grocer jeweller glazier cobbler brewer beekeeper forester miner porter steward captain
detective journalist photographer translator architect dentist pharmacist bookbinder watchman ferryman cartographer geologist botanist""")
PLACES = _w("""market library station harbour school church bakery park bridge museum garden mill theatre castle hospital square forest
lighthouse orchard meadow workshop inn tower cellar attic kitchen stable barn quarry beach cinema hotel office factory post-office
courtyard cemetery vineyard greenhouse observatory bookshop pharmacy chapel palace fortress village swamp valley cliff cave island""")
TRAITS = _w("""kind clever quiet patient brave careful cheerful stubborn honest curious shy proud gentle lazy busy strict generous clumsy polite
restless friendly serious thoughtful nervous greedy humble noisy lonely witty calm modest bold strange loyal forgetful hopeful
tidy wise jealous sleepy grumpy dreamy skilful tireless cautious ambitious sincere moody charming sensible daring reliable""")
FEELINGS = _w("happy tired sad angry hungry surprised proud worried glad relieved nervous bored excited thirsty cold afraid ashamed grateful confused content")
ADJECTIVES = _w("""old small big new heavy broken long round empty beautiful strange warm cold dark bright dusty narrow deep soft sharp rusty clean
wet dry tall thin thick hollow smooth rough cheap precious rare plain painted polished faded crooked tiny huge ancient modern fragile
sturdy simple curious famous forgotten hidden secret borrowed favourite second-hand foreign square striped spotted cracked shiny""")
ADVERBS = _w("""slowly quickly quietly carefully suddenly gladly softly loudly patiently happily finally politely gently proudly nervously eagerly
silently bravely kindly sadly angrily calmly wearily cheerfully secretly clumsily solemnly hastily neatly firmly honestly""")
TRANSITIVE = [tuple(x.split("/")) for x in _w("""carry/carried find/found buy/bought sell/sold clean/cleaned repair/repaired hide/hid lose/lost
paint/painted borrow/borrowed bring/brought take/took keep/kept lift/lifted open/opened polish/polished drop/dropped wrap/wrapped
examine/examined draw/drew steal/stole wash/washed break/broke burn/burned hold/held inspect/inspected admire/admired measure/measured
collect/collected return/returned push/pushed pull/pulled throw/threw catch/caught choose/chose order/ordered deliver/delivered
discover/discovered remember/remembered forget/forgot describe/described photograph/photographed sketch/sketched replace/replaced""")]
MOTION = [tuple(x.split("/")) for x in _w("""walk/walked run/ran go/went ride/rode travel/travelled hurry/hurried return/returned march/marched
wander/wandered drive/drove climb/climbed sail/sailed cycle/cycled stroll/strolled rush/rushed limp/limped creep/crept""")]
SPEECH = _w("said asked answered whispered shouted replied explained added called murmured laughed sighed insisted suggested admitted")
FOODS = _w("""bread soup cheese cake rice fish stew porridge salad pie pasta honey butter jam yoghurt pancakes sausage ham omelette dumplings
noodles pudding chocolate toast waffles beans lentils corn pickles custard gingerbread strudel goulash risotto broth""")
DRINKS = _w("tea coffee milk water juice cocoa lemonade cider wine beer broth")
VEGETABLES = _p("""onions; carrots; potatoes; tomatoes; mushrooms; leeks; peas; beans; turnips; cabbages; beetroots; parsnips; peppers; courgettes;
radishes; shallots; celery sticks; aubergines; pumpkins; spring onions; cucumbers; artichokes""")
POWDERS = _p("flour; sugar; salt; pepper; rice; oats; cocoa; cinnamon; semolina; barley; paprika; nutmeg; yeast; ginger; lentils; cornmeal; raisins; almonds; breadcrumbs; poppy seeds")
LIQUIDS = _p("water; milk; cream; vegetable oil; olive oil; stock; cider vinegar; lemon juice; apple juice; buttermilk; syrup; soy sauce; melted butter; coconut milk; white wine")
HERBS = _w("parsley dill thyme basil chives mint sage rosemary oregano coriander tarragon lovage marjoram sorrel")
VEHICLES = _w("train bus boat tram car bicycle cart lorry ferry carriage sledge wagon barge motorcycle tractor steamer balloon van")
TREES = _w("oak birch pine beech willow maple chestnut linden poplar ash elm spruce larch cedar alder hazel rowan walnut cherry apple")
FLOWERS = _w("rose tulip daisy lily violet poppy primrose lavender sunflower dahlia aster iris crocus snowdrop marigold peony foxglove bluebell")
SUBJECTS = _w("history music geography chemistry painting astronomy grammar botany physics dancing geometry poetry sewing carpentry drawing Latin navigation")
SPORTS = _w("football chess swimming tennis fencing rowing skating archery cycling wrestling climbing hockey sailing cricket running")
KIN = _p("sister; brother; mother; father; aunt; uncle; cousin; grandmother; grandfather; neighbour; daughter; son; niece; nephew; friend; teacher")
KIN_SHE = {"sister", "mother", "aunt", "grandmother", "daughter", "niece"}
KIN_HE = {"brother", "father", "uncle", "grandfather", "son", "nephew"}
SKY = _p("clear; cloudy; overcast; foggy; sunny; stormy; hazy; rainy; misty; bright; gloomy; windy; dull; changeable")
WINDS = _w("north south east west north-east north-west south-east south-west")
PRECIPITATION = _p("light rain; heavy rain; snow; sleet; hail; drizzle; scattered showers; thunderstorms; freezing rain; no rain")
SERVICES = _w("mailer scheduler gateway indexer backup billing search cache auth importer exporter monitor worker proxy storage updater archive router")
FAILURES = _p("""connection refused; disk full; timeout; permission denied; checksum mismatch; file not found; out of memory; invalid request; queue overflow;
certificate expired; lock held by another process; unexpected end of input; unknown host; version conflict""")
GREETINGS = _p("Good morning; Hello; Good evening; Good afternoon; Welcome back; Hi; How are you; Nice to see you")
MORALS = _p("""patience is worth more than gold; a promise must be kept; help often comes from the smallest friend; what is lost can be found again;
it is better to ask than to guess; two pairs of hands are better than one; a good plan saves a long walk; honest words travel far;
nobody is too old to learn; the shortest road is not always the quickest; kindness costs nothing; good work takes time""")
UNITS = _w("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty")
TENS = _w("zero ten twenty thirty forty fifty sixty seventy eighty ninety")
ORDINALS = _w("first second third fourth fifth sixth seventh eighth ninth tenth")
SHAPES = [("triangle", 3), ("square", 4), ("pentagon", 5), ("hexagon", 6), ("octagon", 8), ("rectangle", 4), ("heptagon", 7)]
REASONS = _p("""it was too heavy; the weather was bad; nobody had asked; there was no time; it belonged to somebody else; the door was locked; the price was too high;
the road was closed; it reminded everyone of home; the light was fading; the bell had rung; the shop was closed; the map was wrong;
the water was too deep; the clock had stopped; the letter had arrived late""")
ABSTRACT = _w("""courage freedom silence memory luck order beauty friendship knowledge justice music truth weather language distance balance colour
number wonder danger comfort harmony energy pressure gravity light sound motion""")
