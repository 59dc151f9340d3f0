"""The documentation in a real browser, from the real service: it shows, it works, and its policy stops nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from tests.support.service import Service, serving

pytestmark = pytest.mark.timeout(600)
PATIENCE_MS = 90_000
"""The document is large, and a busy machine takes its time to draw it: how long is not what these tests are about."""
QUIET = "--disable-gpu --disable-background-networking --disable-component-update --disable-sync --no-first-run"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        with playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", *QUIET.split()]) as launched:
            yield launched


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        opened = context.new_page()
        opened.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield opened


def shown(page: Page) -> set[str]:
    """The ids of all operations; one tag is open at a time, for of a long list only what is in sight is drawn."""
    found = set[str]()
    for tag in page.locator(".opblock-tag").all():
        tag.click()
        blocks = page.locator(".opblock")
        expect(blocks.first).to_be_visible()
        found |= {str(block.get_attribute("id")).rpartition("-")[2] for block in blocks.all()}
        tag.click()
        expect(blocks).to_have_count(0)
    return found


def test_the_docs_show_every_operation_and_load_nothing_from_elsewhere(service: Service, page: Page) -> None:
    told: list[str] = []
    requested: list[str] = []
    page.on("console", lambda message: told.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: requested.append(request.url))

    page.goto(f"{service.base_url}/docs")
    expect(page.get_by_role("heading", name="PromptForge")).to_be_visible()
    expect(page.locator(".opblock-tag").first).to_be_visible()
    document = service.visitor.get("/api/v1/openapi.json").json()
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert shown(page) == {one["operationId"] for one in operations}
    page.locator('.opblock-tag[data-tag="prompts"]').click()
    page.locator("#operations-prompts-createPrompt button.opblock-summary-control").click()
    expect(page.locator("#operations-prompts-createPrompt .body-param__example")).to_contain_text("Hurried reader")

    assert told == []
    assert {url for url in requested if not url.startswith((f"{service.base_url}/", "data:"))} == set()


def test_an_operation_can_be_tried_with_a_token(service: Service, page: Page) -> None:
    ada = service.person("ada")
    page.goto(f"{service.base_url}/docs#/users/getMe")
    page.get_by_role("button", name="Authorize").first.click()
    page.get_by_label("auth-bearer-value").fill(ada.client.headers["authorization"].removeprefix("Bearer "))
    page.locator(".modal-ux button.authorize").click()
    page.locator(".modal-ux button.btn-done").click()
    operation = page.locator("#operations-users-getMe")
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("200")
    expect(operation.locator(".live-responses-table")).to_contain_text(ada.get("/users/me")["id"])


def test_scripts_that_are_not_ours_do_not_run(service: Service, page: Page) -> None:
    page.goto(f"{service.base_url}/docs")
    with pytest.raises(Error, match="Content Security Policy"):
        page.add_script_tag(content="document.title = 'changed'")
    with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        image = "<img src=/x onerror=document.title='changed'>"
        page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", image)
    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate("fetch('http://localhost:9/', {mode: 'no-cors'})")
    assert page.title() == "PromptForge API"


def test_without_scripts_the_page_says_where_the_document_is(service: Service, browser: Browser) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{service.base_url}/docs")
        page.get_by_role("link", name="openapi.json").click()
        assert page.url == f"{service.base_url}/api/v1/openapi.json"
