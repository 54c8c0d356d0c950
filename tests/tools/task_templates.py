"""Instructions and texts to fill them with, written for this project: what people ask for, kind by kind.

The public prompt collections hold few sources for each kind; these add the many other ways the same wish is put.
`{text}` is any passage, `{short}` a sentence or two, `{talk}` a dialogue, `{topic}` a subject, `{thing}` a noun.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

TEMPLATES: dict[str, tuple[str, ...]] = {
    "clf": (
        "Is the following message spam? Answer yes or no.\n\n{short}",
        "{short}\n\nIs this review positive or negative?",
        "What is the sentiment of this text: {short}",
        "Classify the ticket into one of: billing, delivery, returns, other.\n\n{short}",
        "{text}\n\nDoes the writer recommend it? Yes or no.",
        "Which category fits best? Options: sports, politics, business, technology.\n{text}",
        "{short}\nTrue or false: the author is satisfied.",
        "Sentence 1: {short}\nSentence 2: {short}\nDo these two sentences mean the same?",
        "Does the first statement entail the second?\nA: {short}\nB: {short}",
        "Label the tone of the message as friendly, neutral or angry.\n\n{short}",
        "I received this: {short} Is it about {topic}?",
        "Text: {text}\nQuestion: is the text about {topic}? yes/no",
        "Decide whether the comment below is toxic.\n\n{short}",
        'Given the question "{q}", is "{thing}" a valid answer?',
        "How would you rate this from 1 to 5 stars?\n{text}",
        "{short} Did the customer enjoy the product?",
        "Are the two questions duplicates?\n{q}\n{q}",
        "{text}\n\nWhich of these topics is it about: {topic}, {topic} or {topic}?",
    ),
    "extract": (
        "Extract all names and dates from the text below.\n\n{text}",
        "{text}\n\nAccording to the text above, {q}",
        "Context: {text}\nQuestion: {q}\nAnswer:",
        "Read the passage and answer the question.\n\nPassage: {text}\n\nQuestion: {q}",
        "Use the following article to answer: {q}\n\n{text}",
        "Return the order number, the product and the date as JSON.\n\n{text}",
        "Background: {text}\n\nFrom the background, {q}",
        "Pull out every amount of money mentioned in this document:\n{text}",
        "Given the paragraph:\n{text}\nfind the place where it happened.",
        "{text}\n\nWhich company is mentioned in the text?",
        'What is the answer to the question "{q}" in this passage?\n\n{text}',
        "List the entities in: {text}",
        "Information:\n- {text}\n- {text}\n\nWhat entity is related to {thing}?",
        "Fill these fields from the mail: name, address, phone.\n\n{text}",
        "Answer with a span from the text.\n{text}\nQ: {q}",
        'I need the answer to "{q}" from this article: {text}',
    ),
    "qa": (
        "{q}",
        "Question: {q}",
        "Q: {q}\nA:",
        "Quick question: {q}",
        "Please answer this trivia question: {q}",
        "Answer the following question: {q}",
        "Do you know {q}",
        "{q}\nA. {thing}\nB. {thing}\nC. {thing}\nD. {thing}",
        "Choose the correct answer. {q}\n(a) {thing} (b) {thing} (c) {thing}",
        "Exam question. {q} Give a short answer.",
        "{short}\n\n{q}",
        "Which of the following is the best answer? {q}\n- {thing}\n- {thing}\n- {thing}",
        "I was wondering, {q}",
        "Tell me briefly: {q}",
        "What is {thing}?",
        "What is the difference between {thing} and {thing}?",
    ),
    "summarize": (
        "Summarize the following text.\n\n{text}",
        "{text}\n\nTL;DR:",
        "{text}\n\nSummary:",
        "Write a short summary of this article:\n{text}",
        "Give me the gist of this conversation:\n{talk}",
        "Sum up the meeting in three bullet points.\n\n{talk}",
        "{talk}\n\nIn one sentence, what was this conversation about?",
        "What are the main points of the document below?\n\n{text}",
        "Condense this to two sentences: {text}",
        "{text}\n===\nWrite one sentence that sums up the above.",
        "Article: {text}\nHeadline:",
        "Make a title for this article: {text}",
        "Please recap this thread for someone who missed it.\n{talk}",
        "In a nutshell, what does this say?\n\n{text}",
        "Shorten the text to its key points.\n{text}",
        "Summarise: {talk}",
        "Can you boil this down for me? {text}",
        "My colleague asked what this means: {text}\nSo I explained it briefly:",
        "Generate an abstract for the report below.\n\n{text}",
        "Read this and give me the short version.\n\n{talk}",
        "First read the article below.\n\n{text}\n\nNow write an extremely short abstract for it.",
        "{text}\n\nHow would you rephrase that in a few words?",
        "First sentence of the article: {short}\n\nTitle:",
        "Suggest a headline for: {short}",
    ),
    "draft": (
        "Write an email to {thing} about {topic}.",
        "Draft a blog post on {topic} in a friendly tone.",
        "Write a story about {thing} and {topic}.",
        "Compose a poem about {topic}.",
        "Write a dialogue that matches this summary: {short}",
        "Rewrite this so that it sounds more formal: {short}",
        "Paraphrase the following sentence: {short}",
        "Generate a sentence with these words: {thing}, {thing}, {thing}",
        "Expand these notes into an article: {short}",
        "Title: {topic}\n\nWrite an article with the given title:",
        "Create a character for a fantasy novel who knows about {topic}.",
        "Continue the story: {short}",
        "Write a review of {thing} with 4 stars.",
        "I need a speech for a wedding about {topic}, about 300 words.",
        "Write a scene in which {thing} meets {thing}. Keep the style of a thriller.",
        "Rephrase in other words: {short}",
        "Draft an announcement to our customers: {topic} will change next month.",
        "Act as a travel writer and describe {topic} vividly.",
        "Imagine a world where {topic} is forbidden. Describe a day there.",
        "Write a product description for {thing}.",
        "Make up a bedtime story with {thing}.",
        "Please improve the wording of my letter: {text}",
        "Write lyrics for a song on {topic}.",
        "Put together an outline for a talk on {topic}.",
        "Turn this headline into a full news story: {short}",
        "Come up with ten names and slogans for a shop that sells {thing}.",
    ),
    "reason": (
        "{name} has {n} boxes with {m} pens each and gives away {k}. How many pens are left?",
        "A train travels {n} km in {m} hours. How long does it need for {k} km?",
        "If ${n}x + {m} = {k}$, what is $x$?",
        "Find the remainder when ${n}^{{{m}}}$ is divided by ${k}$.",
        "Prove that the sum of two odd integers is even.",
        "What is the probability of rolling a sum of {m} with two dice?",
        "{name} earns ${n} an hour and works {m} hours a week. How much does {name} earn in {k} weeks?",
        "There are {m} houses in a row. Clues: 1. Red is left of blue. 2. {name} lives in house 2. Who lives in house 1?",
        "Solve the system: \\begin{{cases}} {n}x + y = {m} \\\\ x - y = {k} \\end{{cases}}",
        "Let $ABC$ be a triangle with $AB = {n}$ and angle $B = {m}^\\circ$. Compute its area.",
        "Compute $\\frac{{{n}}}{{{m}}} + \\sqrt{{{k}}}$.",
        "Three friends make statements; exactly one lies. {name} says the second lies. Who tells the truth? Explain step by step.",
        "A shop sells {n} shirts at ${m} each and {k} hats at half that price. What is the total revenue?",
        "How many ways are there to seat {m} people around a table?",
        "Derive the closed form of $\\sum_{{i=1}}^n i^2$.",
        "Estimate, with your reasoning, how many liters of water a city of {n} people uses per day.",
        "Schedule {m} tasks on {k} machines so that the total time is minimal. Show your work.",
        "{name} is twice as old as his sister. In {m} years the sum of their ages will be {n}. How old is {name}?",
    ),
    "code": (
        "Write a Python function that returns the {m} largest values of a list.",
        "Fix the bug in this code:\n```python\nfor i in range({n}):\n    total =+ i\nprint(total)\n```",
        "Write a SQL query that lists customers with more than {m} orders.",
        "def f(x):\n    return x * {n}\nassert f({m}) == ??",
        "How do I center a div with CSS?",
        "I get `TypeError: undefined is not a function` in my React component. Why?",
        "Implement a LRU cache in Java with get and put in O(1).",
        "Convert this bash script to PowerShell: for f in *.txt; do wc -l $f; done",
        "What does this regex match: ^[a-z]{{{m}}}\\d+$ ?",
        "Set up a Dockerfile for a Flask API with PostgreSQL.",
        "Refactor the following class to use dependency injection:\npublic class A {{ private B b = new B(); }}",
        "Write unit tests for a function that parses dates.\n\nassert parse('2020-01-01') == date(2020, 1, 1)",
        "You are a senior developer. Design the REST endpoints and the database schema for {topic}.",
        "My Kubernetes pod is in CrashLoopBackOff after I deployed version {n}. How do I debug it?",
        "Explain what this C++ code does:\n#include <vector>\nint main() {{ std::vector<int> v({n}); return v.size(); }}",
        "Write a function to find the {m}th prime. Your code should pass: assert prime(1) == 2",
        "Write a script that renames all files in a folder, in Rust.",
        "Create a responsive landing page in HTML and Tailwind for {topic}.",
        "How can I speed up this pandas groupby over {n} million rows?",
        "Write a Unity script that makes the player jump.",
    ),
}

TOPICS = (
    "remote work", "the history of tea", "solar energy", "city traffic", "a new return policy", "deep sea fish", "school lunches",
    "medieval castles", "electric bikes", "small business taxes", "jazz music", "glacier melt", "online privacy", "football transfers",
    "sourdough bread", "space tourism", "hospital staffing", "wool carpets", "coastal erosion", "chess openings",
)  # fmt: skip
THINGS = (
    "a lantern", "the landlord", "granite", "a penguin", "the Nile", "oxygen", "an accordion", "Lisbon", "a carpenter", "copper wire",
    "the moon", "a dentist", "olive oil", "a violin", "the committee", "Jupiter", "a suitcase", "ibuprofen", "the orchestra", "a tram",
)  # fmt: skip
QUESTIONS = (
    "who founded the town?", "what is the capital of Mongolia?", "when was the bridge opened?", "where did the meeting take place?",
    "what do plants need to make sugar?", "which river flows through Vienna?", "why did she leave early?", "who wrote the opera?",
    "what gas do fires need?", "in what year did the strike end?", "what will he want to do next?", "which animal is larger?",
    "what causes tides?", "whose house burned down?", "what is the name of the pilot's brother?", "how is glass made?",
)  # fmt: skip
SENTENCES = (
    "The council voted on Tuesday to close the old market hall after a long dispute over repairs.",
    "My parcel arrived two weeks late and the box was open, but the chair itself is fine.",
    "Shares of the airline fell 4 percent after it cut its forecast for the summer.",
    "The film starts slowly, yet the last half hour is the best thing I have seen this year.",
    "Born in Trieste in 1887, she studied law before she joined the observatory as an assistant.",
    "Rain and strong wind are expected in the north, while the south stays dry and mild.",
    "The band recorded its second album in a barn near Leeds with borrowed instruments.",
    "Please cancel my subscription at the end of the month and send me a confirmation.",
    "The defender will miss the rest of the season after he tore a ligament in training.",
    "Researchers found that bees return to the same flowers at the same time of day.",
    "The minister said the plan would create 3,000 jobs, a figure the opposition called a fantasy.",
    "Battery life is poor, the screen scratches easily and support never answered my mails.",
    "The castle was built in 1348 on a rock above the river and burned down twice.",
    "He opened the envelope, read the first line and sat down without a word.",
    "The company was founded in Utrecht by two brothers who repaired ships.",
    "Enzymes speed up reactions in the cell without being used up themselves.",
    "We loved the hotel: friendly staff, quiet rooms and a great breakfast.",
    "Police are asking for witnesses after a van hit a cyclist on the ring road.",
    "The order 48213 of 3 March for two lamps at 59 dollars was sent to Elm Street 12.",
    "The novel follows three sisters through a winter in which the harbour freezes.",
)
LINES = (
    "Anna: are you coming tonight?", "Tom: not sure, I still have to finish the slides", "Anna: bring them, we can look together",
    "Mia: did anyone feed the cat?", "Jon: I did, around six", "Lee: the invoice is wrong again", "Kim: I'll call them tomorrow",
    "Sam: train is late, start without me", "Eve: ok! see you at the station", "Pat: who has the keys?", "Max: under the mat as always",
    "Zoe: let's move the call to Friday", "Ben: fine with me", "Ida: the client wants a discount of ten percent",
)  # fmt: skip
NAMES = ("Olga", "Marcus", "Priya", "Hannah", "Luis", "Dina", "Tariq", "Mei")


def written(per_template: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """(kind, prompt), each template filled several times; the same for the same seed."""
    draw = random.Random(seed)
    for kind, templates in TEMPLATES.items():
        for template in templates:
            for _ in range(per_template):
                yield kind, _filled(template, draw)


def _filled(template: str, draw: random.Random) -> str:
    parts = template
    for name, make in _FILLERS.items():
        while "{" + name + "}" in parts:
            parts = parts.replace("{" + name + "}", make(draw), 1)
    return parts.replace("{{", "{").replace("}}", "}")


_FILLERS = {
    "text": lambda draw: " ".join(draw.choices(SENTENCES, k=draw.randint(3, 9))),
    "short": lambda draw: " ".join(draw.choices(SENTENCES, k=draw.randint(1, 2))),
    "talk": lambda draw: "\n".join(draw.choices(LINES, k=draw.randint(4, 10))),
    "topic": lambda draw: draw.choice(TOPICS),
    "thing": lambda draw: draw.choice(THINGS),
    "q": lambda draw: draw.choice(QUESTIONS),
    "name": lambda draw: draw.choice(NAMES),
    "n": lambda draw: str(draw.randint(11, 900)),
    "m": lambda draw: str(draw.randint(2, 20)),
    "k": lambda draw: str(draw.randint(2, 99)),
}
