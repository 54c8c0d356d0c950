"""Words that tell what kind of work is wanted, kind by kind. Knowledge of the language, not of any data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from frugal_plugins.learned.surface import ends, sign

_END_CHARS: Final = 300
_NOT_THERE: Final = [0.0, 0.0, 0.0]

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
_HOW_MANY: Final = (
    r"\b(?:how (?:many|much|long|far|old|fast)|solve|prove|proof|calculate|compute|evaluate|find (?:the|all)|determine|"
    r"show that)\b"
)
_MATHS: Final = (
    r"\b(?:triangle|integers?|polynomial|probability|equation|matrix|theorem|prime|sequence|angle|circle|radius|remainder|divis\w+|"
    r"vertices)\b"
)
_EACH: Final = (
    r"\d[^.?\n]{0,120}\b(?:each|per|total|left|altogether|more than|times|half|twice|percent|%|every|remaining|cost\w*|"
    r"earn\w*|sold)\b"
)
_TRADE_LETTERS: Final = (
    "python|java|c++|c#|rust|golang|sql|function|code|script|api|algorithm|html|css|regex|docker|linux|bash|kubernetes|"
    "react|node|database|compile|debug|implement|librar|server|unity|excel|json|git|aws|azure|django|flask|backend"
)
_WORDS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "clf": (
        (
            r"\b(?:yes or no|true or false|yes/no|true/false|yes, no|positive or negative|negative or positive)\b",
            "yes or no|true or false|yes/no|true/false|yes, no|positive or negative|negative or positive",
        ),
        (r"\b(?:sentiment|classif\w*|categor\w*|label\w*|tone of)\b", "sentiment|classif|categor|label|tone of"),
        (
            r"\b(?:equivalent|mean the same|same meaning|same thing|duplicates?|a paraphrase of|entail\w*|contradict\w*|consistent with)\b",
            "equivalent|mean the same|same meaning|same thing|duplicate|a paraphrase of|entail|contradict|consistent with",
        ),
        (r"\b(?:rating|stars|satisfied|recommend|enjoy\w*|like the)\b", "rating|stars|satisfied|recommend|enjoy|like the"),
        (_YES_OR_NO, "?"),
        (
            r"\b(?:valid|correct|acceptable|appropriate|spam|toxic)\b[^.\n]{0,40}\?",
            "valid|correct|acceptable|appropriate|spam|toxic",
        ),
        (r"\b(?:choose|pick|select)\b[^.\n]{0,40}\b(?:option|answer|one|from)|\boptions?:", "choose|pick|select|option:|options:"),
    ),
    "extract": (
        (r"\bextract\w*\b", "extract"),
        (_FROM_TEXT, "question|answer|what|who|which|find|decide"),
        (
            r"^(?:context|passage|paragraphs?|background|document|information|article)\s*:",
            "context|passage|paragraph|background|document|information|article",
        ),
        (_IN_TEXT, "text|passage|article|paragraph|document|below|above"),
        (
            r"\b(?:question|answer)\b[^\n]{0,60}\b(?:article|passage|paragraph|context|text|background)\b",
            "article|passage|paragraph|context|text|background",
        ),
    ),
    "qa": (
        (r"^(?:q|question)\s*:", ":"),
        (r"^(?:who|what|when|where|which|whose|why)\b[^\n]{0,200}\?\W*$", "?"),
        (
            r"\b(?:answer (?:the|this) (?:\w+ )?question|answer the following|quick question|do you know|trivia|exam\b|quiz)",
            "answer the|answer this|quick question|do you know|trivia|exam|quiz",
        ),
        (r"^(?:a|answer)\s*:?\W*$", ""),
        (
            r"\b(?:which of the following|choose the correct|the correct answer)\b",
            "which of the following|choose the correct|the correct answer",
        ),
    ),
    "summarize": (
        (
            _SHORT_OF,
            "summar|tldr|tl;dr|nutshell|condens|boil|key points|main points|sum up|gist|main idea|recap|abstract|distil|abridg",
        ),
        (_HEADLINE, "headline|title|summary"),
        (
            r"\b(?:shorten|brief\w*|in (?:one|two|three|a few) (?:sentences?|words|lines)|one sentence|short(?:er)? version)\b",
            "shorten|brief|sentence|words|lines|version",
        ),
        (
            r"\b(?:dialogue|conversation|meeting|chat|thread|article|document|text)\b[^.\n]{0,20}\b(?:about|mean)\b",
            "about|mean",
        ),
    ),
    "draft": (
        (
            r"\b(?:write|draft|compose|create|generate|produce|craft|make up|invent|tell)\b[^.?\n]{0,60}\b" + _WRITTEN + r"\b",
            "write|draft|compose|create|generate|produce|craft|make up|invent|tell",
        ),
        (
            r"\b(?:rewrite|paraphrase (?:the|this|of)|rephrase|reword|in other words|expand|continue the|complete the)\b",
            "rewrite|paraphrase|rephrase|reword|in other words|expand|continue the|complete the",
        ),
        (
            r"\b(?:characters?|novel|fantasy|fictional|protagonist|plot|role-?play|lore|scene|in the style of|persona|screenplay)\b",
            "character|novel|fantasy|fictional|protagonist|plot|play|lore|scene|in the style of|persona",
        ),
        (
            r"\b(?:write|draft|compose)\b[^.?\n]{0,40}\b(?:with|from|for|matching|that|about|to)\b",
            "write|draft|compose",
        ),
    ),
    "reason": (
        (
            _HOW_MANY,
            "how |solve|prove|proof|calculate|compute|evaluate|find |determine|show that",
        ),
        (r"\$[^$\n]{1,120}\$|\\(?:frac|sqrt|sum|int|begin|cdot|left|boxed|mathbb)", "$|\\"),
        (
            _MATHS,
            "angle|integer|polynomial|probability|equation|matrix|theorem|prime|sequence|circle|radius|remainder|divis|vertices",
        ),
        (
            r"\b(?:step by step|clues?|puzzle|houses|logic|riddle|careful thought|show your work)\b",
            "step by step|clue|puzzle|houses|logic|riddle|careful thought|show your work",
        ),
        (
            _EACH,
            "each|per|total|left|altogether|more than|times|half|twice|%|every|remaining|cost|earn|sold",
        ),
    ),
    "code": (
        (r"```", "```"),
        (
            _TRADE,
            _TRADE_LETTERS,
        ),
        (
            r"\b(?:def \w+\(|assert\b|return\b|import\b|public\b|null\b|self\.|var\b|const\b)|#include|console\.|</\w+>|=>|;\s*\n",
            "def |assert|return|import|public|null|self.|var|const|#include|console.|</|=>|;",
        ),
        (
            _TROUBLE,
            "error|exception|trace|bug|compile|runtime|deploy|install|query|endpoint|framework|class|method|variable|array",
        ),
    ),
}
"""Each cue beside letters without which it cannot be found."""

_CUES: Final = tuple(sign(words, letters) for kind in KINDS for words, letters in _WORDS[kind])
OWNERS: Final = tuple(kind for kind in KINDS for _ in _WORDS[kind])
"""The kind each cue speaks for."""

SIZE: Final = 3 * len(_CUES)


def cues(text: str) -> list[float]:
    """For each cue: whether it stands near the beginning, near the end, and how often it is found (0 to 1)."""
    read = ends(text, 2400).lower()
    head, tail = read[:_END_CHARS], read[-_END_CHARS:]
    found: list[float] = []
    for cue in _CUES:
        count = len(cue.words.findall(read)) if cue.possible(read) else 0
        if count:
            found += [*(float(cue.possible(end) and bool(cue.words.search(end))) for end in (head, tail)), min(3, count) / 3]
        else:
            found += _NOT_THERE
    return found
