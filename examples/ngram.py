"""A word model of Python's own reference manual: a text generator that trains in a second.

The text is what `help("topics")` shows; CPython ships it as `pydoc_data.topics` (PSF licence). The model is
an n-gram with absolute discounting (Ney, Essen and Kneser 1994): after a context of at most CONTEXT tokens,
seen c times with T different successors, DISCOUNT * T / c of the probability goes to what follows the context
without its first token. A prompt steers it: paragraphs that share its rarer words weigh more in every count.
It knows no facts and follows no instruction.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pydoc_data.topics import topics

CONTEXT = 4
DISCOUNT = 0.4
STEERING = 300.0
PARAGRAPH_END = "\n\n"

Context = tuple[str, ...]
Choice = tuple[Mapping[str, float], float]
"""Weighed counts of the tokens that may come next, and the chance to ask the shorter context instead."""

_TOKEN = re.compile(r"\s*(?:\w+(?:[.'\u2019-]\w+)*(?:\(\))?|[^\w\s])")
_WORD = re.compile(r"[a-z_]{3,}")
_MARKUP = re.compile(r'["*“”]| ?\([^()]{2,}\)| ?\[\d+\]')
_ASIDES = ("Changed in version", "New in version", "See also")
_COMMON = frozenset(
    re.findall(r"\w+", "about can did does explain for how please say tell that the what when who why with you")
)
_RARE = 3


def tokenize(text: str) -> list[str]:
    """Split `text` into words and marks. Each keeps the space before it: joined, they are the text again."""
    return _TOKEN.findall(" ".join(text.split()))


def manual() -> list[str]:
    """Return the manual's paragraphs of plain prose, each once, without markup and remarks in brackets."""
    blocks = (block for text in topics.values() for block in re.split(r"\n\s*\n", text))
    plain = (" ".join(_MARKUP.sub("", block).split()) for block in blocks)
    return list(dict.fromkeys(filter(_is_prose, plain)))


def _is_prose(text: str) -> bool:
    if len(text) < 60 or not text[0].isupper() or text[-1] != "." or text.startswith(_ASIDES):
        return False
    return sum(character.isalpha() or character == " " for character in text) > 0.9 * len(text)


def _words(text: str) -> set[str]:
    return {word.removesuffix("s") for word in _WORD.findall(text.lower())}


class NgramModel:
    """What follows what, kept as positions in the text, so that every prompt can weigh them anew."""

    def __init__(self, paragraphs: Sequence[str]) -> None:
        self._tokens: list[str] = []
        self._paragraph: list[int] = []
        self._positions: defaultdict[Context, list[int]] = defaultdict(list)
        self._words = [_words(text) for text in paragraphs]
        self._spread = Counter(word for words in self._words for word in words)
        for number, text in enumerate(paragraphs):
            self._learn(number, tokenize(text))

    def _learn(self, number: int, tokens: Sequence[str]) -> None:
        history: Context = (PARAGRAPH_END,)
        for token in [*tokens, PARAGRAPH_END]:
            for length in range(1, len(history) + 1):
                self._positions[history[-length:]].append(len(self._tokens))
            self._tokens.append(token)
            self._paragraph.append(number)
            history = (*history, token)[-CONTEXT:]

    @property
    def size(self) -> int:
        """How many tokens it was trained on."""
        return len(self._tokens)

    def generate(self, prompt: str, *, seed: int, temperature: float = 1.0) -> Iterator[str]:
        """Yield tokens without end, PARAGRAPH_END after each paragraph.

        The same prompt, seed and temperature (>= 0) give the same tokens; at 0 each is the likeliest one.
        No run of CONTEXT + 1 tokens comes twice, nor do paragraphs open alike, while anything else is left.
        """
        draw = random.Random(f"{seed} {prompt}".encode(errors="surrogatepass"))
        weights = self._relevance(prompt)
        said: set[Context] = set()
        history: Context = (PARAGRAPH_END,)
        while True:
            token = _pick(self._choices(history, weights, said), draw, temperature)
            yield token
            said.add((*history, token))
            history = (PARAGRAPH_END,) if token == PARAGRAPH_END else (*history, token)[-CONTEXT:]

    def _relevance(self, prompt: str) -> list[float]:
        asked = {word for word in _words(prompt) - _COMMON if self._spread[word] > _RARE}
        worth = {word: math.log(len(self._words) / self._spread[word]) ** 2 for word in asked}
        scores = [sum(worth[word] for word in words & asked) / math.sqrt(len(words)) for words in self._words]
        best = max(scores) or 1.0
        return [1.0 + STEERING * (score / best) ** 3 for score in scores]

    def _choices(self, history: Context, weights: Sequence[float], said: set[Context]) -> Iterator[Choice]:
        for length in range(len(history), 0, -1):
            positions = self._positions.get(history[-length:], [])
            known: defaultdict[str, float] = defaultdict(float)
            for position in positions:
                known[self._tokens[position]] += weights[self._paragraph[position]]
            fresh = {token: mass for token, mass in known.items() if (*history, token) not in said}
            if length == 1:
                yield fresh or known, 0.0
            elif fresh:
                yield fresh, DISCOUNT * len(known) / len(positions)


def _pick(choices: Iterator[Choice], draw: random.Random, temperature: float) -> str:
    masses = next(masses for masses, back_off in choices if draw.random() >= back_off * min(temperature, 1.0))
    likeliest = max(masses, key=masses.__getitem__)
    if temperature == 0:
        return likeliest
    odds = [(mass / masses[likeliest]) ** (1 / temperature) for mass in masses.values()]
    return draw.choices(list(masses), odds)[0]
