"""The report in a real browser: it opens from disk, asks the network for nothing, draws, and zooms."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.facts import HeatMap, ProfileEvent, RunFacts, Series
from bench.report import render_html
from bench.verdict import Band, CaseVerdict, CheckResult, Limit, Outcome, Quantity, Source, Validity, Verdict
from emulator.timeline import Signal

pytestmark = [pytest.mark.system, pytest.mark.browser]

S = 1_000_000_000
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-default-browser-check",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--window-size=1400,1000",
]  # fmt: skip
INK = """
const data = arguments[0].getContext("2d").getImageData(0, 0, arguments[0].width, arguments[0].height).data;
const seen = new Set();
for (let i = 0; i < data.length; i += 4) if (data[i + 3]) seen.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
return seen.size;
"""


def example() -> tuple[Verdict, dict[str, RunFacts]]:
    """Two cases of one minute: ten miners shed in 200 ms at 20 s."""
    t_ns = np.arange(0, 60 * S, S // 100, dtype=np.int64)
    power = Signal([0, 20 * S, 20 * S + S // 5, 50 * S, 55 * S], [30e3, 30e3, 3e3, 3e3, 30e3])
    shares = np.tile(power.sample(np.arange(60) * S) / 30e3, (10, 1)).astype(np.float32)
    facts = RunFacts(
        run_id="run", title="dip", power=Series(t_ns, power.sample(t_ns), window_ns=S // 100), armed_ns=0,
        signals={"frequency": Signal([0, 20 * S, 22 * S, 50 * S], [50.0, 50.0, 49.2, 50.0])},
        events=(ProfileEvent("dip", "disturbance", 20 * S, 50 * S, "dip to 49.2 Hz"),), stop_ns=60 * S,
        nominal_hz=50.0, nominal_w=30e3, commitment_w=25e3, complete=True,
        heat=HeatMap(np.arange(60, dtype=np.int64) * S, tuple(f"m{k}" for k in range(10)), shares),
    )  # fmt: skip
    band = Band("full response", 21 * S, 50 * S, high_w=5e3)
    check = CheckResult(
        "reach", "example", "Time to full response", "dip", Quantity(0.2, "s", 0.005), Limit("s", high=1.0),
        Outcome.PASS, 0.8, Source("made up for a test", "estimate"), bands=(band,),
    )  # fmt: skip
    cases = tuple(CaseVerdict(name, "A dip", Outcome.PASS, Validity.VALID, checks=(check,)) for name in ("one", "two"))
    return Verdict("browser", cases), {case.id: facts for case in cases}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render_html(*example()), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no headless Chromium with its driver (Debian: apt-get install chromium chromium-driver)")
    pytest.importorskip("selenium", reason="selenium is not installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(30)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: Any, page: Path) -> Any:
    browser.get_log("performance")
    browser.get_log("browser")
    browser.get(page.as_uri())
    wait(browser, "return document.querySelector('figure').dataset.from !== undefined")
    return browser


def wait(browser: Any, script: str) -> None:
    """Until the script says so; ten seconds at most."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 10, poll_frequency=0.05).until(lambda driver: driver.execute_script(script))


def shown(browser: Any) -> tuple[float, float]:
    """The time range of the first plot, seconds."""
    start, stop = browser.execute_script("const d = document.querySelector('figure').dataset; return [d.from, d.to]")
    return float(start), float(stop)


def canvas(browser: Any, panel: str) -> Any:
    return browser.find_element("css selector", f"figure [data-panel={panel}] canvas")


def picture(browser: Any, panel: str) -> str:
    image: str = browser.execute_script("return arguments[0].toDataURL()", canvas(browser, panel))
    return image


def drag(browser: Any, start: float, stop: float) -> None:
    """Draw the mouse over the power panel, from one share of its width to another."""
    from selenium.webdriver.common.action_chains import ActionChains

    over = browser.find_element("css selector", "figure [data-panel=power] .brush")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", over)
    width = over.size["width"]
    actions = ActionChains(browser, duration=50)
    actions.move_to_element_with_offset(over, int((start - 0.5) * width), 0).click_and_hold()
    actions.move_by_offset(int((stop - start) * width / 2), 5).move_by_offset(int((stop - start) * width / 2), 0)
    actions.release().perform()


def test_opening_it_from_disk_asks_for_the_file_and_nothing_else(opened: Any, page: Path) -> None:
    opened.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    wait(opened, "return document.querySelectorAll('canvas').length === 8")
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    requests = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    asked = {r["request"]["url"] for r in requests if not r["documentURL"].startswith("chrome:")}  # its own start page
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}
    assert not [m for m in messages if m["method"].startswith(("Network.webSocket", "Network.webTransport"))]


def test_the_browser_has_nothing_to_complain_about(opened: Any) -> None:
    assert [entry["message"] for entry in opened.get_log("browser")] == []


@pytest.mark.parametrize("panel", ["lanes", "power", "frequency", "heat"])
def test_every_panel_is_drawn(opened: Any, panel: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    drawing = canvas(opened, panel)
    WebDriverWait(opened, 10, poll_frequency=0.05).until(lambda driver: driver.execute_script(INK, drawing) > 3)


def test_dragging_zooms_all_panels_and_a_double_click_shows_the_whole_run_again(opened: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    start, stop = shown(opened)
    before = {panel: picture(opened, panel) for panel in ("lanes", "power", "frequency", "heat")}
    drag(opened, 0.25, 0.5)
    wait(opened, "return +document.querySelector('figure').dataset.from > 1")
    zoomed = shown(opened)
    assert zoomed[0] == pytest.approx(start + 0.25 * (stop - start), abs=1)
    assert zoomed[1] == pytest.approx(start + 0.5 * (stop - start), abs=1)
    assert all(picture(opened, panel) != image for panel, image in before.items())
    over = opened.find_element("css selector", "figure [data-panel=frequency] .brush")
    ActionChains(opened).double_click(over).perform()
    wait(opened, "return +document.querySelector('figure').dataset.from < 1")
    assert shown(opened) == (start, stop)


def test_a_button_shows_the_onset_of_the_event_and_the_keys_move_on(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    opened.find_element("xpath", "//figure//button[normalize-space()='E1 onset']").click()
    assert shown(opened) == (19.0, 24.0)
    opened.find_element("css selector", "figure").send_keys(Keys.ARROW_RIGHT)
    assert shown(opened) == (20.0, 25.0)
    opened.find_element("css selector", "figure").send_keys("+")
    assert shown(opened) == (21.25, 23.75)


def test_the_pointer_reads_values_in_every_panel(opened: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    over = opened.find_element("css selector", "figure [data-panel=power] .brush")
    ActionChains(opened).move_to_element(over).perform()
    wait(opened, "return document.querySelectorAll('figure output')[1].textContent !== ''")
    power, frequency, *_ = [output.text for output in opened.find_elements("css selector", "figure output")]
    assert power.startswith("t = ")
    assert "kW" in power
    assert "Hz" in frequency


def test_it_can_be_printed(opened: Any) -> None:
    pdf = opened.execute_cdp_cmd("Page.printToPDF", {})["data"]
    assert len(pdf) > 20_000
    assert opened.get_log("browser") == []


def test_a_narrow_window_needs_no_sideways_scrolling(opened: Any) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 800, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    wait(opened, "return document.querySelector('.canvas canvas').clientWidth < 800")
    assert opened.execute_script("return document.documentElement.scrollWidth") <= 800
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
