"""The closed lists by which :mod:`flmm.chat.words` splits English, and what :mod:`flmm.chat.phrases` leaves out.

All in lower case. Open classes have only the words that descriptions of images use often.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PRONOUNS = _words("""
    i you he she it we they me him us them mine yours hers ours theirs myself yourself himself herself itself
    ourselves yourselves themselves this that these those there here who whom whose which what someone somebody
    something anyone anybody anything everyone everybody everything nobody nothing none one ones another other
    others each either neither both all few many more most several some any it's he's she's that's there's here's
    what's who's they're we're you're i'm i've they've we've you've let's
""")
"""Also words that are pronouns only when they stand alone, such as 'others'."""

DETERMINERS = _words("""
    a an the this that these those my your his her its our their some any no every each either neither both all
    another other several many few more most much various numerous multiple enough such
""")

NUMBERS = _words("""
    one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty hundred hundreds thousand dozen dozens
""")

PLACES = _words("""
    left right top bottom upper lower middle center centre central side sides corner corners edge edges front back
    rear foreground background midground distance far end ends left-hand right-hand top-left top-right bottom-left
    bottom-right very same opposite immediate whole entire
""")
"""Words of phrases that only say where something is: 'the upper left corner'."""

ABOUT_THE_PICTURE = _words("""
    image images picture pictures photo photos photograph photographs scene scenes snapshot view close-up closeup
    composition description caption depiction overview atmosphere ambiance ambience mood
""")
"""Phrases that end so speak of the picture as a whole: 'this black and white photo'."""

MEASURES = _words('lot lots variety number kind kinds type types sort sorts bit')
"""Words of phrases that only measure what follows: 'a lot' of people."""

NOUNS_BEFORE_VERBS = _words("""
    light lights sign signs stop park parks match matches board boards line lines top tops face faces drink
    drinks cover covers frame frames type types wave waves ski skis view views dress dresses set sets dish dishes
    smoke snow splash spray stack stacks cut cuts pose bite bites lift feature plane picture paint
""")
"""Verbs that are nouns as often: nouns behind another noun, unless a determiner follows ('a fence lines the road')."""

MODIFIERS_OR_NOUNS = _words("""
    light orange plastic brick concrete adult male female square circle gold silver half front back rear top bottom
    left right
""")
"""Adjectives that are nouns behind a noun: 'a traffic light'."""

PLURALS = _words('people men women children police sheep cattle deer geese feet teeth mice fish')
"""Plurals that do not end in -s."""

PREPOSITIONS = _words("""
    of in on at by with from to into onto upon over under above below beneath underneath beside besides between
    among amongst amid behind before after against along alongside across around about through throughout toward
    towards near within without inside outside off up down out for as like than per via during until since beyond
    past despite except including featuring containing atop next opposite amidst
""")

CONJUNCTIONS = _words("""
    and or but nor yet so because although though while whereas if unless when whenever where wherever whether why
    how then however therefore plus
""")

BE_AND_MODALS = _words("""
    is are was were be been being am do does did can could may might must shall should will would isn't aren't
    wasn't weren't doesn't don't didn't can't cannot couldn't won't wouldn't
""")
"""A participle behind one of these is part of the verb: 'is painted'."""

COPULAS = _words("""
    is are was were be been being isn't aren't wasn't weren't seem seems appear appears look looks remain remains
    feel feels
""")
"""What an adjective may follow alone: 'seems intact'."""

HAVE = _words("has have had having hasn't haven't hadn't")
"""A participle behind one of these may stand before a noun: 'has painted walls'."""

ADVERBS = _words("""
    not also just only even still already always never often sometimes usually perhaps maybe
    together away apart alone ahead nearby upside indoors outdoors overhead underway well again
    perfectly there here now once else otherwise instead meanwhile overall additionally furthermore moreover
    somewhere everywhere further farther forward backward backwards forwards
""")

INTENSIFIERS = _words('very quite rather too so extremely fairly pretty almost nearly most more less')
"""Adverbs that stand within a phrase, before an adjective: 'a very small dog'."""

ADJECTIVES = _words("""
    red blue green yellow brown black white grey gray orange pink purple violet golden gold silver beige tan maroon
    turquoise teal navy dark light bright pale vivid colorful colourful multicolored transparent clear big large
    huge small little tiny short tall long wide narrow thin thick high low deep shallow giant massive enormous
    medium full empty half old young new elderly ancient modern vintage antique classic rustic round square
    rectangular circular oval flat curved straight sharp wet dry hot cold warm cool cloudy sunny rainy snowy foggy
    windy muddy dusty dirty clean grassy sandy rocky leafy wooden metallic plastic brick concrete happy sad serious
    busy quiet calm lively cozy beautiful pretty nice lovely cute fresh ripe raw soft hard smooth rough shiny fluffy
    furry hairy bald blond blonde brunette curly open closed visible available similar different same single double
    various main additional professional traditional casual formal urban rural residential public male female adult
    asleep awake alone alive fast slow heavy strong fuzzy blurry distant lush dense bare barefoot shirtless front
    back rear upper lower left right top bottom middle central far near opposite larger bigger smaller taller
    shorter longer wider lighter darker brighter older younger higher closer vibrant rich faint elegant ornate
    intricate decorative picturesque scenic serene peaceful overcast shy scared relaxed focused curious attentive
    alert short-sleeved long-sleeved well-lit unique distinct simple complex typical certain specific natural first
    second third last next own whole entire
""")

NOUNS_IN_ING = _words("""
    building buildings ceiling ceilings painting paintings clothing wing wings ring rings string strings king thing
    things railing railings evening morning awning awnings frosting icing earring earrings lighting wedding sibling
    siblings drawing drawings flooring siding stuffing dressing spring lightning sling swing swings duckling
    ducklings dumpling dumplings crossing opening seating carving carvings marking markings piping topping toppings
    filling sterling scaffolding bedding lettering surroundings belongings greeting stocking stockings covering
""")
"""Nouns that end as verbs do. Verbs, too, where a determiner follows: 'crossing the street'."""

HEADS_OF_ING = _words("""
    lot lots meter meters garage garages space spaces room rooms area areas table tables pool pools trunks cart
    carts mall bag bags machine machines board boards pan pans pin pole poles rod rods boat boats boots shoes suit
    suits gear stick sticks trail trails path paths field fields cards paper chair chairs station desk sheet tray
    wheels gum
""")
"""What a word in -ing is no verb before: 'parking lot', 'cutting board'."""

# Nouns that end as participles, adverbs and adjectives do.
NOUNS_IN_ED = _words('bed beds shed sheds seed weed reed sled need breed feed speed steed bobsled flatbed red')
NOUNS_IN_LY = _words('family lily belly fly butterfly jelly trolley dragonfly ally assembly')
NOUNS_WITH_ENDINGS_OF_ADJECTIVES = _words("""
    table tables cable vegetable stable timetable olive drive dive hive archive native relative detective executive
    locomotive picnic music traffic fabric attic graphic mosaic ceramic comic topic clinic mechanic critic relic
    garlic plastic dish fish finish radish jellyfish starfish goldfish catfish handful mouthful fistful spoonful
""")
# Adjectives that end as adverbs do.
ADJECTIVES_IN_LY = _words('friendly lovely elderly curly early lively lonely ugly likely bubbly hilly wooly woolly')

VERBS = _words("""
    accompany add adorn aim allow appear approach arrange arrive ask attach attempt balance bathe be begin bend bite
    blow board bounce break bring browse brush build burn bury buy call capture carry cast catch celebrate chase
    chat check chew clap climb cling close combine come compete connect consist contain contribute converse cook
    cover create cross crouch cut dance decorate depict describe dine dip direct display dive drag draw dress drift
    drink drip drive dry eat emerge emphasize enclose engage enjoy enter evoke examine exhibit extend face fall
    feature feed feel fill fix flap float flow fly focus follow form frame gallop gather gaze get give glance gleam
    glide glow go grab graze greet grin grind grip grow guide hang happen have head hear help herd highlight hit
    hold hover hug include indicate interact invite involve jog join jump keep kick kiss kneel know laugh launch lay
    lead lean leap learn leave let lick lie lift light line listen load locate look lounge make march match meet
    melt mix mount move navigate observe occupy offer open overlook paint park pass pause peek perch perform pet
    pick place play point portray pose position pour practice prepare present press produce pull push put race raise
    reach read rear receive reflect relax remain represent resemble rest reveal ride rise roam roll rub run sail say
    scatter see seem sell serve set shake share shine show showcase sign sing sip sit skate skateboard ski sleep
    slide smell smile smoke sniff snow soar speak spin splash sprawl spray spread sprinkle squat stack stand stare
    start stay steer step stop stretch strike stroll suggest support surf surround swim swing take talk teach tell
    tend tether think throw tie top touch tow travel try turn type use vary view visit wade wait wake walk want wash
    watch wave wear welcome wheel wield work wrap write yawn crash curl dangle dominate hop hurl lurk peer peck loom
    nap nestle nibble pedal sway trot tilt toss wag wander weave zoom accentuate bark bask block boast border blend blur
    complement contrast convey denote distort embed encircle enhance flank glisten host illuminate imply jut lap
    obscure operate provide protrude signify soften symbolize tower
""")
"""In the form of the present; endings in -s, -ing and -ed follow from it or from the word itself."""

IRREGULAR_PASTS = _words("""
    ate began bent bit blew broke broken brought built bought came caught chosen cut did done drank drawn drew
    driven drove dug eaten fallen fed fell felt flew flown fought found frozen gave given gone got grew grown held
    hidden hit hung kept knelt laid lain lay led left lent lit lost made meant met paid put ran ridden rode rose sat
    saw seen sent set shone shook shown shut slept slid sold sought spent split spread spun stood stolen struck
    stuck sung swept swum swung taken taught thrown threw told took torn went woke won wore worn wound woven written
    wrote
""")


def _third_person(verb: str) -> str:
    if verb.endswith(('s', 'x', 'z', 'ch', 'sh', 'o')):
        return f'{verb}es'
    return f'{verb[:-1]}ies' if verb.endswith('y') and verb[-2] not in 'aeiou' else f'{verb}s'


THIRD_PERSONS = frozenset(map(_third_person, VERBS))
