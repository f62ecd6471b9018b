"""The studio in a real browser: what a visitor sees, hears and gets."""

import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

from dancing.bundle import Bundle
from dancing.studio.limits import FILES
from media import EXAMPLE, dancing
from photos import room, somebody, stand, turned
from studio import studio, until
from videos import AVA

pytestmark = pytest.mark.browser

QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --autoplay-policy=no-user-gesture-required"
).split()
SECONDS = 60_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with studio(tmp_path_factory.mktemp("studio")) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "these tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield running
        running.close()


@pytest.fixture
def visit(server, browser):
    """Open the page as a new visitor; it may speak to its own server alone."""
    contexts, strange = [], []

    def open_page(width=1280, height=900):
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SECONDS)
        own = (server.url, "data:", "blob:")
        page.on("request", lambda r: r.url.startswith(own) or strange.append(r.url))
        page.goto(server.url)
        expect(page.locator("#go")).to_be_visible(timeout=SECONDS)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not strange


def dance(page, seconds=1, seed=0, song=None):
    if song is not None:
        page.get_by_role("button", name="Clear").first.click()
        page.locator("#song input[type=file]").set_input_files(song)
        expect(page.locator("#song")).to_contain_text(song.suffix)
    page.get_by_label("Length, in seconds").first.fill(str(seconds))
    page.get_by_label("Seed: the same number").first.fill(str(seed))
    page.locator("#go").click()


def download(page, name, folder):
    with page.expect_download() as taken:
        page.locator(f".downloads tr:has([aria-label='{name}']) a").click()
    taken.value.save_as(folder / name)
    return folder / name


def test_a_song_becomes_a_dance_that_plays(visit, tmp_path):
    song = tmp_path / "my <song>.ogg"
    shutil.copy(EXAMPLE, song)
    page = visit()
    dance(page, 2, 7, song)
    expect(page.locator("progress")).to_be_visible()
    video = page.locator("#video video")
    expect(video).to_be_visible(timeout=SECONDS)
    page.wait_for_function("document.querySelector('#video video').currentTime > 0.5")
    about = video.evaluate("v => [v.duration, v.muted, v.webkitAudioDecodedByteCount, v.error]")
    assert about[0] == pytest.approx(2, abs=0.1) and about[1] is False
    assert about[2] > 0 and about[3] is None, "it has a sound track that is played"
    dancing("generate", EXAMPLE, "-o", tmp_path / "same.mp4", "--seed", 7, "--duration", 2)
    same = (tmp_path / "same.mp4").read_bytes()
    assert download(page, "dance.mp4", tmp_path).read_bytes() == same
    page.get_by_role("button", name="Make a skeleton video too").click()
    expect(page.locator(".downloads").first).to_contain_text("skeleton", timeout=SECONDS)
    dancing("generate", EXAMPLE, "-o", tmp_path / "lines.mp4", "--seed", 7, "--duration", 2,
            "--style", "skeleton")  # fmt: skip
    same = (tmp_path / "lines.mp4").read_bytes()
    assert download(page, "skeleton.mp4", tmp_path).read_bytes() == same


def test_a_bad_song_is_told_and_the_next_one_danced(visit, tmp_path):
    (tmp_path / "words.mp3").write_text("hello " * 100)
    page = visit()
    dance(page, song=tmp_path / "words.mp3")
    expect(page.locator(".step").first).to_contain_text("words.mp3: is not a media file")
    expect(page.get_by_test_id("toast-body")).to_contain_text("words.mp3")
    page.get_by_role("button", name="Take the example").first.click()
    expect(page.locator("#song")).to_contain_text("song")
    dance(page)
    expect(page.locator("#video video")).to_be_visible(timeout=SECONDS)


def test_two_visitors_at_once(visit):
    pages = [visit(), visit()]
    for seed, page in enumerate(pages, 1):
        dance(page, seed=seed)
    for seed, page in enumerate(pages, 1):
        expect(page.locator(".step").first).to_contain_text(f"seed {seed}", timeout=SECONDS)
        expect(page.locator("#video video")).to_be_visible()


def test_the_keyboard_is_enough(visit):
    page = visit()

    def tab_to(what):
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({what!r})"):
                return
        raise AssertionError(f"{what} is not reached")

    tab_to("input[type=number][aria-label^='Length']")
    page.keyboard.press("Control+a")
    page.keyboard.type("1")
    tab_to(".cards input[value=kai]")
    page.keyboard.press("Space")
    tab_to("#go")
    page.keyboard.press("Enter")
    expect(page.locator(".step").first).to_contain_text("kai dances 1 s", timeout=SECONDS)


def test_who_leaves_takes_the_job_along(visit, server):
    before = server.jobs()
    page = visit()
    dance(page, 14)
    until(lambda: server.jobs() - before, 30)
    page.close()
    until(lambda: server.jobs() == before, 30)


def test_a_dance_can_be_stopped(visit, server):
    before = server.jobs()
    page = visit()
    dance(page, 14)
    page.get_by_role("button", name="Stop", exact=True).first.click()
    expect(page.locator(".step").first).to_contain_text("Stopped", timeout=SECONDS)
    expect(page.locator("#go")).to_be_enabled()
    until(lambda: server.jobs() == before, 30)


def test_two_dances_beside_each_other(visit):
    page = visit()
    page.get_by_role("tab", name="Compare").click()
    page.get_by_label("Length, in seconds").locator("visible=true").fill("1")
    page.locator(".cards label:visible", has_text="kai").last.click()
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_role("button", name="Play both").click()
    page.wait_for_function(
        "[...document.querySelectorAll('#compared video')].filter(v => v.currentTime > 0.1)"
        ".length == 2"
    )


def test_what_is_found_in_a_video_is_shown(visit):
    page = visit()
    page.get_by_role("tab", name="Learn").click()
    page.locator("#inputs input[type=file]").set_input_files(AVA)
    page.get_by_role("button", name="See who is found").click()
    expect(page.locator("#seen")).to_contain_text("s: one person", timeout=SECONDS)
    assert page.locator("#seen img").count() == 8
    page.locator("#inputs").get_by_role("button", name="Clear").click()
    page.locator("#learn").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text("choose a photo or a video")


def test_a_photo_becomes_a_dancer(visit, tmp_path):
    pytest.importorskip("onnx")
    photo = turned(tmp_path / "me.jpg", stand(room(360, 480), somebody(), 190, 450, 315))
    page, stranger = visit(), visit()
    page.get_by_role("tab", name="Learn").click()
    page.locator("#inputs input[type=file]").set_input_files(photo)
    expect(page.locator("#inputs")).to_contain_text("me.jpg")
    state = page.locator(".step:visible").first
    page.locator("#learn").click()
    expect(state).to_contain_text("tick that the person shown agrees")
    expect(page.locator("#learn")).to_be_enabled()
    page.get_by_label("The person shown agrees").check()
    page.get_by_label("The dancer's name").fill("Kim")
    page.locator("#learn").click()
    expect(page.locator("#seen")).to_contain_text("me.jpg", timeout=SECONDS)
    expect(state).to_contain_text("Kim is now among the dancers", timeout=SECONDS)
    found = page.locator("#seen img").evaluate("i => [i.naturalWidth, i.naturalHeight]")
    assert found == [360, 480], "upright"
    kept = Bundle(download(page, "Kim.zip", tmp_path))
    shown = page.locator("#strip img").evaluate("i => [i.naturalWidth, i.naturalHeight]")
    assert tuple(shown) == kept.card.image.size and "agreed" in kept.card.consent
    expect(page.locator("#trial video")).to_be_visible(timeout=SECONDS)
    page.wait_for_function("document.querySelector('#trial video').currentTime > 0.2")
    page.get_by_role("tab", name="Dance", exact=True).click()
    card = page.locator(".cards label:visible", has_text="Kim")
    assert "data:image" in card.evaluate("c => getComputedStyle(c).backgroundImage")
    card.click()
    dance(page)
    expect(page.locator(".step").first).to_contain_text("Kim dances 1 s", timeout=SECONDS)
    assert stranger.locator(".cards label", has_text="Kim").count() == 0
    page.get_by_role("tab", name="Learn").click()
    page.locator("#inputs").get_by_role("button", name="Clear").click()
    expect(page.get_by_label("The person shown agrees")).not_to_be_checked()
    expect(page.locator("#seen")).not_to_be_visible()


def test_too_many_files_at_a_time_are_told(visit, tmp_path):
    films = [tmp_path / f"{number}.mp4" for number in range(FILES + 1)]
    for film in films:
        film.write_bytes(b"film" * 100_000)
    page = visit()
    page.get_by_role("tab", name="Learn").click()
    page.locator("#inputs input[type=file]").set_input_files(films)
    expect(page.get_by_test_id("toast-body")).to_contain_text("At most 20 files at a time")


def test_who_knows_the_password_gets_in(browser, tmp_path):
    with studio(tmp_path, "--auth", "ann:secret") as server:
        page = browser.new_page()
        page.set_default_timeout(SECONDS)
        page.goto(server.url)
        expect(page.locator("body")).to_contain_text("After 10 wrong passwords, wait a minute")
        for password in ("guess", "secret"):
            page.locator("input").first.fill("ann")
            page.locator("input[type=password]").fill(password)
            page.get_by_role("button", name="Login").click()
            if password == "guess":
                expect(page.locator("body")).to_contain_text("Incorrect")
        expect(page.locator("#go")).to_be_visible(timeout=SECONDS)
        dance(page)
        expect(page.locator("#video video")).to_be_visible(timeout=SECONDS)
        page.close()


@pytest.mark.parametrize("tab", ["Dance", "Compare", "Learn"])
def test_nothing_sticks_out_of_a_phone(visit, tab):
    page = visit(390, 844)
    page.get_by_role("tab", name=tab, exact=True).click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
