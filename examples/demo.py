"""From zero to several replicas and back in under a minute: what the edge does, told with the numbers it measures.

It runs the two models of config/demo.yaml behind a real edge and asks them over HTTP. Nothing is staged: each chapter
sends requests and prints what came back. What is not as it should be ends the demo with status 1.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import textwrap
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from local_edge import ROOT, Answer, Edge, FailedError, activator, read, running, timing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    import aiohttp

    Revisions = list[dict[str, Any]]

CONFIG = ROOT / "config" / "demo.yaml"
DEFAULTS = ROOT / "config" / "defaults.yaml"
LONGEST_RUN = 120.0

HOST = "sentiment.localhost"
PREDICT = "/v1/models/sentiment:predict"
METADATA = "/v1/models/sentiment"
CHAT = "/v1/chat/completions"
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
INDENT = "   "

console = Console(highlight=False, markup=False, soft_wrap=True)
width = min(console.width, 100)
chapters = count(1)


def main(config: Path) -> int:
    """Run the demo and return its exit status: 0, 1 when something was not as it should be, 130 when interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        asyncio.run(demo(config))
    except KeyboardInterrupt:
        say("\nInterrupted; everything that was started has been ended.")
        return 130
    except (FailedError, TimeoutError, OSError) as error:
        say(f"\nThe demo failed: {str(error) or 'it took too long'}", style="red")
        return 1
    return 0


async def demo(config: Path) -> None:
    """Run all chapters against an edge of their own."""
    introduce(config)
    async with asyncio.timeout(LONGEST_RUN), running(config) as edge:
        say(f"\nThe edge listens on {edge.listen}, its admin API on {edge.admin}.")
        await asleep(edge)
        await wake(edge)
        await burst(edge)
        await split(edge)
        await stream(edge)
        await explain(edge)
        await back_to_zero(edge)
        await usage(edge)


def introduce(config: Path) -> None:
    """Say what will be seen, and which of it is made short or up."""
    say("gpu-activator: two models on one machine, from zero and back", style="bold")
    say("The models are real, small and need no GPU: half a second of GPU time per prediction is simulated.")
    say("Demo timings, so that you can watch. What a model gets by default:")
    defaults = read(DEFAULTS)["autoscaling"]
    for key, value in read(config)["autoscaling"].items():
        show(f"{key:<28} {value:>4}   (default {defaults[key]})")


async def asleep(edge: Edge) -> None:
    """Show that nothing runs."""
    chapter("Two models, and nothing runs")
    await command(edge, "status")
    if any(revision["replicas"] for revision in await edge.revisions()):
        raise FailedError("a model that nobody has asked for has replicas")


async def wake(edge: Edge) -> None:
    """Send a request to a model at zero, and another to the same revision."""
    chapter("The first request wakes its model")
    first = await predict(edge, HOST)
    chapter("The second one finds it awake")
    second = await predict(edge, f"{TAGS[first.revision]}-{HOST}")
    if second.held > first.held:
        raise FailedError("a model that was awake held a request for longer than one that slept")


async def predict(edge: Edge, host: str) -> Answer:
    """Ask for a prediction; show answer and times."""
    show(f"POST http://{host}:{edge.port}{PREDICT}", style="cyan")
    show(json.dumps(PRAISE), style="cyan")
    answer = await edge.ask(host, PREDICT, PRAISE)
    show(json.dumps(answer.data))
    say(f"Held for {spell(answer.held)}, then answered by {answer.revision} in {spell(answer.upstream)}.")
    return answer


async def burst(edge: Edge) -> None:
    """Send 20 requests at once and watch the replicas grow."""
    chapter("20 requests at once")
    say("A replica takes one at a time; the others are held. (□ starting, ■ ready)")
    began = time.monotonic()
    asked = asyncio.gather(*(edge.ask(HOST, PREDICT, PRAISE) for _ in range(20)))
    answers, _ = await asyncio.gather(asked, watch(edge, TAGS, lambda _: asked.done()))
    took = time.monotonic() - began
    longest = max(answer.held for answer in answers)
    say(f"20 answers in {spell(took)}, held for {spell(longest)} at most. The first step up:")
    decisions = (await edge.told("/v1/services/sentiment/decisions"))["decisions"]
    growth = next((decision for decision in decisions if decision["replicas"] > 1), None)
    if growth is None:
        raise FailedError("20 requests at once did not scale the model up")
    show(f"{growth['revision']} -> {growth['replicas']}  {growth['why']}")


async def split(edge: Edge) -> None:
    """Count the revisions that answer, and ask each of them by its tag."""
    chapter("90 % of the requests go to v1, 10 % to v2")
    doors = asyncio.Semaphore(10)

    async def ask() -> str:
        async with doors:
            return (await edge.ask(HOST, METADATA)).revision

    counts = Counter(await asyncio.gather(*(ask() for _ in range(200))))
    say(f"200 requests for {METADATA}, which takes no GPU time, were answered by")
    for revision, number in sorted(counts.items()):
        show(f"{revision} {number:>4}")
    say("Each draw is independent, so the numbers vary.")
    say("A tag reaches one revision directly. The two disagree about this one:")
    show(json.dumps(NO_TROUBLE), style="cyan")
    for tag in TAGS.values():
        answer = await edge.ask(f"{tag}-{HOST}", PREDICT, NO_TROUBLE)
        verdict = answer.data["predictions"][0]
        show(f"{tag}-{HOST}: {verdict['label']} ({verdict['score']})")


async def stream(edge: Edge) -> None:
    """Stream tokens from a model at zero, and print them as they come."""
    chapter("Tokens stream through a cold start")
    show(f"POST http://generator.localhost:{edge.port}{CHAT}", style="cyan")
    show(json.dumps(QUESTION), style="cyan")
    began, moments, column = time.monotonic(), [], 0
    async with edge.open("generator.localhost", CHAT, QUESTION) as response:
        held, _ = timing(response)
        async for token in tokens(response):
            moments.append(time.monotonic())
            column = type_out(token, column)
    console.print()
    if len(moments) < 2:
        raise FailedError("the generator did not stream")
    pace = (len(moments) - 1) / (moments[-1] - moments[0])
    say(f"Held for {spell(held)} while the model started; the first token came after {spell(moments[0] - began)},")
    say(f"then {len(moments) - 1} more at {pace:.0f} per second, each as it was made.")


async def tokens(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    """Yield the tokens of a stream of OpenAI's chat protocol."""
    async for line in response.content:
        if line.startswith(b"data: {"):
            token = json.loads(line.removeprefix(b"data: "))["choices"][0]["delta"].get("content")
            if token:
                yield token


async def explain(edge: Edge) -> None:
    """Show the decisions that follow the silence."""
    chapter("Why are there as many replicas as there are?")
    await command(edge, "explain", "sentiment", "--last", "4")


async def back_to_zero(edge: Edge) -> None:
    """Wait until the last replica has gone."""
    chapter("Silence takes them back to zero")
    await watch(edge, [*TAGS, "generator-v1"], lambda revisions: not any(each["replicas"] for each in revisions))
    last = max(datetime.fromisoformat(each["idle_since"]) for each in await edge.revisions())
    silence = (datetime.now(UTC) - last).total_seconds()
    say(f"The last one has gone, {spell(silence)} after its last request.")


async def usage(edge: Edge) -> None:
    """Show what all this has cost."""
    chapter("What ran is what is paid for")
    await command(edge, "usage")
    say("Idle is the part of it that was ready and had no request.")


async def command(edge: Edge, *arguments: str) -> None:
    """Run a command of `activator` and show what it prints."""
    asked = (*arguments, "--admin", edge.admin)
    show(f"$ activator {' '.join(asked)}", style="cyan")
    for line in (await activator(*asked)).splitlines():
        show(line)


async def watch(edge: Edge, names: Collection[str], done: Callable[[Revisions], bool]) -> None:
    """Show the replicas of some revisions whenever they have changed, until they are `done`."""
    began, before = time.monotonic(), None
    show(" " * 10 + "".join(f"{name:<20}" for name in names), style="dim")
    while True:
        known = {revision["name"]: revision for revision in await edge.revisions()}
        revisions = [known[name] for name in names]
        bars = ["".join(sorted(MARKS[each["phase"]] for each in revision["replicas"])) for revision in revisions]
        if bars != before:
            held = [f"{revision['held']:>2} held" if revision["held"] else "" for revision in revisions]
            cells = (f"{bar or '.':<5}{waiting:<15}" for bar, waiting in zip(bars, held, strict=True))
            show(f"{time.monotonic() - began:>5.1f} s   {''.join(cells)}")
        if done(revisions):
            return
        before = bars
        await asyncio.sleep(0.1)


def chapter(title: str) -> None:
    """Begin a chapter."""
    say(f"\n{next(chapters)}. {title}", style="bold")


def say(text: str, *, style: str = "") -> None:
    """Print what is told."""
    for line in text.split("\n"):
        console.print(textwrap.fill(line, width), style=style)


def show(text: str, *, style: str = "") -> None:
    """Print what was asked, answered or measured."""
    further = 2 * INDENT
    console.print(textwrap.fill(text, width, initial_indent=INDENT, subsequent_indent=further), style=style)


def type_out(token: str, column: int) -> int:
    """Print a token at `column`, or at the beginning of the next line; return the column after it."""
    if column + len(token) > width:
        console.print()
        column = 0
    text = token if column else INDENT + token.lstrip()
    console.print(text, end="")
    return column + len(text)


def spell(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else CONFIG))
