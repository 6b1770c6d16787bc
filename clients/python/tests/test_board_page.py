"""The board's page in a browser: what it shows is what the server says, it follows events, filters and dates, says what it
does not know, and can be used by everybody.

Needs Chromium (Debian's package), playwright, and what `build_static.py --tests` brings; without them these tests are skipped,
and say so.
"""

import json
import math
import random
import re
import shlex
import signal
import subprocess
import time
import warnings
from types import SimpleNamespace

import pytest
import redis

import boards
import browsers
import build_static
import shop
from browsers import SECONDS, Watched
from redis_hll import HLL
from servers import wait_for

AXE = build_static.development() / build_static.AXE
MOST_WEIGHT = 1_500_000
QUIET = 2.5  # seconds in which an idle page must send nothing
BUSY = 3.0  # seconds of events one after the other
WIDTHS = (1440, 820, 390)
CONFIG = shop.BOARD + """[board.limits]
share = 0.5
cpu = 0.8
"""
STRICT = ("script-src 'self'", "style-src 'self'", "default-src 'none'")

pytestmark = pytest.mark.timeout(120)


# ---- fixtures


@pytest.fixture(scope="module")
def chromium():
    """The browser, or all tests of this file are skipped, loudly."""
    reason = None
    if not build_static.is_current() or not AXE.is_file():
        reason = "clients/python/build_static.py --tests has not been run"
    elif browsers.path() is None:
        reason = "there is no Chromium (Debian's package chromium)"
    if reason:
        warnings.warn(f"THE BOARD'S PAGE IS NOT TESTED: {reason}", stacklevel=1)
        pytest.skip(reason)
    with browsers.browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def live(_shared, request, tmp_path_factory):
    """A server with a filled shop and its board: (redis client, cube, board)."""
    name = next(iter(request.config.hll_servers))
    server = _shared(name)
    server.close_clients()
    server.reset()
    client = redis.Redis(port=server.port, protocol=3)
    cube = HLL(client).cube("shop")
    shop.fill(cube, days=63, visits=90, now=int(time.time() * 1000))
    with board_of(server, tmp_path_factory.mktemp("board")) as board:
        yield client, cube, board
    server.reset()


def board_of(server, directory, more=""):
    """A board of the shop on a server."""
    file = directory / "board.toml"
    file.write_text(CONFIG + more, encoding="utf-8")
    return boards.Board(f"redis://127.0.0.1:{server.port}", "--config", file)


@pytest.fixture
def watch(chromium, live):
    """watch(**options of a browser context): a page; at the end its console must have been silent."""
    opened = []

    def factory(**options):
        opened.append(Watched(chromium, live[2].address, **options))
        return opened[-1]

    yield factory
    for each in opened:
        each.close()


# ---- how numbers are written, worked out here once more


def step_below(x):
    power = 10 ** math.floor(math.log10(x) + 1e-9)
    return next(lead * power for lead in (5, 2, 1) if lead * power <= x * (1 + 1e-9))


def shown(estimate, lower, upper):
    """A count as the page writes it: (number or range, ± or empty)."""
    arm = max(estimate - lower, upper - estimate)
    if arm < 1e-9 * max(1, estimate) or math.floor(lower + 0.5) == math.floor(upper + 0.5):
        return f"{math.floor(estimate + 0.5):,}", ""
    if arm > estimate / 4:
        step = max(1, step_below((upper - lower) / 4))
        low, high = math.floor(lower / step + 1e-9) * step, math.ceil(upper / step - 1e-9) * step
        return (f"under {high:,.0f}" if low <= 0 else f"{low:,.0f} – {high:,.0f}"), ""
    step = max(1, step_below(arm / 2))
    power = 10 ** (math.floor(math.log10(arm) + 1e-9) - 1)
    arm = math.ceil(math.ceil(arm / power - 1e-6) * power - 1e-6)
    return f"{math.floor(estimate / step + 0.5) * step:,.0f}", f"± {max(1, arm):,}"


def plain(text):
    return text.replace("\u00a0", " ").replace("\u202f", " ").replace("\u2212", "-").strip()


def pairs(reply):
    """A reply's maps as dicts with text names."""
    if isinstance(reply, dict):
        return {name.decode() if isinstance(name, bytes) else name: pairs(value) for name, value in reply.items()}
    if isinstance(reply, list):
        return [pairs(item) for item in reply]
    return reply.decode() if isinstance(reply, bytes) else reply


def ask(client, command):
    """What the server says to a command as the page gives it."""
    return pairs(client.execute_command(*shlex.split(command)))


def copied(page, panel):
    """The first command that a panel copies."""
    return all_copied(page, panel).split("\n")[0]


def all_copied(page, panel):
    """All of them."""
    page.locator(f'[data-act="copy"][data-panel="{panel}"]').click()
    return page.evaluate("navigator.clipboard.readText()")


def until(page, expression, *argument):
    """Until this holds in the page. (Playwright's own wait_for_function needs eval, which the page's policy forbids.)"""
    return browsers.until(page, expression, *argument)


def soon(what, condition):
    """Polls, since borders of time and events come while the page and the test look."""
    return wait_for(what, condition, SECONDS, 0.1)


# ---- numbers


ROUNDING = [  # estimate, lower, upper, number, ±
    (104312, 101880, 106744, "104,000", "± 2,500"),
    (104312, 104312, 104312, "104,312", ""),
    (3874, 3784, 3964, "3,880", "± 90"),
    (31384, 30652, 32116, "31,400", "± 740"),
    (87, 87, 87, "87", ""),
    (0, 0, 0, "0", ""),
    (52, 30, 88, "30 – 90", ""),
    (14, 0, 23, "under 25", ""),
    (3, 1, 9, "under 10", ""),
    (8, 7.6, 8.4, "8", ""),
    (8, 7.4, 8.6, "8", "± 1"),
    (1000, 990, 1010, "1,000", "± 10"),
    (999.6, 960, 1010, "1,000", "± 40"),
    (61200, 59760, 62000, "61,000", "± 1,500"),
    (5, 4.9996, 5.0004, "5", ""),
    (12345678, 12000000, 12700000, "12,300,000", "± 360,000"),
]


def test_rounding(watch):
    """A table by hand, and ten thousand intervals by chance, which the page and this file round alike."""
    page = watch().open()
    rng = random.Random(20)
    drawn = []
    for _ in range(10_000):
        estimate = 10 ** rng.uniform(0, 8)
        arm = estimate * 10 ** rng.uniform(-4, 0)
        drawn.append((estimate, max(0, estimate - arm * rng.random()), estimate + arm))
    cases = [case[:3] for case in ROUNDING] + drawn
    got = page.evaluate("""async (cases) => {
        const numbers = await import(new URL('static/js/numbers.js', document.baseURI));
        return cases.map(([estimate, lower, upper]) => { const f = numbers.count({ estimate, lower, upper }); return [f.text, f.plus, f.kind]; });
    }""", cases)
    for case, (text, plus, _) in zip(ROUNDING, got, strict=False):
        assert (plain(text), plain(plus)) == case[3:], case
    for case, (text, plus, _) in zip(cases, got, strict=True):
        assert (plain(text), plain(plus)) == shown(*case), case
    kinds = page.evaluate("""async () => {
        const n = await import(new URL('static/js/numbers.js', document.baseURI));
        const of = (estimate, lower, upper) => ({ estimate, lower, upper });
        const words = (f) => [f.text, f.plus ?? ''];
        return [words(n.percent(of(.0242, .0231, .0253))), words(n.percent(of(.06, .01, .11), 1)), words(n.money(of(1.42, 1.38, 1.46), '€')), words(n.money(of(11.2, 10.3, 12.1), '€')),
                words(n.money(of(30, 15, 240), '€')), words(n.money(of(30, 20, null), '€')), [n.cash(148230.4, '€')], [n.change(of(.052, .028, .076)).text],
                [n.change(of(.009, -.014, .032)).text], [n.change(of(-.18, -.22, -.14)).text], [n.change(of(0, 0, 0)).text], [n.change(of(.066, .066, .066)).text]];
    }""")
    assert [[plain(word) for word in words] for words in kinds] == [
        ["2.40 %", "± 0.11"], ["under 12 %", ""], ["€1.42", "± 0.04"], ["€11.20", "± 0.90"], ["under €250", ""], ["over €20", ""], ["€148,230"],
        ["↑ 5 %"], ["no clear change"], ["↓ 18 %"], ["no change"], ["↑ 6.6 %"]]


def test_numbers_are_those_of_the_server(watch, live):
    """Cards, key figures and rows, each beside what the server says to the very command that the page copies."""
    client, *_ = live
    watched = watch()
    page = watched.open()
    watched.settle()
    for name in ("now", "today", "7d", "30d"):
        command = copied(page, name)
        assert command.startswith("HLL.CUBE.QUERY shop"), command
        soon(f"the card {name} to say what {command} says", lambda: card(page, name) == count_of(ask(client, command)))
    command = copied(page, "list.country")
    soon(f"the countries of {command}", lambda: rows(page, "list.country") == [
        (row["country"], *count_of({"rows": [row]})) for row in ask(client, command)["rows"][:10]])
    command = copied(page, "series")
    soon("events in all", lambda: key(page, "Events") == f"{sum(row['events'] for row in ask(client, command)['rows']):,.0f}")
    soon("revenue", lambda: key(page, "Revenue") == f"€{ask(client, 'HLL.CUBE.COUNT shop LAST 30d')['revenue']:,.0f}")
    command = copied(page, "funnel")
    soon(f"the funnel of {command}", lambda: first_step(page) == {
        row["device"]: count_of({"rows": [{"unique": (step := row["steps"][0])["users"], "unique_lower": step["lower"], "unique_upper": step["upper"]}]})
        for row in ask(client, command)["rows"]})


def count_of(reply):
    row = reply["rows"][0]
    return shown(row["unique"], row["unique_lower"], row["unique_upper"])


PARTS = """(place) => [place.querySelector('b, .value, .rough'), place.querySelector('.plus')].map((part) => part?.textContent ?? '')"""


def number(place):
    """The number and the ± of a place of the page, read at one moment; "exact" is no ±."""
    text, plus = place.evaluate(PARTS)
    return plain(text), plain(plus).replace("exact", "")


def card(page, name):
    return number(page.locator(f'[data-panel="{name}"] .big'))


def rows(page, panel):
    return [(row.get_attribute("data-value"), *number(row)) for row in page.locator(f'[data-panel="{panel}"] .row').all()]


def key(page, word):
    return plain(page.locator(f'[data-key="key-{word}"] dd').inner_text())


def first_step(page):
    heads = [head.inner_text().lower() for head in page.locator(".funnel thead th").all()]
    cells = page.locator(".funnel tbody tr").first.locator("td").all()
    return dict(zip(heads, map(number, cells), strict=True))


def test_the_page_copies_what_was_sent(watch, live):
    client, *_ = live
    watched = watch()
    page = watched.open("#range=7d&device=tablet")
    watched.settle()
    command = copied(page, "list.country")
    assert "WHERE device tablet" in command and page.locator("#toast code").first.inner_text() == command
    with client.monitor() as monitor:
        client.execute_command("HLL.CUBE.ADD", "shop", "*", "monitored", "step", "view", "device", "tablet", "country", "DE", "page", "/")
        end = time.monotonic() + SECONDS
        while monitor.next_command()["command"] != command:
            assert time.monotonic() < end, f"the board did not send {command}"


def test_an_event_shows_and_the_focus_stays(watch, live):
    client, cube, _ = live
    watched = watch()
    page = watched.open()
    watched.settle()
    before = int(card(page, "now")[0].replace(",", ""))
    row = page.locator('[data-panel="list.device"] .row').nth(1)
    row.focus()
    focused = row.get_attribute("data-key")
    for at in range(5):
        cube.add(f"newcomer-{before}-{at}", step="view", device="desktop", country="DE", channel="direct", page="/")
    began = time.monotonic()
    until(page, "(least) => Number(document.querySelector('[data-panel=\"now\"] .big b').textContent.replaceAll(',', '')) >= least", before + 1)
    print(f"an event was seen after {time.monotonic() - began:.2f} s")
    assert page.evaluate("document.activeElement.dataset.key") == focused


# ---- asking otherwise


def test_filters_by_click_and_key_with_back_and_reload(watch, live):
    client, *_ = live
    watched = watch()
    page = watched.open()
    watched.settle()
    everybody = card(page, "30d")
    page.locator('[data-panel="list.device"] .row[data-value="mobile"]').click()
    page.wait_for_selector(".chip")
    assert "device=mobile" in page.url and plain(page.locator(".chip b").inner_text()) == "Mobile"
    assert page.locator('[data-value="mobile"].row').get_attribute("aria-pressed") == "true"
    soon("mobile visitors", lambda: card(page, "30d") == count_of(ask(client, copied(page, "30d"))) != everybody)
    mobile = card(page, "30d")
    country = page.locator('[data-panel="list.country"] .row[data-value="AT"]')
    country.focus()
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('.chip').length === 2")
    assert "country=AT" in page.url
    soon("the two filters", lambda: card(page, "30d") not in (everybody, mobile))
    page.go_back()
    until(page, "document.querySelectorAll('.chip').length === 1")
    soon("mobile visitors again", lambda: card(page, "30d") == mobile)
    page.reload()
    page.wait_for_selector(".chip")
    watched.settle()
    soon("mobile visitors after reloading", lambda: card(page, "30d") == mobile)
    page.go_back()
    until(page, "document.querySelectorAll('.chip').length === 0")
    soon("everybody again", lambda: card(page, "30d") == everybody)
    page.go_forward()
    page.locator(".chip button").click()
    until(page, "document.querySelectorAll('.chip').length === 0 && !location.hash.includes('device')")


def test_a_filter_without_a_group_says_what_to_type(watch, live):
    client, *_ = live
    page = watch().open("#page=/sale", ready='[data-panel="list.country"] .instead')
    panel = page.locator('[data-panel="list.country"] .instead')
    panel.wait_for()
    fix = panel.locator("code").inner_text()
    assert sorted(fix.removeprefix("HLL.CUBE.ALTER shop ADD GROUP ").split(",")) == ["country", "page"]
    assert page.locator('[data-panel="list.page"] .row').count() == 10  # another page can be chosen all the same
    panel.get_by_role("button", name="Show all visitors").click()
    page.wait_for_selector('[data-panel="list.country"] .row')


def test_filters_that_are_never_kept_together_are_explained_once(watch):
    watched = watch()
    page = watched.open("#page=/sale&device=mobile", ready='[data-key="panel-blocked"] code')
    assert page.locator(".instead").count() == 1 and page.locator(".card").count() == 0
    axe(page, "not kept together")
    page.locator('.chip button[aria-label*="Device"]').click()
    page.wait_for_selector('.card b')
    assert page.locator('[data-panel="list.page"] .row').count() == 10


def test_ranges_dates_and_no_comparison(watch, live):
    client, *_ = live
    watched = watch()
    page = watched.open()
    watched.settle()
    for name, words in (("today", "PERIOD TODAY"), ("7d", "LAST 7d"), ("90d", "LAST 90d")):
        page.locator(f'#ranges [data-range="{name}"]').click()
        assert f"range={name}" in page.url
        soon(f"{words} in the commands", lambda: words in copied(page, "list.page"))
    soon("a comparison", lambda: "COMPARE PREVIOUS" in all_copied(page, "30d"))
    page.locator("#compare").click()
    soon("no comparison", lambda: "COMPARE" not in all_copied(page, "30d"))
    assert "compare=0" in page.url
    soon("no change on the card", lambda: page.locator('[data-panel="30d"] .versus b').count() == 0)
    page.locator("#compare").click()
    page.locator("#dates").click()
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 20 * 86400))
    page.locator("#date-from").fill(day)
    page.locator("#date-to").fill(day)
    page.locator("#datepanel button").click()
    until(page, "(day) => location.hash.includes(`from=${day}&to=${day}`)", day)
    soon("one day", lambda: re.search(r" FROM \d+ TO \d+", copied(page, "list.page")))
    command = copied(page, "list.device")
    soon("the devices of that day", lambda: rows(page, "list.device") == [(row["device"], *count_of({"rows": [row]})) for row in ask(client, command)["rows"]])


def test_a_filter_that_is_none(watch):
    watched = watch()
    watched.allowed.append("422|Failed to load")
    page = watched.open("#colour=red", ready=".banner")
    assert "colour" in page.locator(".banner").inner_text()
    page.locator('.banner [data-act="reset"]').click()
    page.wait_for_selector(".funnel tbody tr")


def test_the_theme_is_remembered(watch):
    watched = watch(color_scheme="light")
    page = watched.open()
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(245, 246, 248)"
    page.locator("#theme").click()
    assert page.evaluate(ground) == "rgb(13, 16, 20)"
    page.reload()
    page.wait_for_selector(".card")
    assert page.evaluate(ground) == "rgb(13, 16, 20)"


# ---- states


def test_gone_and_back(start, chromium, request, tmp_path):
    """The server goes, its last numbers stay, it comes back without anything being done; the same with the board."""
    server = start(next(iter(request.config.hll_servers)), options={"save": "", "appendonly": "yes", "appendfsync": "always"})
    client = redis.Redis(port=server.port)
    shop.fill(HLL(client).cube("shop"), days=10, visits=30, now=int(time.time() * 1000))
    with board_of(server, tmp_path, "alive = 0.5\n") as board:
        watched = Watched(chromium, board.address)
        watched.allowed.append("Failed to load resource|ERR_")
        page = watched.open()
        watched.settle()
        numbers = card(page, "30d")
        client.close()
        server.process.kill()
        server.process.wait()
        page.wait_for_selector(".banner.gone")
        assert "server does not answer" in page.locator(".banner.gone").inner_text() and card(page, "30d") == numbers
        assert page.locator("body").get_attribute("data-link") == "gone"
        axe(page, "the server gone")
        again(server)
        page.wait_for_selector("body[data-link=live]")
        until(page, "!document.querySelector('.banner')")
        board.process.send_signal(signal.SIGSTOP)
        page.wait_for_selector(".banner.stale")
        assert "old" in page.locator(".banner.stale").inner_text() and card(page, "30d") == numbers
        board.process.send_signal(signal.SIGCONT)
        until(page, "!document.querySelector('.banner')")
        board.process.kill()
        page.wait_for_selector(".banner.gone")
        assert "board does not answer" in page.locator(".banner.gone").inner_text() and card(page, "30d") == numbers
        watched.close()


def again(server):
    """Starts a killed server on the port that it had."""
    with open(server.log_path, "ab") as log:
        server.process = subprocess.Popen(server.command_line(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=server.directory)
    wait_for("the server to be back", lambda: server._wait_until_ready(), SECONDS)


def test_empty_until_the_first_event(start, chromium, request, tmp_path):
    server = start(next(iter(request.config.hll_servers)))
    cube = HLL(redis.Redis(port=server.port)).cube("shop")
    with board_of(server, tmp_path) as board:
        watched = Watched(chromium, board.address)
        page = watched.open(ready=".instead code")
        assert "HLL.CUBE.CREATE shop" in page.locator("main").inner_text()
        shop.create(cube)
        until(page, "[...document.querySelectorAll('.instead code')].some((code) => code.textContent.startsWith('HLL.CUBE.ADD shop'))")
        page.wait_for_selector(".server")
        axe(page, "nothing there yet")
        cube.add("first", step="view", device="mobile", country="DE", channel="direct", page="/")
        page.wait_for_selector('[data-panel="list.country"] .row')
        soon("the first visitor", lambda: card(page, "today") == ("1", ""))

        # Under the pointer rows stay where they are, whatever comes; afterwards the largest is the first.
        def countries():
            return [row[0] for row in rows(page, "list.country")]

        page.locator('[data-panel="list.country"] .rows').hover()
        for number in range(3):
            cube.add(f"french-{number}", step="view", device="mobile", country="FR", channel="direct", page="/")
        soon("a second country", lambda: sorted(countries()) == ["DE", "FR"] and card(page, "today") == ("4", ""))
        assert countries() == ["DE", "FR"]
        page.mouse.move(0, 0)
        soon("the order of the numbers", lambda: countries() == ["FR", "DE"])
        watched.close()


def test_too_many_viewers(chromium, live, tmp_path):
    client, *_ = live
    with board_of(SimpleNamespace(port=client.connection_pool.connection_kwargs["port"]), tmp_path, "viewers = 1\n") as board:
        first, second = Watched(chromium, board.address), Watched(chromium, board.address)
        first.open()
        page = second.open(ready=".banner[role=alert]")
        assert "no room" in page.locator(".banner").inner_text()
        first.close()
        second.close()


def crafted(page, change):
    """Lets the stream of a page be answers of this test: those of the board, changed."""
    def answer(route):
        panels = {}
        base = route.request.url.split("/stream")[0]
        query = route.request.url.split("?", 1)[1]
        names = re.search(r"panels=([^&]*)", query)[1].split(",")
        for name in names:
            panels[name] = page.request.get(f"{base}/{name}?{re.sub(r'&?(panels|have)=[^&]*', '', query)}").json()
        change(panels)
        said = ['event: status\ndata: {"server":"live","since":1,"text":null,"dataset":"there","problem":null}\n\n']
        said += [f"event: panel\ndata: {json.dumps(panel)}\n\n" for panel in panels.values()]
        route.fulfill(status=200, headers={"content-type": "text/event-stream"}, body="".join(said))

    page.route("**/stream?*", answer)


def test_what_is_exact_rough_and_unclear(watch):
    """Answers as servers give them to rare questions: exact, too wide, nothing known, changes around nought, over one bound."""
    def of(estimate, lower, upper):
        return {"estimate": estimate, "lower": lower, "upper": upper}

    def change(panels):
        panels["today"]["answer"].update(unique=of(41, 41, 41), unique_change={"previous": 40, "change": of(0.025, -0.1, 0.2)})
        panels["7d"]["answer"].update(unique=of(52, 30, 88), unique_change={"previous": 20, "change": of(1.6, 0.5, 2.9)})
        panels["30d"]["answer"].update(unique=None, unique_change=None)
        first, second = panels["funnel"]["answer"]["rows"][0]["steps"][1:3]
        first.update(overall=of(0.06, 0.045, 0.08))
        second.update(overall=of(0.005, 0, 0.012))
        cells = panels["retention"]["answer"]["rows"][0]["periods"]
        cells[1].update(rate=of(0.1, 0.07, 0.14), unfinished=False)
        campaign = panels["campaign"]["answer"]["rows"][0]
        campaign.update(cpa=of(30, 20, None), conversions=of(14, 0, 23))
        panels["list.page"] = {**panels["list.page"], "answer": None, "problem": {"kind": "refused", "text": "ERR something else", "fix": None}}

    watched = watch()
    crafted(watched.page, change)
    page = watched.open()
    watched.settle()
    assert card(page, "today") == ("41", "") and "exact" in page.locator('[data-panel="today"] .big').inner_text()
    assert plain(page.locator('[data-panel="today"] .versus b').inner_text()) == "no clear change"
    assert card(page, "7d") == ("30 – 90", "") and page.locator('[data-panel="7d"] .big .rough').count() == 1
    assert plain(page.locator('[data-panel="7d"] .versus b').inner_text()).startswith("↑ 1")
    assert card(page, "30d") == ("–", "")
    cells = page.locator(".funnel tbody tr")
    assert plain(cells.nth(1).locator("td").first.inner_text()).startswith("4.5 – 8.0 %") and cells.nth(1).locator("td").first.locator(".sure").count() == 0
    assert plain(cells.nth(2).locator("td").first.inner_text()).startswith("under 1.2 %")
    assert plain(page.locator(".heat .rough-cell").first.inner_text()) == "7 – 14 %"
    assert "over €20" in plain(page.locator(".campaigns").inner_text()) and "under 25" in plain(page.locator(".campaigns").inner_text())
    assert "ERR something else" in page.locator('[data-panel="list.page"] .instead.failed').inner_text()
    assert page.locator('[data-panel="list.country"] .row').count() == 10
    axe(page, "rough and failed")


def test_grey_blocks_until_answers_come(watch):
    """Where a stream is silent from the beginning; on a page that has numbers there are none, however long the next ones take."""
    watched = watch()
    watched.page.route("**/stream?*", lambda route: None)
    page = watched.open(ready=".card .blank")
    assert page.locator("body").get_attribute("data-link") == "waiting"


# ---- for everybody


def axe(page, what):
    """No violation that axe-core finds."""
    # By the debugging interface, which the page's Content-Security-Policy does not bind.
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run(document, { resultTypes: ['violations'] })).violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + ' ' + (n.any[0]?.message ?? '')).join(' | ')}`)")
    assert not found, f"{what}: {found}"


VARIANTS = [("light", 1440, ""), ("dark", 1440, ""), ("light", 390, ""), ("dark", 390, ""), ("light", 820, "#device=mobile&range=7d"), ("dark", 820, "#page=/sale&compare=0"),
            ("light", 1440, "#range=today")]


@pytest.mark.parametrize(("theme", "width", "fragment"), VARIANTS)
def test_everybody_can_use_it_at_every_width(watch, theme, width, fragment):
    """axe-core finds nothing, nothing is wider than the screen, and what can be pressed is large enough."""
    watched = watch(color_scheme=theme)
    page = watched.page
    page.set_viewport_size({"width": width, "height": 900})
    watched.open(fragment, ready=".heat, [data-panel=retention] .instead")
    watched.settle()
    axe(page, f"{theme} {width} {fragment}")
    for narrower in (width, width - 30):
        page.set_viewport_size({"width": narrower, "height": 900})
        until(page, "document.scrollingElement.scrollWidth <= innerWidth")
    out = page.evaluate("""() => [...document.querySelectorAll('.panel *')].filter((e) => !e.closest('.hidden, .tablebox, svg, .chart, thead') && e.getClientRects().length
        && e.getBoundingClientRect().right > e.closest('.panel').getBoundingClientRect().right + 1).map((e) => e.outerHTML.slice(0, 120))""")
    assert not out, out
    small = page.evaluate("""() => [...document.querySelectorAll('button, select, input, a[href]')].filter((e) => !e.closest('.hidden, .skip') && e.getClientRects().length)
        .filter((e) => { const box = e.getBoundingClientRect(); return box.bottom > 0 && (box.width < 24 || box.height < 24); }).map((e) => e.outerHTML.slice(0, 120))""")
    assert not small, small
    if fragment == "#range=today":
        page.locator('[data-act="table"]').click()
        page.wait_for_selector(".tablebox tbody tr")
        page.locator("#dates").click()
        axe(page, "table and dates")
        page.keyboard.press("Escape")
        assert page.locator("#datepanel").is_hidden() and page.evaluate("document.activeElement.id") == "dates"


def test_charts_are_read_with_keys(watch):
    watched = watch()
    page = watched.open()
    watched.settle()
    page.locator("#chart-visitors").focus()
    page.keyboard.press("End")
    tip = page.locator("#chart-visitors .tip")
    tip.wait_for()
    last = tip.inner_text()
    assert "so far" in last and "Events" in last
    page.keyboard.press("ArrowLeft")
    until(page, "(last) => document.querySelector('#chart-visitors .tip').innerText !== last", last)
    assert "likely" in tip.inner_text() or "exact" in tip.inner_text()


# ---- what it takes


def test_weight_policy_and_first_paint(watch):
    watched = watch()
    page = watched.open()
    watched.settle()
    own = [response for response in watched.responses if "/stream" not in response.url]
    weight = sum(len(response.body()) for response in own)
    print(f"the page weighs {weight:,} bytes in {len(own)} answers")
    assert weight < MOST_WEIGHT
    assert all(response.ok for response in own), [response.url for response in own if not response.ok]
    assert all(response.url.startswith(watched.address) for response in own)
    policy = next(response for response in own if response.url.split("#")[0] == watched.address).headers["content-security-policy"]
    assert all(part in policy for part in STRICT) and "unsafe" not in policy
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    print(f"first paint with content after {paint:.0f} ms")
    assert page.evaluate("document.querySelectorAll('body [style]:not(.chart, .chart *, span[hidden])').length") == 0


COUNT_DRAWINGS = """() => {
    window.drawings = [];
    new MutationObserver(() => { const now = performance.now(); if (now - (window.drawings.at(-1) ?? -1e9) > 20) window.drawings.push(now); })
        .observe(document.getElementById('main'), { subtree: true, childList: true, characterData: true, attributes: true });
}"""


def test_at_most_four_drawings_a_second(watch, live):
    """While events come all the time. A slow machine draws less often, so this holds however slow it is."""
    _, cube, _ = live
    watched = watch()
    page = watched.open()
    watched.settle()
    page.evaluate(COUNT_DRAWINGS)
    end, sent = time.monotonic() + BUSY, 0
    while time.monotonic() < end:
        cube.add(f"busy-{sent}", step="view", device="mobile", country="DE", channel="direct", page="/")
        sent += 1
        page.wait_for_timeout(20)
    drawn = page.evaluate("window.drawings")
    spent = (drawn[-1] - drawn[0]) / 1000 if drawn else 0
    print(f"{sent} events, {len(drawn)} drawings in {spent:.1f} s")
    assert drawn and len(drawn) <= 4 * spent + 2


def test_idle_it_sends_nothing_and_writes_nothing(chromium, live, tmp_path):
    """On a board of its own, which has not been kept busy by other tests."""
    client, *_ = live
    with board_of(SimpleNamespace(port=client.connection_pool.connection_kwargs["port"]), tmp_path) as board:
        watched = Watched(chromium, board.address)
        page = watched.open()
        watched.settle()
        page.evaluate(COUNT_DRAWINGS)
        until(page, "performance.now() - (window.drawings.at(-1) ?? 0) > 1500")
        before, drawn = len(watched.requests), len(page.evaluate("window.drawings"))
        page.wait_for_timeout(QUIET * 1000)
        assert watched.requests[before:] == []
        # A border of time may have come, and the first number of events per second.
        assert len(page.evaluate("window.drawings")) <= drawn + 1
        watched.close()


def test_a_hidden_page_listens_to_nothing(watch, live):
    _, cube, board = live
    watched = watch()
    page = watched.page
    page.add_init_script("window.streams = []; const Source = EventSource; window.EventSource = class extends Source { constructor(...a) { super(...a); window.streams.push(this); } };")
    watched.open()
    watched.settle()
    hide = "(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }); document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, True)
    assert page.evaluate("window.streams.every((stream) => stream.readyState === 2)")
    before = card(page, "now")
    cube.add(f"unseen-{time.monotonic()}", step="view", device="mobile", country="DE", channel="direct", page="/")
    page.evaluate(hide, False)
    until(page, "window.streams.at(-1).readyState === 1")
    soon("what came meanwhile", lambda: card(page, "now") != before)
