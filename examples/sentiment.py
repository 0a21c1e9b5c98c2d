"""A sentiment analyser behind KServe's V1 protocol: the small model, in two revisions.

The revisions judge by different lexicons and rules, each shipped by its package. v1 is VADER (Hutto and
Gilbert 2014): 7,500 words and emoticons rated by people, with rules for negation, emphasis and "but". v2 is
the lexicon of the pattern library, as kept by TextBlob: mostly adjectives, averaged after negation and
emphasis.
"""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from typing import TYPE_CHECKING

from aiohttp import web

import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    Scorer = Callable[[str], float]

NAME = "sentiment"
NEUTRAL_BELOW = 0.05


def vader() -> Scorer:
    """Load VADER. The scorer gives its compound score, -1 (negative) to 1 (positive)."""
    analyzer = import_module("vaderSentiment.vaderSentiment").SentimentIntensityAnalyzer()
    return lambda text: float(analyzer.polarity_scores(text)["compound"])


def pattern() -> Scorer:
    """Load pattern's lexicon. The scorer gives the text's polarity, -1 (negative) to 1 (positive)."""
    analyzer = import_module("textblob.en.sentiments").PatternAnalyzer()
    analyzer.analyze("The lexicon is read at first use, so use it now.")
    return lambda text: float(analyzer.analyze(text).polarity)


REVISIONS = {"v1": vader, "v2": pattern}


def label(score: float) -> str:
    """Name the side of zero that `score` is on; the middle is neutral (VADER's own threshold)."""
    if abs(score) < NEUTRAL_BELOW:
        return "neutral"
    return "positive" if score > 0 else "negative"


class Sentiment:
    """The protocol's handlers. `work_seconds` is simulated GPU time, spent on one request at a time."""

    def __init__(self, revision: str, *, work_seconds: float) -> None:
        self._revision = revision
        self._score = REVISIONS[revision]()
        self._work_seconds = work_seconds
        self._gpu = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """Return KServe's V1 endpoints."""
        return [
            web.get("/", self.alive),
            web.get("/v1/models", self.models),
            web.get("/v1/models/{name}", self.model),
            web.post("/v1/models/{name}:predict", self.predict),
        ]

    async def alive(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def models(self, _request: web.Request) -> web.Response:
        return web.json_response({"models": [NAME]})

    async def model(self, request: web.Request) -> web.Response:
        if request.match_info["name"] != NAME:
            return _unknown(request)
        return web.json_response({"name": NAME, "ready": True, "revision": self._revision})

    async def predict(self, request: web.Request) -> web.Response:
        if request.match_info["name"] != NAME:
            return _unknown(request)
        try:
            texts = _instances(json.loads(await request.read()))
        except (ValueError, RecursionError) as error:
            return web.json_response({"error": f'expected {{"instances": ["text", ...]}}: {error}'}, status=400)
        async with self._gpu:
            await asyncio.sleep(self._work_seconds)
            predictions = [self._judge(text) for text in texts]
        return web.json_response({"predictions": predictions})

    def _judge(self, text: str) -> dict[str, object]:
        score = self._score(text)
        return {"label": label(score), "score": round(score, 4), "revision": self._revision}


def _instances(body: object) -> list[str]:
    texts = body.get("instances") if isinstance(body, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("instances is not a list of strings")
    return texts


def _unknown(request: web.Request) -> web.Response:
    error = f"Model with name {request.match_info['name']} does not exist."
    return web.json_response({"error": error}, status=404)


def main() -> None:
    parser = serving.arguments("Sentiment analyser speaking KServe's V1 protocol.")
    parser.add_argument("--revision", choices=REVISIONS, default="v1", help="v1 = VADER, v2 = pattern's lexicon")
    parser.add_argument(
        "--work-seconds",
        type=serving.amount,
        default=0.0,
        help="simulated GPU time per request, one at a time (default 0)",
    )
    options = parser.parse_args()
    model = Sentiment(options.revision, work_seconds=options.work_seconds)
    app = web.Application()
    app.add_routes(model.routes())
    serving.run(app, load_seconds=options.load_seconds)


if __name__ == "__main__":
    main()
