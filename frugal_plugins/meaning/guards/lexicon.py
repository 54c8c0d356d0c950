"""Word lists behind the guards: plain data, in seven languages where a list says so, English where it does not.

Languages: English, German, French, Spanish, Italian, Portuguese and Dutch for negation, number words, months and weekdays;
opposites, synonyms and kinds of things are English. Text in any other language is still compared by digits, codes, capitals
and word by word, which only makes the cache more careful.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _row(words: str) -> tuple[str, ...]:
    return tuple(words.split())


TELLTALE: Final[Mapping[str, frozenset[str]]] = {
    "en": _set("the a is are was do does did how what why when where who can could should would will i my you your of to in for with it"),
    "de": _set(
        "der die das ein eine einen ist sind war wie was warum wann wo wer kann könnte soll ich mein meine du ihr und"
        " für mit zu es in den dem von am sie wir nach bei auf zum zur haben hat"
    ),
    "fr": _set(
        "le la les un une est sont était comment quoi pourquoi quand où qui peux puis dois je mon ma mes tu vous et pour avec de du des"
    ),
    "es": _set("el la los las un una es son era cómo qué por cuándo dónde quién puedo debo yo mi mis tu usted y para con de del"),
    "it": _set("il lo la gli un una è sono era come cosa perché quando dove chi posso devo io mio mia tu lei e per con di del della"),
    "pt": _set("o a os as um uma é são era como que por quando onde quem posso devo eu meu minha você e para com de do da não"),
    "nl": _set("de het een is zijn was hoe wat waarom wanneer waar wie kan mag moet ik mijn jij u en voor met van te"),
}
"""Frequent words by which a language is recognised."""

NEGATIONS: Final[Mapping[str, frozenset[str]]] = {
    "en": _set(
        "not no never without cannot cant neither nor none nothing nobody nowhere except excluding unless unable hardly non"
        " dont doesnt didnt isnt arent wasnt werent wont wouldnt shouldnt couldnt havent hasnt hadnt aint"
    ),
    "de": _set("nicht kein keine keinen keiner keinem keines nie niemals ohne weder noch nichts niemand außer"),
    "fr": _set("ne pas jamais sans aucun aucune ni rien personne plus sauf"),
    "es": _set("no nunca jamás sin ningún ninguna ninguno ni nada nadie tampoco excepto salvo"),
    "it": _set("non no mai senza nessun nessuno nessuna né niente nulla neanche tranne"),
    "pt": _set("não nunca jamais sem nenhum nenhuma nem nada ninguém tampouco exceto"),
    "nl": _set("niet geen nooit zonder noch niets niemand behalve"),
}

NUMBER_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "en": _row("zero one two three four five six seven eight nine ten eleven twelve"),
    "de": _row("null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf"),
    "fr": _row("zéro un deux trois quatre cinq six sept huit neuf dix onze douze"),
    "es": _row("cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce"),
    "it": _row("zero uno due tre quattro cinque sei sette otto nove dieci undici dodici"),
    "pt": _row("zero um dois três quatro cinco seis sete oito nove dez onze doze"),
    "nl": _row("nul een twee drie vier vijf zes zeven acht negen tien elf twaalf"),
}

LARGER_NUMBERS: Final[Mapping[str, str]] = dict(
    zip(
        _row(
            "thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"
            " hundred thousand million billion half third quarter dozen double triple twice once"
        ),
        _row("13 14 15 16 17 18 19 20 30 40 50 60 70 80 90 100 1000 1000000 1000000000 0.5 1/3 1/4 12 x2 x3 x2 x1"),
        strict=True,
    )
)

ORDINALS: Final[Mapping[str, str]] = dict(
    zip(
        _row("first second third fourth fifth sixth seventh eighth ninth tenth"),
        _row("1st 2nd 3rd 4th 5th 6th 7th 8th 9th 10th"),
        strict=True,
    )
)

_MONTHS: Final = (
    "january janvier januar enero gennaio janeiro januari jan",
    "february février februar febrero febbraio fevereiro februari feb",
    "march mars märz marzo março maart",
    "april avril abril aprile apr",
    "may mai mayo maggio maio mei",
    "june juin juni junio giugno junho jun",
    "july juillet juli julio luglio julho jul",
    "august août agosto augustus aug",
    "september septembre septiembre settembre setembro sept sep",
    "october octobre oktober octubre ottobre outubro oct",
    "november novembre noviembre novembro nov",
    "december décembre dezember diciembre dicembre dezembro dec",
)
_DAYS: Final = (
    "monday mondays lundi montag lunes lunedì segunda maandag mon",
    "tuesday tuesdays mardi dienstag martes martedì terça dinsdag tue tues",
    "wednesday wednesdays mercredi mittwoch miércoles mercoledì quarta woensdag wed",
    "thursday thursdays jeudi donnerstag jueves giovedì quinta donderdag thu thur thurs",
    "friday fridays vendredi freitag viernes venerdì sexta vrijdag fri",
    "saturday saturdays samedi samstag sábado sabato zaterdag sat",
    "sunday sundays dimanche sonntag domingo domenica zondag sun",
)
_OTHER_TIMES: Final = (
    "today heute hoy oggi hoje vandaag", "tomorrow demain morgen mañana domani amanhã", "yesterday hier gestern ayer ieri ontem gisteren",
    "tonight", "weekend weekends", "weekday weekdays", "morning mornings", "afternoon afternoons", "evening evenings",
    "night nights overnight",
    "noon midday", "midnight", "am", "pm", "spring", "summer", "autumn", "winter", "christmas xmas", "easter", "halloween", "thanksgiving",
    "q1", "q2", "q3", "q4", "next upcoming following", "last previous past", "current currently", "daily everyday", "weekly",
    "monthly", "quarterly",
    "yearly annual annually", "hourly", "fortnightly biweekly",
)  # fmt: skip
TIMES: Final[Mapping[str, str]] = {
    word: group.split()[0] for groups in (_MONTHS, _DAYS, _OTHER_TIMES) for group in groups for word in group.split()
}
"""Words that name a time, each with the one form it is compared in. `may`, `march`, `sun`, `sat`, `last` and the like count by context."""

_UNITS: Final = (
    "second seconds sec secs", "minute minutes min mins", "hour hours hr hrs", "day days", "week weeks", "month months",
    "year years yr yrs",
    "decade decades", "century centuries", "kilogram kilograms kg kilo kilos", "gram grams g", "pound pounds lb lbs", "ounce ounces oz",
    "ton tons tonne tonnes", "kilometer kilometers kilometre kilometres km kms", "meter meters metre metres m", "centimeter centimeters cm",
    "millimeter millimeters mm", "mile miles mi", "foot feet ft", "inch inches", "yard yards", "liter liters litre litres l",
    "milliliter ml",
    "gallon gallons", "cup cups", "tablespoon tablespoons tbsp", "teaspoon teaspoons tsp", "celsius centigrade", "fahrenheit", "kelvin",
    "usd dollar dollars $ buck bucks", "eur euro euros €", "gbp £ sterling quid", "jpy yen ¥", "inr rupee rupees ₹", "chf franc francs",
    "percent % percentage", "kb kilobyte kilobytes", "mb megabyte megabytes", "gb gigabyte gigabytes", "tb terabyte terabytes",
    "mbps", "gbps", "calorie calories kcal", "watt watts", "kwh", "mph", "kph kmh", "acre acres", "hectare hectares", "pint pints",
)  # fmt: skip
UNITS: Final[Mapping[str, str]] = {word: group.split()[0] for group in _UNITS for word in group.split()}

STOPS_AN_ACTION: Final = _set(
    "stop stops avoid quit cease refrain refuse prevent skip decline prohibit forbid forbidden prohibited banned disallowed"
)
"""Words that turn what follows them into its opposite."""

STOP_WORDS: Final = _set(
    "a an the to of in on for and or is are was were be been being am do does did done how"
    " what why when where who which whose can could should"
    " would will shall may might must i you he she it we they me my your our their his her"
    " its this that these those with at by from as about"
    " into if than then there here so just get gets got getting have has had having s t m re ve ll d up out s' us them him also too o"
    " mine yours ours im ive id ill whats hows wheres whos thats theres lets let one ones any some much many"
)
LIGHT_WORDS: Final = _set(
    "please pls plz hi hello hey thanks thank thx cheers dear okay ok so um uh erm hmm well"
    " quick question questions just wonder wondering curious"
    " kindly tell explain know want wanted wants need needs needed like looking look trying"
    " try tried help helping assist show give provide"
    " possible possibly able way ways actually really exactly basically simply maybe perhaps sorry bit little currently now right sure"
    " somehow ask asking say find finding out figure understand learn anyone someone"
    " somebody everybody folks guys team sir madam mate advice"
    " idea details information info regarding concerning go going happen happens there use"
    " using does make made good thing things you'd appreciate"
    " advance lot btw anyway again again ever still yet even quickly easily best easiest step steps process procedure method etc happy"
)
"""Words that carry no part of the question on their own."""
