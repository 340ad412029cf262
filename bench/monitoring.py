"""What a person is paged by: the shipped alerts, with real processes.

    python -m bench.monitoring [--minutes N] [--prometheus PATH] [--only PATTERN] [--keep FOLDER]

One Prometheus and one Alertmanager with the shipped rules and intervals scrape a daemon per fault,
each between an upstream and a receiver of its own, and some healthy ones. All faults begin after a
warm-up, and end after a while. Every message that reaches the stand-in for Slack is printed when it
arrives; at the end, for each fault, which alerts were sent after how many seconds, with which first
line, when they were resolved, and what is wrong: another alert than the fault's own, a late one
(more than 5 min, for a crash loop 10), more than one message at the start or at the end, a first
line without the cause, or one that comes before the fault's end or long after it as its resolution.
About the healthy daemons no message may arrive. Exits 1 if anything is
wrong. Takes 25 minutes, with two cores that have nothing else to do.
"""

import argparse
import asyncio
import re
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvloop

from bench.monitored import Monitored, port
from bench.monitoring_acts import mount, unmount
from bench.monitoring_faults import FAULTS, Fault
from bench.monitoring_health import HEALTHY, Healthy, scraped
from bench.monitoring_report import Times, described, faulty
from bench.monitoring_servers import Message, Prometheus, Slack, alertmanager, prometheus

WARM_UP = 180.0
LASTS = 660.0
"""Seconds from the start of a fault to its end: a crash loop may take ten minutes to be noticed."""
SHORTEST = 20.0
"""Minutes: both, and time for what was sent to be resolved."""
STARTS = 4
"""Daemons that start at a time."""
_REQUEST = 10.0


@dataclass
class Case:
    """A fault with its daemon, and the Unix times at which it began and ended."""

    fault: Fault
    site: Monitored
    began: float = 0.0
    ended: float = 0.0


class Run:
    """All daemons of a run, in `folder`."""

    def __init__(self, folder: Path, client: httpx.AsyncClient, only: str) -> None:
        self._folder = folder
        self._client = client
        self._only = only
        self.cases: list[Case] = []
        self.healthy: list[tuple[Healthy, Monitored, str]] = []
        self.skipped: list[str] = []
        self.slack = Slack()

    @asynccontextmanager
    async def daemons(self) -> AsyncIterator[Sequence[str]]:
        """Start all daemons; yields the addresses to scrape."""
        async with AsyncExitStack() as stack:
            for fault in FAULTS:
                if re.search(self._only, fault.name):
                    await self._add_fault(fault, stack)
            for one in HEALTHY:
                if re.search(self._only, one.name):
                    site = await self._add(one.name, one, stack)
                    address = scraped(self._client, site.target, port())
                    self.healthy.append((one, site, await stack.enter_async_context(address)))
            gate = asyncio.Semaphore(STARTS)
            async with asyncio.TaskGroup() as tasks:
                for site in self._sites():
                    tasks.create_task(_start(site, gate))
            yield [case.site.target for case in self.cases] + [one[2] for one in self.healthy]

    async def _add_fault(self, fault: Fault, stack: AsyncExitStack) -> None:
        site = await self._add(fault.name, fault, stack)
        if fault.mounted:
            site.store = site.folder / "disk"
            site.store.mkdir()
            if not mount(site.store, fault.mounted):
                self.skipped.append(f"skip  {fault.name}: needs root, to mount a file system")
                return
            stack.callback(unmount, site.store)
            stack.push_async_callback(site.kill)
        self.cases.append(Case(fault, site))

    async def _add(self, name: str, what: Fault | Healthy, stack: AsyncExitStack) -> Monitored:
        site = Monitored(name, self._folder, self._client, what.settings)
        stack.push_async_callback(site.close)
        await site.source.open()
        await site.channel.open()
        return site

    def _sites(self) -> Sequence[Monitored]:
        return [case.site for case in self.cases] + [site for _, site, _ in self.healthy]

    async def proceed(self, minutes: float) -> None:
        """Let the traffic and the faults happen."""
        ends = asyncio.get_running_loop().time() + minutes * 60
        running = [asyncio.create_task(site.live()) for site in self._sites()]
        running += [asyncio.create_task(one.life(site)) for one, site, _ in self.healthy]
        running += [asyncio.create_task(self._follow())]
        try:
            await asyncio.sleep(WARM_UP)
            await asyncio.gather(*(_inflict(case) for case in self.cases))
            await asyncio.sleep(max(0, ends - asyncio.get_running_loop().time()))
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _follow(self) -> None:
        began, seen = time.time(), 0
        while True:
            await asyncio.sleep(1)
            for message in self.slack.messages[seen:]:
                about = ", ".join(self._about(message)) or "no daemon"
                state = "resolved" if message.resolved else "firing"
                print(f"{message.at - began:5.0f} s  {about}: {state}: {message.title}", flush=True)
            seen = len(self.slack.messages)

    def _about(self, message: Message) -> Sequence[str]:
        named = [(case.fault.name, case.site.target) for case in self.cases]
        named += [(one.name, address) for one, _, address in self.healthy]
        return [name for name, target in named if message.names(target)]

    async def report(self, server: Prometheus, since: float) -> bool:
        """Print what became of each, and return whether all is as it should be."""
        firing, finished = await server.firing(since), time.time()
        good = True
        for case in self.cases:
            sent = [one for one in self.slack.messages if one.names(case.site.target)]
            times = Times(began=case.began, ended=case.ended, finished=finished)
            wrong = faulty(case.fault, sent, times)
            print(described(case.fault.name, sent, times, wrong))
            good = good and not wrong
            for name, first, last in firing.get(case.site.target, ()) if wrong else ():
                fired = f"{first - case.began:.0f} to {last - case.began:.0f} s"
                print(f"        Prometheus: {name} fired from {fired}")
        for one, _, address in self.healthy:
            sent = [message for message in self.slack.messages if message.names(address)]
            times = Times(began=since, ended=since, finished=finished)
            print(described(one.name, sent, times, ["not expected"] if sent else []))
            good = good and not sent
        for message in self.slack.messages:
            if not self._about(message):
                good = False
                print(f"WRONG a message about no daemon: {message.content}")
        print("\n".join([*self.skipped, f"{len(self.slack.messages)} messages"]))
        return good


async def _start(site: Monitored, gate: asyncio.Semaphore) -> None:
    async with gate:
        await site.start()


async def _inflict(case: Case) -> None:
    case.began = time.time()
    lasts = case.fault.lasts or LASTS
    try:
        await case.fault.begin(case.site)
        await asyncio.sleep(lasts)
        case.ended = time.time()
        await asyncio.sleep(LASTS - lasts)
        await case.fault.end(case.site)
    except (OSError, RuntimeError) as error:  # the other faults go on
        case.ended = case.ended or time.time()
        print(f"{case.fault.name}: {error!r}", flush=True)


async def run(folder: Path, options: argparse.Namespace) -> bool:
    """Run everything; return whether all is as it should be."""
    loop, main_task = asyncio.get_running_loop(), asyncio.current_task()
    assert main_task is not None
    loop.add_signal_handler(signal.SIGTERM, main_task.cancel)
    async with (
        asyncio.timeout((options.minutes + 10) * 60),
        httpx.AsyncClient(trust_env=False, timeout=_REQUEST) as client,
    ):
        plan = Run(folder, client, options.only)
        async with (
            plan.slack.serve() as slack_url,
            alertmanager(folder, slack_url) as alerts_to,
            plan.daemons() as targets,
            prometheus(folder, client, options.prometheus, targets, alerts_to) as server,
        ):
            print(f"{len(targets)} daemons run", flush=True)
            since = time.time()
            await plan.proceed(options.minutes)
            return await plan.report(server, since)


def main() -> int:
    """Run it for as long as the arguments say."""
    parser = argparse.ArgumentParser(prog="bench.monitoring")
    parser.add_argument("--minutes", type=float, default=25.0, help="how long the daemons run")
    parser.add_argument("--prometheus", default="prometheus", help="path of the server")
    parser.add_argument(
        "--only", default="", help="only those whose name this regular expression finds"
    )
    parser.add_argument("--keep", type=Path, help="folder for the logs and stores")
    options = parser.parse_args()
    if options.minutes < SHORTEST:
        parser.error(f"--minutes: at least {SHORTEST:.0f}")
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return 0 if uvloop.run(run(folder, options)) else 1
        except (KeyboardInterrupt, asyncio.CancelledError):
            print("interrupted", file=sys.stderr)
            return 130


if __name__ == "__main__":
    sys.exit(main())
