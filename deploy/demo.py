"""`promptforge demo`: a fresh instance, and the way from an empty database to a sale, over HTTP.

Everything is real: the service is another process with its own mongod, the requests go over a socket, the payment is
made on the page of a Stripe sandbox whose signed event comes over HTTP, and the moderator's queue and the seller's
notification come through durable jobs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape

from promptforge.core.identity import mint
from promptforge.core.principal import Role
from promptforge.deploy.server import bind
from promptforge.deploy.settings import DEMO_PROJECT

POLL_SECONDS = 0.1
STOP_SECONDS = 25.0
PROMPT_TEXT = "Summarise {{article}} for a reader in a hurry: three sentences, no jargon, and what to do next."


class DemoFailed(Exception):
    """A step did not go as it must; the text says which and how."""


class Person:
    """A signed-in user of the running demo."""

    def __init__(self, base_url: str, uid: str, *roles: Role) -> None:
        token = mint(uid, project_id=DEMO_PROJECT, roles=roles)
        self._client = httpx.Client(
            base_url=f"{base_url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=15.0
        )

    def get(self, path: str, *, expect: int = 200) -> Any:  # Any: JSON
        return self._send("GET", path, None, expect)

    def post(self, path: str, body: dict[str, Any] | None = None, *, expect: int = 200) -> Any:  # Any: JSON
        return self._send("POST", path, body, expect)

    def _send(self, method: str, path: str, body: dict[str, Any] | None, expect: int) -> Any:  # Any: JSON
        response = self._client.request(method, path, json=body)
        if response.status_code != expect:
            raise DemoFailed(f"{method} {path} answered {response.status_code}, not {expect}: {response.text[:400]}")
        return response.json() if response.content else None


class Story:
    """Prints each step as it happens, with how long it took, and keeps to the time it was given."""

    def __init__(self, console: Console, deadline: float) -> None:
        self._console = console
        self._deadline = deadline

    @contextmanager
    def step(self, text: str) -> Iterator[Callable[[str], None]]:
        notes: list[str] = []
        started = time.monotonic()
        with self._console.status(escape(text)):
            yield notes.append
        took = time.monotonic() - started
        self._console.print(f"[green]✓[/green] {escape(text)} [dim]{took:.2f} s[/dim]")
        for note in notes:
            self._console.print(f"    [dim]{escape(note)}[/dim]")

    def until(self, what: str, look: Callable[[], Any]) -> Any:  # Any: whatever `look` finds
        """Poll until `look` finds something."""
        while True:
            if found := look():
                return found
            if time.monotonic() > self._deadline:
                raise DemoFailed(f"gave up waiting for {what}")
            time.sleep(POLL_SECONDS)


def run_demo(*, timeout_seconds: float) -> int:
    """Run the whole story; answers the exit code: 0 where every step went as it must."""
    console = Console()
    deadline = time.monotonic() + timeout_seconds
    story = Story(console, deadline)
    try:
        with tempfile.TemporaryDirectory(prefix="promptforge-demo-") as directory:
            data_dir = Path(directory)
            with _service(story, data_dir) as base_url:
                _tell(story, base_url)
                _verify_from_the_command_line(story, data_dir)
    except (DemoFailed, httpx.HTTPError) as error:
        console.print(f"[red]✗[/red] {escape(str(error) or type(error).__name__)}")
        return 1
    console.print("\nFrom an empty database to a sale, and the ledger adds up.")
    return 0


@contextmanager
def _service(story: Story, data_dir: Path) -> Iterator[str]:
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    listener.close()
    base_url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "promptforge.deploy", "serve", "--port", str(port), "--data-dir", str(data_dir)],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(data_dir / "service.log").open("wb"),
    )
    try:
        with story.step("Start a fresh instance with its own MongoDB") as note:
            story.until("the service", lambda: _ready(process, base_url, data_dir))
            note(f"{base_url} (documentation at /docs)")
        yield base_url
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    """The caller's environment without settings that would point the demo at something real."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("MONGO_", "STRIPE_", "FIREBASE_", "GOOGLE_", "ENVIRONMENT", "HOST", "REDIS_"))
    }
    return {**inherited, "LOG_LEVEL": "warning"}


def _ready(process: subprocess.Popen[bytes], base_url: str, data_dir: Path) -> bool:
    if process.poll() is not None:
        lines = (data_dir / "service.log").read_text(errors="replace").strip().splitlines()
        raise DemoFailed(f"the service ended with code {process.returncode}: {' '.join(lines[-3:])}")
    try:
        return httpx.get(f"{base_url}/health/ready", timeout=2.0).status_code == 200
    except httpx.HTTPError:
        return False


def _tell(story: Story, base_url: str) -> None:
    carla = Person(base_url, "carla", Role.SELLER)
    bruno = Person(base_url, "bruno")
    mona = Person(base_url, "mona", Role.MODERATOR)
    otto = Person(base_url, "otto", Role.OPERATOR)
    with story.step("Carla, Bruno, Mona and Otto sign in; their accounts are made at the first request"):
        for person in (carla, bruno, mona, otto):
            person.get("/users/me")
    prompt_id = _write_prompt(story, carla)
    listing_id = _list_it(story, carla, mona, prompt_id)
    _buy_credits(story, bruno, listing_id)
    _buy_listing(story, bruno, mona, listing_id=listing_id, prompt_id=prompt_id)
    _see_the_effects(story, carla, otto)


def _write_prompt(story: Story, carla: Person) -> str:
    with story.step("Carla writes a prompt and two versions of it") as note:
        prompt = carla.post("/prompts", {"name": "Hurried reader", "kind": "text"}, expect=201)
        path = f"/prompts/{prompt['id']}/versions"
        carla.post(path, {"content": "Summarise {{article}}.", "message": "first try"}, expect=201)
        version = carla.post(path, {"content": PROMPT_TEXT, "message": "say for whom"}, expect=201)
        note(f"version {version['version']} is immutable; its content hash is {version['content_hash'][:16]}…")
    identifier: str = prompt["id"]
    return identifier


def _list_it(story: Story, carla: Person, mona: Person, prompt_id: str) -> str:
    with story.step("Carla lists version 2 for 25 credits and submits it") as note:
        listing = carla.post(
            "/marketplace/listings",
            {
                "prompt_id": prompt_id,
                "version": 2,
                "title": "Summaries for people in a hurry",
                "summary": "Three sentences and the next step",
                "description": "A prompt that turns any article into three plain sentences.",
                "category": "writing",
                "tags": ["summary"],
                "price": "25",
            },
            expect=201,
        )
        submitted = carla.post(f"/marketplace/listings/{listing['id']}/submit")
        note(f"the listing is {submitted['state']}")
    with story.step("Mona finds the case in her queue (it came by a durable job), claims it and approves it") as note:
        case = story.until("the moderation case", lambda: mona.get("/moderation/cases")["items"])[0]
        decision = {"decision": "approve", "reason_code": "meets_guidelines", "public_note": "Clear and useful."}
        mona.post(f"/moderation/cases/{case['id']}/claim")
        mona.post(f"/moderation/cases/{case['id']}/decision", decision)
        note("a listing nobody approved is nowhere to be seen; this one is now published")
    identifier: str = listing["id"]
    return identifier


def _buy_credits(story: Story, bruno: Person, listing_id: str) -> None:
    with story.step("Bruno has no credits: the purchase is refused with 402") as note:
        problem = bruno.post(f"/marketplace/listings/{listing_id}/purchases", {"expected_price": "25"}, expect=402)
        note(f"{problem['code']}: {problem['detail']}")
    with story.step("Bruno buys a pack and pays on the page of a Stripe sandbox, which sends its signed event") as note:
        pack = bruno.get("/billing/packs")["packs"][0]
        waiver = bruno.get("/billing/withdrawal-waiver")["version"]
        asked = {"pack_id": pack["id"], "withdrawal_waiver": waiver}
        checkout = bruno.post("/billing/checkouts", asked, expect=201)
        _pay(checkout)
        credits = story.until(
            "the credits", lambda: (seen := bruno.get("/users/me/credits"))["available"] != "0" and seen
        )
        note(f"{credits['available']} credits, granted once, by a job in the event's own transaction")


def _pay(checkout: dict[str, Any]) -> None:
    """What a person does on the sandbox's payment page."""
    response = httpx.post(checkout["url"], data={"action": "pay", "country": "US", "card": "Bruno's"}, timeout=15.0)
    if response.status_code != 303:
        raise DemoFailed(f"the payment page answered {response.status_code}: {response.text[:400]}")


def _buy_listing(story: Story, bruno: Person, mona: Person, *, listing_id: str, prompt_id: str) -> None:
    with story.step("Bruno buys the listing: entitlement, ledger and notifications in one transaction") as note:
        path = f"/marketplace/listings/{listing_id}/purchases"
        purchase = bruno.post(path, {"expected_price": "25"}, expect=201)
        bruno.post(path, {"expected_price": "25"}, expect=409)
        note(f"{bruno.get('/users/me/credits')['available']} credits left; a second click is refused, not charged")
    with story.step("Bruno reads what he bought; nobody else can") as note:
        content = bruno.get(f"/marketplace/purchases/{purchase['id']}")["content"]
        if PROMPT_TEXT not in json.dumps(content, ensure_ascii=False):
            raise DemoFailed("the buyer did not get the content of the version that was sold")
        mona.get(f"/marketplace/purchases/{purchase['id']}", expect=404)
        bruno.get(f"/prompts/{prompt_id}/versions/2", expect=404)
        note("404 for everyone else: what is not yours does not exist")


def _see_the_effects(story: Story, carla: Person, otto: Person) -> None:
    with story.step("Carla hears of her sale (the notification came by a durable job)") as note:

        def sold() -> Any:  # Any: JSON
            seen = carla.get("/notifications")["items"]
            return [one for one in seen if one["kind"] == "listing.sold"]

        note(story.until("the seller's notification", sold)[0]["body"])
        note(f"pending earnings: {carla.get('/users/me/credits')['pending']} credits")
    with story.step("Otto looks at the jobs and at the ledger") as note:
        jobs = otto.get("/jobs?limit=100")["items"]
        note(f"{len(jobs)} jobs, {sum(job['state'] == 'completed' for job in jobs)} completed")
        job_id = otto.post("/ops/ledger/verification", expect=202)["job_id"]
        story.until("the verification", lambda: otto.get(f"/jobs/{job_id}")["state"] == "completed")
        report = otto.get("/ops/ledger")
        if not report["ok"]:
            raise DemoFailed(f"the ledger is not right: {report['violations']}")
        note(f"{report['journals']} journals, {report['legs']} legs, every journal sums to zero")


def _verify_from_the_command_line(story: Story, data_dir: Path) -> None:
    with story.step("`promptforge ledger verify` agrees, beside the running service") as note:
        done = subprocess.run(
            [sys.executable, "-m", "promptforge.deploy", "ledger", "verify", "--data-dir", str(data_dir)],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise DemoFailed(f"ledger verify ended with code {done.returncode}: {done.stdout} {done.stderr}")
        note(done.stdout.strip().splitlines()[0])
