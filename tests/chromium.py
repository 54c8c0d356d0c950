"""Headless Chromium for tests that look at pages as people do. Debian's package; it is never downloaded by a test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
PATIENCE_MS = 120_000
"""A page may take its time on a busy machine; what it shows is what is tested."""

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1200, "height": 900}

CONTRAST = """
() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const found = numbers(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || one.closest("svg, script, style, [hidden], .skip") || !one.getClientRects().length) continue;
    const [a, b] = [light(numbers(getComputedStyle(one).color)), light(behind(one))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(one.textContent.trim().slice(0, 40) + " " + ratio.toFixed(2));
  }
  return poor;
}
"""
"""Texts whose contrast is below WCAG AA."""

UNNAMED = """
() => {
  const named = (one) => one.getAttribute("aria-label") || (one.labels && one.labels.length) || one.textContent.trim();
  const poor = [...document.querySelectorAll("a[href], button, select, input:not([type=hidden]), summary")].filter((one) => !named(one));
  const tables = [...document.querySelectorAll("table")].filter((one) => !one.caption || !one.querySelector("th[scope=col]"));
  return [...poor, ...tables].map((one) => one.outerHTML.slice(0, 80));
}
"""
"""What a screen reader would have no name for."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser of its own; skips where there is none, unless CI is set."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        message = "Debian's chromium is not installed (apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS), timeout=PATIENCE_MS)
        yield browser
        browser.close()


def too_wide(page: Page) -> int:
    """By how many pixels a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))
