# SPDX-License-Identifier: Apache-2.0
"""Writes the demo texts: a probabilistic grammar of short documents in English.

Every document keeps facts to agree with later on (who has which animal, how many pears are left, which step comes next), so that
a model has something to gain from a long context. Documents depend on the seed only.
"""
import random

import words as w
from documents import GENRES


class Writer:
    """A source of random choices; earlier entries of a list are likelier, as in any natural vocabulary."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, entries):
        weights = self._weights(len(entries))
        return self.random.choices(entries, cum_weights=weights)[0]

    _cache = {}

    def _weights(self, count):
        if count not in self._cache:
            total, sums = 0.0, []
            for rank in range(count):
                total += 1.0 / (rank + 6) ** 0.8
                sums.append(total)
            self._cache[count] = sums
        return self._cache[count]

    def any(self, *entries):
        return self.random.choice(entries)

    def several(self, entries, count):
        chosen = []
        while len(chosen) < count:
            entry = self.pick(entries)
            if entry not in chosen:
                chosen.append(entry)
        return chosen

    def number(self, low, high):
        return self.random.randint(low, high)

    def chance(self, probability):
        return self.random.random() < probability

    def shuffled(self, entries):
        entries = list(entries)
        self.random.shuffle(entries)
        return entries


def article(phrase):
    return ("an " if phrase[0].lower() in "aeiou" and not phrase.startswith(("one", "uni", "eu")) else "a ") + phrase


def upper(sentence):
    return sentence[0].upper() + sentence[1:]


def join(entries):
    entries = list(entries)
    return entries[0] if len(entries) == 1 else ", ".join(entries[:-1]) + " and " + entries[-1]


def spell(number):
    """0..99 in words, other numbers in digits."""
    if 0 <= number <= 20:
        return w.UNITS[number]
    if number < 100:
        return w.TENS[number // 10] + ("" if number % 10 == 0 else "-" + w.UNITS[number % 10])
    return str(number)


class Person:
    """A character with the facts that later sentences come back to."""

    def __init__(self, g, taken=()):
        self.she = g.chance(0.5)
        self.name = g.pick(w.GIRLS if self.she else w.BOYS)
        while self.name in taken:
            self.name = g.pick(w.GIRLS if self.she else w.BOYS)
        self.family = g.pick(w.FAMILIES)
        self.job = g.pick(w.JOBS)
        self.town = g.pick(w.TOWNS)
        self.trait = g.pick(w.TRAITS)
        self.age = g.number(7, 90)
        self.pet = g.pick(w.PETS)
        self.petName = g.pick(w.PET_NAMES)
        self.clothes = g.pick(w.COLOURS) + " " + g.pick(w.CLOTHES)
        self.thing = thing(g)
        self.food = g.pick(w.FOODS)
        self.drink = g.pick(w.DRINKS)
        self.vehicle = g.pick(w.VEHICLES)
        self.subject = g.pick(w.SUBJECTS)
        self.sport = g.pick(w.SPORTS)
        self.he = "she" if self.she else "he"
        self.him = "her" if self.she else "him"
        self.his = "her" if self.she else "his"
        self.He, self.His = upper(self.he), upper(self.his)


def people(g, count):
    chosen = []
    for _ in range(count):
        chosen.append(Person(g, [p.name for p in chosen]))
    return chosen


def thing(g):
    kind = g.pick(w.OBJECTS)
    form = g.number(0, 3)
    if form == 0:
        return g.pick(w.MATERIALS) + " " + kind
    if form == 1:
        return g.pick(w.ADJECTIVES) + " " + kind
    if form == 2:
        return g.pick(w.COLOURS) + " " + kind
    return g.pick(w.ADJECTIVES) + " " + g.pick(w.COLOURS) + " " + kind


def document(g):
    total = sum(weight for weight, _ in GENRES)
    at = g.random.random() * total
    for weight, genre in GENRES:
        at -= weight
        if at <= 0:
            return genre(g).strip()
    return GENRES[-1][1](g).strip()


def text(seed, length):
    """Documents separated by blank lines, at least `length` characters."""
    g = Writer(seed)
    parts, size = [], 0
    while size < length:
        part = document(g)
        parts.append(part)
        size += len(part) + 2
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    import sys
    sys.stdout.write(text(sys.argv[1], int(sys.argv[2])))
