"""Words that tell what kind of work is wanted, kind by kind. Knowledge of the language, not of any data set."""

from __future__ import annotations

import re
from typing import Final

from frugal_plugins.learned.surface import ends

_END_CHARS: Final = 300

KINDS: Final = ("clf", "extract", "qa", "summarize", "draft", "reason", "code")
"""What the classifier tells apart: classification, extraction, short questions, summary, drafting, reasoning, code."""

_WRITTEN: Final = (
    r"(?:story|poem|e-?mail|letter|article|essay|blog|post|review|dialogue|conversation|sentence|paragraph|speech|script|song|ad|advert|"
    r"description|scene|text|announcement|page|report|proposal|plan|outline|chapter|lyrics|slogan|tweet|biography)"
)
_YES_OR_NO: Final = (
    r"\b(?:is|are|does|do|can|did|was|were|would) (?:this|the|these|it|that|they|there|he|she|you|sentence)\b[^.?\n]{0,150}\?\W*$"
)
_FROM_TEXT: Final = (
    r"\b(?:based on|according to|given|from|using|use|read|with) (?:the|this|these|it)? ?(?:above|following|passage|context|article|text|"
    r"paragraphs?|background|information|documents?)\b[^.?\n]{0,80}\b(?:question|answer|what|who|which|find|decide)\b"
)
_IN_TEXT: Final = (
    r"\b(?:find|identify|pick out|pull out|copy|locate|list all|mentioned)\b[^.\n]{0,60}\b(?:in|from)? ?(?:the |this )?"
    r"(?:text|passage|article|paragraph|document|below|above)\b"
)
_SHORT_OF: Final = (
    r"\b(?:summar\w*|tl;?dr|nutshell|condens\w*|boil\w* down|key points|main points|sum up|gist|main idea|recap\w*|abstract|"
    r"distil\w*|abridg\w*)"
)
_HEADLINE: Final = (
    r"\b(?:headline|title) (?:for|of)|\b(?:make|write|generate|suggest|give)\b[^.\n]{0,20}\b(?:title|headline)\b|"
    r"(?:title|headline|summary)\s*:\W*$"
)
_TRADE: Final = (
    r"\b(?:python|java|javascript|c\+\+|c#|rust|golang|sql|functions?|code|script|api|algorithm|html|css|regex|docker|linux|bash|kubernetes|"
    r"typescript|react|node|database|compiler?|debug|implement\w*|librar\w+|server|unity|excel|json|git|aws|azure|django|flask|backend)\b"
)
_TROUBLE: Final = (
    r"\b(?:error|exception|stack ?trace|bug|compile\w*|runtime|deploy\w*|install\w*|query|endpoint|framework|class|method|"
    r"variable|array)\b"
)
_WORDS: Final = {
    "clf": (
        r"\b(?:yes or no|true or false|yes/no|true/false|yes, no|positive or negative|negative or positive)\b",
        r"\b(?:sentiment|classif\w*|categor\w*|label\w*|tone of)\b",
        r"\b(?:equivalent|mean the same|same meaning|same thing|duplicates?|a paraphrase of|entail\w*|contradict\w*|consistent with)\b",
        r"\b(?:rating|stars|satisfied|recommend|enjoy\w*|like the)\b",
        _YES_OR_NO,
        r"\b(?:valid|correct|acceptable|appropriate|spam|toxic)\b[^.\n]{0,40}\?",
        r"\b(?:choose|pick|select)\b[^.\n]{0,40}\b(?:option|answer|one|from)|\boptions?:",
    ),
    "extract": (
        r"\bextract\w*\b",
        _FROM_TEXT,
        r"^(?:context|passage|paragraphs?|background|document|information|article)\s*:",
        _IN_TEXT,
        r"\b(?:question|answer)\b[^\n]{0,60}\b(?:article|passage|paragraph|context|text|background)\b",
    ),
    "qa": (
        r"^(?:q|question)\s*:",
        r"^(?:who|what|when|where|which|whose|why)\b[^\n]{0,200}\?\W*$",
        r"\b(?:answer (?:the|this) (?:\w+ )?question|answer the following|quick question|do you know|trivia|exam\b|quiz)",
        r"^(?:a|answer)\s*:?\W*$",
        r"\b(?:which of the following|choose the correct|the correct answer)\b",
    ),
    "summarize": (
        _SHORT_OF,
        _HEADLINE,
        r"\b(?:shorten|brief\w*|in (?:one|two|three|a few) (?:sentences?|words|lines)|one sentence|short(?:er)? version)\b",
        r"\b(?:dialogue|conversation|meeting|chat|thread|article|document|text)\b[^.\n]{0,20}\b(?:about|mean)\b",
    ),
    "draft": (
        r"\b(?:write|draft|compose|create|generate|produce|craft|make up|invent|tell)\b[^.?\n]{0,60}\b" + _WRITTEN + r"\b",
        r"\b(?:rewrite|paraphrase (?:the|this|of)|rephrase|reword|in other words|expand|continue the|complete the)\b",
        r"\b(?:characters?|novel|fantasy|fictional|protagonist|plot|role-?play|lore|scene|in the style of|persona|screenplay)\b",
        r"\b(?:write|draft|compose)\b[^.?\n]{0,40}\b(?:with|from|for|matching|that|about|to)\b",
    ),
    "reason": (
        r"\b(?:how (?:many|much|long|far|old|fast)|solve|prove|proof|calculate|compute|evaluate|find (?:the|all)|determine|show that)\b",
        r"\$[^$\n]{1,120}\$|\\(?:frac|sqrt|sum|int|begin|cdot|left|boxed|mathbb)",
        r"\b(?:triangle|integers?|polynomial|probability|equation|matrix|theorem|prime|sequence|angle|circle|radius|remainder|divis\w+|vertices)\b",
        r"\b(?:step by step|clues?|puzzle|houses|logic|riddle|careful thought|show your work)\b",
        r"\d[^.?\n]{0,120}\b(?:each|per|total|left|altogether|more than|times|half|twice|percent|%|every|remaining|cost\w*|earn\w*|sold)\b",
    ),
    "code": (
        r"```",
        _TRADE,
        r"\bdef \w+\(|\bassert\b|\breturn\b|\bimport\b|#include|console\.|</\w+>|\bpublic\b|=>|\bnull\b|;\s*\n|\bself\.|\bvar\b|\bconst\b",
        _TROUBLE,
    ),
}
_CUES: Final = tuple(re.compile(words, re.IGNORECASE | re.MULTILINE) for kind in KINDS for words in _WORDS[kind])
OWNERS: Final = tuple(kind for kind in KINDS for _ in _WORDS[kind])
"""The kind each cue speaks for."""

SIZE: Final = 3 * len(_CUES)


def cues(text: str) -> list[float]:
    """For each cue: whether it stands near the beginning, near the end, and how often it is found (0 to 1)."""
    read = ends(text, 2400)
    head, tail = read[:_END_CHARS], read[-_END_CHARS:]
    found: list[float] = []
    for cue in _CUES:
        count = len(cue.findall(read))
        found += [float(bool(count and cue.search(head))), float(bool(count and cue.search(tail))), min(3, count) / 3]
    return found
