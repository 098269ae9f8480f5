# SPDX-License-Identifier: Apache-2.0
"""The kinds of document the demo texts consist of. Each function writes one document; GENRES gives their frequencies."""
import words as w


def _tools():
    import grammar
    return grammar


def story(g):
    t = _tools()
    a, b = t.people(g, 2)
    kin = g.pick([k for k in w.KIN if not (k in w.KIN_SHE and not b.she) and not (k in w.KIN_HE and b.she)])
    place, other = g.several(w.PLACES, 2)
    lost = a.thing
    s = []
    s.append(g.any(
        f"{a.name} was {t.article(a.trait + ' ' + a.job)} who lived in {a.town} with {a.his} {a.pet} {a.petName}.",
        f"Once there was {t.article(a.trait + ' ' + a.job)} called {a.name}. {a.He} lived near the {place} in {a.town} and had {t.article(a.pet)} named {a.petName}.",
        f"In {a.town}, not far from the river {g.pick(w.RIVERS)}, lived {t.article(a.job)} whose name was {a.name}. {a.His} {a.pet}, {a.petName}, went everywhere with {a.him}."))
    s.append(g.any(
        f"{a.He} always wore {t.article(a.clothes)} and kept {t.article(lost)} in the {place}.",
        f"Everybody knew {a.him} by {a.his} {a.clothes}, and {a.he} was very fond of {t.article(lost)} that {a.his} {kin} {b.name} had given {a.him}.",
        f"Of all {a.his} things {a.he} liked {t.article(lost)} best."))
    if b.name not in " ".join(s):
        s.append(f"{a.His} {kin} {b.name} was {t.article(b.job)} in {b.town}.")
    s.append(g.any(f"One {g.pick(w.DAYS)} morning in {g.pick(w.MONTHS)}", f"One {g.pick(w.SKY)} day in {g.pick(w.SEASONS)}", f"One evening, after {a.food} and {a.drink},")
             .rstrip(",") + f", {a.name} looked for the {lost}, but it was gone.")
    s.append(g.any(f"{a.He} felt {g.pick(w.FEELINGS)}.", f"\"Where is my {lost}?\" {a.he} {g.pick(w.SPEECH)} {g.pick(w.ADVERBS)}.",
                   f"\"Somebody must have taken the {lost},\" {a.he} {g.pick(w.SPEECH)}."))
    verb = g.pick(w.MOTION)[1]
    s.append(f"So {a.name} put on the {a.clothes}, called {a.petName} the {a.pet} and {verb} to the {other}.")
    if g.chance(0.6):
        c = t.Person(g, [a.name, b.name])
        s.append(f"There {a.he} met {t.article(c.trait + ' ' + c.job)} named {c.name}. \"Have you seen {t.article(lost)}?\" {g.pick(w.SPEECH)} {a.name}. "
                 + g.any(f"\"No,\" {c.name} {g.pick(w.SPEECH)}, \"but ask {b.name}.\"", f"\"Yes,\" {c.name} {g.pick(w.SPEECH)}, \"{b.name} has it.\"",
                         f"{c.name} shook {c.his} head and {g.pick(w.TRANSITIVE)[1]} {c.his} {c.thing}."))
    s.append(g.any(f"In the end it was {a.petName} who found the {lost} behind {t.article(g.pick(w.MATERIALS) + ' ' + g.pick(w.OBJECTS))}.",
                   f"At last {b.name} came along with the {lost} in {b.his} hands. {b.He} had {g.any('borrowed', 'found', 'repaired', 'cleaned', 'painted')} it because {g.pick(w.REASONS)}.",
                   f"Finally {a.he} saw the {lost} under a {g.pick(w.TREES)} tree, where {t.article(g.pick(w.WILD))} had hidden it."))
    s.append(g.any(f"{a.name} was {g.pick(w.FEELINGS)}, and {a.petName} got {t.article(g.any('big', 'small', 'large'))} piece of {a.food}.",
                   f"{a.name} thanked {b.name} and took the {lost} home to {a.town}.", f"From that day on {a.name} never let the {lost} out of {a.his} sight."))
    if g.chance(0.4):
        s.append(f"And the {a.job} of {a.town} learned that {g.pick(w.MORALS)}.")
    return " ".join(s)


def dialogue(g):
    t = _tools()
    a, b = t.people(g, 2)
    day, later = g.several(w.DAYS, 2)
    hour = g.number(6, 11)
    place = g.pick(w.PLACES)
    lines = [f"\"{g.pick(w.GREETINGS)}, {b.name},\" said {a.name}.",
             f"\"{g.pick(w.GREETINGS)}, {a.name},\" {g.pick(w.SPEECH)} {b.name}. \"Are you going to the {place} on {day}?\""]
    if g.chance(0.5):
        lines += [f"\"Yes,\" {a.name} {g.pick(w.SPEECH)}, \"I want to {g.pick(w.TRANSITIVE)[0]} {t.article(a.thing)} there. Will you come with me?\"",
                  f"\"On {day} I have to {g.pick(w.TRANSITIVE)[0]} my {b.thing},\" {g.pick(w.SPEECH)} {b.name}, \"but on {later} I am free.\"",
                  f"\"Then let us meet at the {place} on {later} at {t.spell(hour)} o'clock.\""]
        day = later
    else:
        lines += [f"\"No,\" {a.name} {g.pick(w.SPEECH)}, \"because {g.pick(w.REASONS)}. What about you?\"",
                  f"\"I shall take the {b.vehicle} and be at the {place} at {t.spell(hour)} o'clock. I need {t.article(b.thing)}.\"",
                  f"\"I am {g.pick(w.FEELINGS)} to hear it. Bring some {a.food} for me!\""]
    if g.chance(0.6):
        lines.append(f"\"How is {b.petName}, your {b.pet}?\" asked {a.name}.")
        lines.append(f"\"{b.petName} is {g.pick(w.FEELINGS)} today,\" {b.name} {g.pick(w.SPEECH)} {g.pick(w.ADVERBS)}. \"My {b.pet} likes {b.food} more than anything.\"")
    lines.append(f"So on {day} at {t.spell(hour)} o'clock " + g.any(f"{b.name} stood in front of the {place}.", f"{b.name} waited at the {place} with {b.petName} the {b.pet}.")
                 if b.petName in " ".join(lines) else f"So on {day} at {t.spell(hour)} o'clock {b.name} stood in front of the {place}.")
    return "\n".join(lines)


def facts(g):
    t = _tools()
    town, neighbour = g.several(w.TOWNS, 2)
    river, land, trade = g.pick(w.RIVERS), g.pick(w.COUNTRIES), g.pick(w.JOBS)
    founded = g.number(1100, 1890)
    later = founded + g.number(1, 9) * 10
    people = g.number(12, 990) * 100
    far = g.number(3, 95)
    building, second = g.several(w.PLACES, 2)
    colour, extra = g.several(w.COLOURS, 2)
    s = [f"{town} is a town in {land} with {people // 1000},{people % 1000:03d} inhabitants." if people >= 1000 else f"{town} is a town in {land} with {people} inhabitants.",
         f"It lies on the river {river}, {far} kilometres {g.pick(w.WINDS)} of {neighbour}.",
         f"{town} was founded in {founded}, and the {building} was built {later - founded} years later, in {later}.",
         f"Most people there work as {trade}s, and the flag of {town} is {colour} and {extra}.",
         f"In {g.pick(w.MONTHS)} the people of {town} celebrate the day of the {trade}, when everybody wears {colour}.",
         f"The {second} is known for its {t.thing(g)}."]
    tail = [f"The distance from {neighbour} to {town} is {far} kilometres.", f"The river of {town} is the {river}.",
            f"The capital of {land} is not {town}.", f"The {building} of {town} dates from {later}."]
    return " ".join(s[:3] + [x for x in s[3:] if g.chance(0.7)] + [x for x in g.shuffled(tail) if g.chance(0.5)])


def countingProblem(g):
    t = _tools()
    a, b = t.people(g, 2)
    what = g.pick(w.SMALL)
    n = g.number(5, 60)
    s = [f"{a.name} has {t.spell(n)} {what}."]
    for _ in range(g.number(1, 4)):
        k = g.number(1, 12)
        if g.chance(0.5) and n - k > 0:
            n -= k
            s.append(g.any(f"{a.He} gives {t.spell(k)} to {b.name}.", f"{a.He} loses {t.spell(k)} of them.", f"{a.He} sells {t.spell(k)} {what}."))
        else:
            n += k
            s.append(g.any(f"{a.He} buys {t.spell(k)} more.", f"{b.name} gives {a.him} {t.spell(k)} {what}.", f"{a.He} finds {t.spell(k)} more in the {g.pick(w.PLACES)}."))
        if g.chance(0.45):
            s.append(f"Now {a.he} has {t.spell(n)}.")
    s.append(f"How many {what} does {a.name} have? {a.name} has {t.spell(n)} {what}.")
    return " ".join(s)


def sums(g):
    lines = []
    kind = g.number(0, 3)
    if kind == 0:
        for _ in range(g.number(3, 7)):
            x, y = g.number(1, 60), g.number(1, 39)
            lines.append(f"{x} + {y} = {x + y}")
    elif kind == 1:
        for _ in range(g.number(3, 7)):
            x = g.number(10, 99)
            y = g.number(1, x)
            lines.append(f"{x} - {y} = {x - y}")
    elif kind == 2:
        x = g.number(2, 12)
        lines.append(f"The table of {x}:")
        lines += [f"{i} times {x} is {i * x}." for i in range(1, g.number(5, 11))]
    else:
        x, step = g.number(1, 40), g.number(2, 9)
        lines.append(f"Counting up from {x} in steps of {step}: " + ", ".join(str(x + step * i) for i in range(g.number(6, 12))) + ".")
    return "\n".join(lines)


def weather(g):
    t = _tools()
    town = g.pick(w.TOWNS)
    day = g.number(0, 6)
    month = g.pick(w.MONTHS)
    date = g.number(1, 26)
    high = g.number(-8, 33)
    low = high - g.number(3, 12)
    wind = g.pick(w.WINDS)
    s = [f"Weather report for {town}, {w.DAYS[day]}, {date} {month}.",
         f"The morning will be {g.pick(w.SKY)} with {g.pick(w.PRECIPITATION)}; in the afternoon it will be {g.pick(w.SKY)}.",
         f"The temperature will rise from {low} °C to {high} °C.",
         f"The wind blows from the {wind} at {g.number(1, 15) * 5} kilometres per hour."]
    for i in range(1, g.number(2, 4)):
        change = g.number(-5, 5)
        high += change
        trend = "no change" if change == 0 else f"{t.spell(abs(change))} degrees {'warmer' if change > 0 else 'colder'}" if abs(change) > 1 else f"one degree {'warmer' if change > 0 else 'colder'}"
        s.append(f"{w.DAYS[(day + i) % 7]}, {date + i} {month}: {g.pick(w.SKY)}, {trend}, up to {high} °C.")
    if g.chance(0.5):
        s.append(f"People in {town} should take {t.article(g.pick(w.CLOTHES))} with them.")
    return " ".join(s)


def recipe(g):
    t = _tools()
    dish = g.pick(w.FOODS)
    vegetables = g.several(w.VEGETABLES, g.number(1, 2))
    powders = g.several(w.POWDERS, g.number(1, 3))
    liquid = g.pick(w.LIQUIDS)
    herb = g.pick(w.HERBS)
    minutes = g.number(2, 18) * 5
    persons = g.number(2, 8)
    vessel = g.any("pot", "pan", "bowl", "dish", "tray", "casserole")
    lines = [f"{t.upper(vegetables[0])} {dish} for {t.spell(persons)} persons", "You need:"]
    lines += [f"- {g.number(2, 9)} {v}" for v in vegetables]
    lines += [f"- {g.number(1, 20) * 25} g of {p}" for p in powders]
    lines += [f"- {g.number(1, 9) * 100} ml of {liquid}", f"- some {herb}"]
    steps = [f"{g.any('Wash', 'Peel', 'Clean')} the {t.join(vegetables)} and cut them into {g.any('small', 'thin', 'thick', 'large')} {g.any('pieces', 'slices', 'cubes')}.",
             f"Put the {t.join(powders)} into the {vessel} and stir in the {liquid}.",
             f"Add the {vegetables[0]}" + (f", then the {vegetables[1]}" if len(vegetables) > 1 else "") + f", and cook everything for {minutes} minutes.",
             f"Sprinkle the {herb} over the {dish} and serve it {g.any('hot', 'warm', 'cold')} with {g.pick(w.DRINKS)}."]
    lines += [f"{i}. {s}" for i, s in enumerate(steps, 1)]
    lines.append(f"The {dish} is ready after {minutes + g.any(5, 10, 15)} minutes." if g.chance(0.5) else f"Enough for {t.spell(persons)}.")
    return "\n".join(lines)


def log(g):
    year, month, day = g.number(2015, 2025), g.number(1, 12), g.number(1, 28)
    hour, minute, second = g.number(0, 22), g.number(0, 50), g.number(0, 50)
    service = g.several(w.SERVICES, g.number(1, 3))
    job = g.number(100, 9000)
    lines = []
    for _ in range(g.number(4, 10)):
        second += g.number(1, 15)
        if second >= 60:
            second, minute = second - 60, minute + 1
        if minute >= 60:
            minute, hour = minute - 60, hour + 1
        name = g.pick(service)
        level = g.random.choices(["INFO", "WARN", "ERROR", "DEBUG"], [6, 2, 1, 1])[0]
        if level == "INFO":
            message = g.any(f"job {job} started", f"job {job} finished in {g.number(1, 900)} ms", f"job {job} queued")
            job += message.endswith("ms")
        elif level == "DEBUG":
            message = f"cache holds {g.number(1, 99)} entries"
        else:
            message = f"job {job} {'retries' if level == 'WARN' else 'failed'}: {g.pick(w.FAILURES)}"
        lines.append(f"{year}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{second:02d} {level} {name}: {message}")
    return "\n".join(lines)


def orderedList(g):
    t = _tools()
    a = t.Person(g)
    things = []
    while len(things) < g.number(4, 7):
        item = t.thing(g)
        if item not in things:
            things.append(item)
    lines = [g.any(f"{a.name} packs for the journey to {a.town}:", f"What {a.name} bought at the {g.pick(w.PLACES)}:", f"Lost property, {g.pick(w.DAYS)}:")]
    lines += [f"{i}. {t.article(item)}" for i, item in enumerate(things, 1)]
    for index in g.random.sample(range(len(things)), 2):
        lines.append(f"The {w.ORDINALS[index]} thing on the list is the {things[index]}.")
    lines.append(f"There are {t.spell(len(things))} things on the list; the last one is the {things[-1]}.")
    return "\n".join(lines)


def letter(g):
    t = _tools()
    a, b = t.people(g, 2)
    date, month, year = g.number(1, 28), g.pick(w.MONTHS), g.number(1880, 2024)
    s = [f"{a.town}, {date} {month} {year}", f"Dear {b.name},",
         g.any(f"thank you for the {b.thing} that arrived on {g.pick(w.DAYS)}.", f"I hope you and {b.petName} are well.", f"it has been {t.spell(g.number(2, 20))} weeks since your last letter.")
         + " " + g.any(f"Here in {a.town} the weather is {g.pick(w.SKY)}, and I spend my days learning {a.subject}.",
                       f"My {a.pet} {a.petName} is {g.pick(w.FEELINGS)} and sleeps in the {t.thing(g)}.",
                       f"Last week I {g.pick(w.TRANSITIVE)[1]} {t.article(t.thing(g))} for {t.spell(g.number(3, 90))} {g.any('crowns', 'coins', 'pounds', 'thalers')}."),
         f"Please come to {a.town} in {g.pick(w.SEASONS)}. We could go {g.any('to the ' + g.pick(w.PLACES), 'by ' + a.vehicle + ' to ' + g.pick(w.TOWNS))}, and you would taste my {a.food}. "
         + g.any(f"Do not forget your {b.clothes}!", f"Bring {b.petName} with you!", f"Write soon, because {g.pick(w.REASONS)} last time."),
         g.any("Yours truly,", "With love,", "Your friend,", "Kind regards,") + f"\n{a.name} {a.family}"]
    return "\n".join(s)


def questions(g):
    t = _tools()
    group = t.people(g, g.number(2, 4))
    ask = {"town": ("lives in {}", "Where does {} live?", "In {}."), "pet": ("has a {}", "Which animal does {} have?", "A {}."),
           "job": ("works as a {}", "What is the job of {}?", "The job is {}."), "clothes": ("wears a {}", "What does {} wear?", "A {}."),
           "food": ("likes {}", "What does {} like to eat?", "{}."), "subject": ("studies {}", "What does {} study?", "{}."),
           "age": ("is {} years old", "How old is {}?", "{} years."), "vehicle": ("travels by {}", "How does {} travel?", "By {}.")}
    keys = g.shuffled(ask)[:g.number(2, 3)]
    say = lambda k, p: t.spell(p.age) if k == "age" else getattr(p, k)
    told = [(p, k) for p in group for k in keys]
    fix = lambda x: x.replace(" a a", " an a").replace(" a e", " an e").replace(" a i", " an i").replace(" a o", " an o").replace("A o", "An o").replace("A i", "An i").replace("A a", "An a").replace("A e", "An e")
    lines = [" ".join(fix(f"{p.name} {ask[k][0].format(say(k, p))}.") for p, k in told)]
    for p, k in g.shuffled(told)[:g.number(2, 4)]:
        lines.append(f"Q: {ask[k][1].format(p.name)}")
        lines.append("A: " + fix(t.upper(ask[k][2].format(say(k, p)))))
    return "\n".join(lines)


def timetable(g):
    t = _tools()
    towns = g.several(w.TOWNS, g.number(3, 6))
    vehicle = g.pick(w.VEHICLES)
    number = g.number(10, 990)
    now = g.number(5 * 12, 19 * 12) * 5
    lines = [f"Timetable of {vehicle} {number} from {towns[0]} to {towns[-1]}"]
    start = now
    for i, town in enumerate(towns):
        verb = "leaves" if i == 0 else "arrives at" if i == len(towns) - 1 else "stops in"
        lines.append(f"{now // 60:02d}:{now % 60:02d} {verb} {town}")
        end = now
        now += g.number(2, 10) * 5
    lines.append(f"The {vehicle} from {towns[0]} to {towns[-1]} takes {end - start} minutes and stops {t.spell(len(towns) - 2)} {'time' if len(towns) == 3 else 'times'}.")
    return "\n".join(lines)


def ledger(g):
    t = _tools()
    a = t.Person(g)
    total = g.number(100, 500)
    lines = [f"Accounts of {a.name} {a.family}, {a.job} in {a.town}, {g.pick(w.MONTHS)} {g.number(1850, 2020)}", f"Start: {total}"]
    for _ in range(g.number(3, 7)):
        amount = g.number(1, 18) * 5
        if g.chance(0.5) and total > amount:
            total -= amount
            lines.append(f"paid {amount} for {t.article(t.thing(g))}, left {total}")
        else:
            total += amount
            lines.append(f"got {amount} for {t.spell(g.number(2, 30))} {g.pick(w.SMALL)}, left {total}")
    lines.append(f"End: {total}")
    return "\n".join(lines)


def alphabet(g):
    t = _tools()
    source, what = g.any((w.PETS, "animals"), (w.WILD, "animals"), (w.TREES, "trees"), (w.FLOWERS, "flowers"), (w.CLOTHES, "clothes"), (w.COLOURS, "colours"), (w.SUBJECTS, "subjects"))
    chosen = g.several(source, g.number(4, 7))
    s = [f"{t.upper(t.spell(len(chosen)))} {what}: {', '.join(chosen)}.", f"In the order of the alphabet: {', '.join(sorted(chosen, key=str.lower))}."]
    if g.chance(0.5):
        s.append(f"Backwards: {', '.join(reversed(chosen))}.")
    return " ".join(s)


def biography(g):
    t = _tools()
    a, b = t.people(g, 2)
    born = g.number(1500, 1950)
    apprenticeship, fame, age = g.number(12, 20), g.number(25, 45), g.number(50, 92)
    s = [f"{a.name} {a.family} ({born}-{born + age}) was {t.article(a.job)} from {a.town}.",
         f"{a.He} was born in {born} as the {g.any('only child', 'second child', 'youngest child')} of {t.article(b.job)}.",
         f"At the age of {t.spell(apprenticeship)}, in {born + apprenticeship}, {a.he} {g.any('left home', 'moved to ' + b.town, 'began to study ' + a.subject)}.",
         f"In {born + fame} {a.he} {g.any('invented', 'built', 'drew', 'described')} {t.article(a.thing)}, which made {a.him} famous in {g.pick(w.COUNTRIES)}.",
         f"{a.His} friend {b.name} {b.family} wrote: \"{a.name} was {g.pick(w.TRAITS)} and {g.pick(w.TRAITS)}, and {a.he} loved {a.sport} and {a.food}.\"",
         f"{a.family} taught that {g.pick(w.ABSTRACT)} and {g.pick(w.ABSTRACT)} belong together.",
         f"{a.He} died in {born + age} at the age of {t.spell(age)}."]
    return " ".join([s[0], s[1]] + [x for x in s[2:-1] if g.chance(0.75)] + [s[-1]])


def geometry(g):
    t = _tools()
    name, sides = g.any(*w.SHAPES)
    colour = g.pick(w.COLOURS)
    length = g.number(2, 15)
    s = [f"A {colour} {name} has {t.spell(sides)} corners."]
    if name == "rectangle":
        other = g.number(2, 15)
        s.append(f"Its sides are {length} and {other} metres long, so its area is {length * other} square metres.")
    else:
        s.append(f"Each side is {length} metres long, so the way around it is {sides * length} metres.")
    count = g.number(2, 5)
    s.append(f"{t.upper(t.spell(count))} such shapes have {t.spell(count * sides)} corners.")
    return " ".join(s)


def description(g):
    t = _tools()
    place = g.pick(w.PLACES)
    town = g.pick(w.TOWNS)
    a = t.Person(g)
    items = [t.thing(g) for _ in range(4)]
    s = [f"The {place} of {town} is {t.article(g.pick(w.ADJECTIVES))} place.",
         f"On the left stands {t.article(items[0])}, on the right {t.article(items[1])}.",
         f"Between the {items[0]} and the {items[1]} {g.any('lies', 'hangs', 'stands')} {t.article(items[2])}.",
         f"In {g.pick(w.SEASONS)} {g.any('a ' + g.pick(w.FLOWERS), 'a ' + g.pick(w.TREES))} grows near the door, and {t.article(g.pick(w.WILD))} sometimes visits the {place}.",
         f"{a.name}, {t.article(a.trait + ' ' + a.job)}, {g.pick(w.MOTION)[1]} through the {place} {g.pick(w.ADVERBS)} and {g.pick(w.TRANSITIVE)[1]} the {g.any(items[0], items[1], items[2])}.",
         f"\"I am {g.pick(w.FEELINGS)} here,\" {g.pick(w.SPEECH)} {a.name}, \"because this {place} reminds me of {a.town}.\""]
    return " ".join(s[:3] + [x for x in s[3:] if g.chance(0.75)])


GENRES = [(18, story), (10, dialogue), (9, facts), (8, countingProblem), (5, sums), (7, weather), (7, recipe), (5, log), (6, orderedList),
          (7, letter), (8, questions), (4, timetable), (4, ledger), (4, alphabet), (8, biography), (3, geometry), (8, description)]
