#!/usr/bin/env python3
"""Writes demo-contacts.csv, the list that `carillon demo` imports: run once, its output is committed.

1,000 rows as a German spreadsheet saves them (BOM, semicolons, CRLF): 950 people, 30 rows that repeat a person in
another letter case, 20 rows with exactly one mistake each. All names and addresses are made up; every domain lies
under the reserved .example and .test.
"""

import random
from pathlib import Path

random.seed(8058)

FIRST = """Anna Jörg Käthe Björn Zoë François Małgorzata Søren Łukasz Åsa İpek Renée Lena Paul Mia Ben Emma Jonas Ida Theo
Clara Oskar Frieda Anton Greta Emil Jakob Elif Mateo Inés Noah Müzeyyen Agnès Jürgen Bärbel Günther Rosalía Niccolò
Chloë Žofie""".split()
LAST = """Müller Schäfer Weiß Größmann Öztürk Dvořák Nowak Lefèvre Sørensen García Núñez Çelik Jäger Köhler Böhm Strauß
Hübner Groß Fuchs Lang Brandt Vogel Sommer Winter Krüger Bäcker Großkopf Löffler Ångström Šimek O'Neill Le-Goff
D'Angelo Hoffmann Peters""".split()
DOMAINS = """post.example mail.example inbox.test brief.example familie.test verein.example schule.test garten.example
bücherei.example straße.test müller-söhne.example københavn.test łódź.example παράδειγμα.test 日本.example""".split()
COUNTRIES = ["DE", "AT", "CH", "FR", "DK", "PL"]
LOCALES = {"DE": "de", "AT": "de-AT", "CH": "de-CH", "FR": "fr", "DK": "da", "PL": "pl"}
SOURCES = ["Website", "Ladenkasse", "Sommerfest 2025", "Gewinnspiel; Karte \"Herbst\""]
FOLD = str.maketrans({
    "ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "o", "å": "a", "é": "e", "è": "e", "ë": "e", "ç": "c", "ñ": "n",
    "ł": "l", "ř": "r", "á": "a", "í": "i", "ò": "o", "š": "s", "ž": "z", "İ": "i", "ú": "u", "'": "", "-": "",
})
HEADER = ["E-Mail-Adresse", "Vorname", "Nachname", "Kundennummer", "Land", "Sprache", "Telefon", "Tags", "Status",
          "Anmeldedatum", "Quelle", "Treuepunkte", "Mitglied"]

SAY_NO, NO_GROUND, NO_ADDRESS, UNSETTLED, UMLAUT_LOCAL = 55, 12, 8, 10, 3


def ascii_name(text):
    return "".join(c for c in text.replace("İ", "i").lower().translate(FOLD) if c.isascii())


def person(number):
    first, last, country = random.choice(FIRST), random.choice(LAST), random.choice(COUNTRIES)
    local = f"{ascii_name(first)}.{ascii_name(last)}.{number}"
    return {
        "email": f"{local}@{random.choice(DOMAINS)}", "first": first, "last": last, "id": f"K-{10_000 + number}",
        "country": country, "locale": LOCALES[country],
        "phone": f"0151 {random.randrange(10_000_000, 99_999_999)}" if country == "DE" and number % 3 == 0 else "",
        "tags": random.choice(["", "Stammkunde", "Stammkunde|Newsletter", "Neukunde", "Grüne Karte"]),
        "status": random.choice(["angemeldet", "ja", "subscribed"]),
        "since": f"{random.randrange(1, 29):02}.{random.randrange(1, 13):02}.{random.randrange(2019, 2026)}",
        "source": random.choice(SOURCES), "points": random.choice(["", "12,5", "250", "1000", "40.25"]),
        "member": random.choice(["ja", "nein", ""]),
    }


people = [person(number) for number in range(950)]
kinds = iter(random.sample(range(950), SAY_NO + NO_GROUND + NO_ADDRESS + UNSETTLED + UMLAUT_LOCAL))
for _ in range(SAY_NO):
    people[next(kinds)]["status"] = random.choice(["abgemeldet", "unsubscribed", "nein"])
for _ in range(NO_GROUND):  # nobody knows when they agreed
    people[next(kinds)] |= {"since": "", "source": ""}
for _ in range(NO_ADDRESS):
    people[next(kinds)] |= {"email": "", "status": "", "since": "", "source": ""}
for _ in range(UNSETTLED):
    people[next(kinds)] |= {"status": "pending", "since": "", "source": ""}
for number in range(UMLAUT_LOCAL):  # needs SMTPUTF8, which the built-in catcher does not offer
    people[next(kinds)]["email"] = f"jörg.großmann.{number}@post.example"

plain = [p for p in people if p["status"] in ("angemeldet", "ja", "subscribed") and p["since"] and p["email"].isascii()]
repeated = random.sample(plain, 30)
rows = list(people)
for number, original in enumerate(repeated):
    local, domain = original["email"].split("@")
    copy = dict(original, email=random.choice([f"{local.upper()}@{domain}", f"{local.title()}@{domain.upper()}"]))
    if number < 5:  # who said no once, under whatever spelling, said no
        copy["status"] = "abgemeldet"
    rows.append(copy)


def broken(number, **mistake):
    return person(2_000 + number) | mistake


mistakes = [
    {"email": "anna.mueller"}, {"email": "anna mueller@post.example"}, {"email": "@post.example"},
    {"email": "b..vogel@post.example"}, {"email": "bob@post"}, {"email": "c.lang@-post.example"},
    {"email": "d.fuchs@post.example, e.fuchs@post.example"}, {"email": "Frieda Groß <f.gross@post.example>"},
    {"email": "g.weiss@mail..test"}, {"email": "x" * 70 + "@post.example"}, {"email": "", "id": ""},
    {"status": "vielleicht"}, {"since": "31.02.2024"}, {"since": "03/04/2024"}, {"since": "01.01.2099"},
    {"points": "1.234,5"}, {"points": "viele"}, {"member": "manchmal"}, {"country": "Narnia"}, {"tags": "z" * 65},
]
rows += [broken(number, **mistake) for number, mistake in enumerate(mistakes)]
# People first, repetitions behind the person they repeat: which spelling is kept must not depend on chance.
head, tail = rows[:950], rows[950:]
for row in tail:
    earliest = head.index(next(p for p in head if p["id"] == row["id"])) + 1 if row in rows[950:980] else 0
    head.insert(random.randrange(earliest, len(head) + 1), row)
assert len(head) == 1000


def cell(text):
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ';"\n') else text


COLUMNS = ["email", "first", "last", "id", "country", "locale", "phone", "tags", "status", "since", "source", "points",
           "member"]
lines = [";".join(HEADER)] + [";".join(cell(row[column]) for column in COLUMNS) for row in head]
Path(__file__).with_name("demo-contacts.csv").write_bytes(("\ufeff" + "\r\n".join(lines) + "\r\n").encode())
