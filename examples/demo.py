"""From zero to four replicas and back in under a minute: what the edge does, told with the numbers it measures.

It runs the two models of config/demo.yaml behind a real edge and asks them over HTTP. Nothing is staged: each chapter
sends requests, prints what came back, and fails (status 1) if that is not what it says.
"""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import aiohttp
from local_edge import ROOT, Edge, FailedError, activator, read, running, timing
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterable

CONFIG = ROOT / "config" / "demo.yaml"
DEFAULTS = ROOT / "config" / "defaults.yaml"
LONGEST_RUN = 120.0

HOST = "sentiment.localhost"
PREDICT = "/v1/models/sentiment:predict"
METADATA = "/v1/models/sentiment"
TAGS = {"sentiment-v1": "stable", "sentiment-v2": "next"}
PRAISE = {"instances": ["A wonderful film!"]}
NO_TROUBLE = {"instances": ["They solved my problem without any trouble."]}
QUESTION = {
    "model": "python-manual-ngram",
    "messages": [{"role": "user", "content": "What is a generator?"}],
    "seed": 3,
    "stream": True,
}
MARKS = {"ready": "■", "starting": "□", "pending": "□", "draining": "-"}

console = Console(highlight=False)
width = min(console.width, 100)


async def demo() -> None:
    """Run all chapters against an edge of their own."""
    introduce()
    async with asyncio.timeout(LONGEST_RUN), running(CONFIG) as edge:
        say(f"The edge listens on {edge.listen}, its admin API on {edge.admin}.")
        await asleep(edge)
        await wake(edge)
        await burst(edge)
        await split(edge)
        await stream(edge)
        await explain(edge)
        await back_to_zero(edge)
        await usage(edge)


def introduce() -> None:
    """Say what will be seen, and which of it is made short or up."""
    console.print("\n[bold]gpu-activator: two models on one machine, from zero and back[/]")
    say("The models are real, small and need no GPU: half a second of GPU time per prediction is simulated.")
    say("Demo timings, so that you can watch. What a model gets by default:")
    defaults = read(DEFAULTS)["autoscaling"]
    for key, value in read(CONFIG)["autoscaling"].items():
        show(f"{key:<28} {value:>4}   (default {defaults[key]})")


async def asleep(edge: Edge) -> None:
    """Show that nothing runs."""
    chapter("Two models, and nothing runs")
    await command(edge, "status")
    if any([revision["replicas"] for revision in await edge.revisions()]):
        raise FailedError("a model that nobody asked for has replicas")


async def wake(edge: Edge) -> None:
    """Send a request to a model at zero, and another to the same revision."""
    chapter("A request wakes its model")
    revision = await predict(edge, HOST, PRAISE)
    chapter("The next one finds it awake")
    await predict(edge, f"{TAGS[revision]}-{HOST}", PRAISE)
    say(f"(The host {TAGS[revision]}-{HOST} leads to {revision} always, by its tag.)")


async def predict(edge: Edge, host: str, body: dict[str, Any]) -> str:
    """Ask for a prediction, show answer and times, and return the revision that answered."""
    show(f"POST http://{host}{PREDICT}", style="cyan")
    show(json.dumps(body), style="cyan")
    answer = await edge.ask(host, PREDICT, body)
    show(json.dumps(answer.data["predictions"][0]))
    say(f"Held for {spell(answer.held)}, then answered by {answer.revision} in {spell(answer.upstream)}.")
    return answer.revision


async def burst(edge: Edge) -> None:
    """Send 20 requests at once and watch the replicas grow."""
    chapter("20 requests at once")
    say("A replica takes one at a time, so the rest is held while more replicas start: ■ ready, □ starting.")
    began = time.monotonic()
    requests = [asyncio.create_task(edge.ask(HOST, PREDICT, PRAISE)) for _ in range(20)]
    await watch(edge, "sentiment", lambda _: all(request.done() for request in requests))
    answers = await asyncio.gather(*requests)
    longest = max(answer.held for answer in answers)
    say(f"20 answers in {spell(time.monotonic() - began)}; the longest was held for {spell(longest)}. Why 2 at first?")
    decisions = (await edge.told("/v1/services/sentiment/decisions"))["decisions"]
    grown = [decision for decision in decisions if decision["replicas"] > 1]
    if not grown:
        raise FailedError("20 requests at once did not scale the model up")
    show(grown[0]["why"], style="italic")


async def split(edge: Edge) -> None:
    """Count the revisions that answer, and ask each of them by its tag."""
    chapter("A canary: 90 % of the requests to v1, 10 % to v2")
    queue = asyncio.Semaphore(10)

    async def ask() -> str:
        async with queue:
            return (await edge.ask(HOST, METADATA)).revision

    counts = Counter(await asyncio.gather(*(ask() for _ in range(200))))
    told = ", ".join(f"{counts[revision]} by {revision}" for revision in sorted(counts))
    say(f"200 requests for {METADATA} (which costs no GPU time) were answered: {told}.")
    say("Each draw is independent, so the numbers vary. A tag reaches one revision directly; here they disagree:")
    for tag in TAGS.values():
        answer = await edge.ask(f"{tag}-{HOST}", PREDICT, NO_TROUBLE)
        show(f"{tag:<7} {json.dumps(answer.data['predictions'][0])}")


async def stream(edge: Edge) -> None:
    """Stream tokens from a model at zero, and print them as they come."""
    chapter("Tokens stream through a cold start")
    show(f"POST http://generator.localhost/v1/chat/completions\n{json.dumps(QUESTION['messages'])}", style="cyan")
    began, arrived, line = time.monotonic(), [], "  "
    async with edge.open("generator.localhost", "/v1/chat/completions", QUESTION) as response:
        held, _ = timing(response)
        async for token in tokens(response):
            arrived.append(time.monotonic())
            ...


if __name__ == "__main__":
    sys.exit(main())
