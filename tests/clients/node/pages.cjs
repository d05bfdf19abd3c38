// Looks at pages in headless Chromium. Each line that it prints is a JSON document.
//
//   pages.cjs look BASE PATH…      each page in both themes, at the width of a desk and of a phone: what axe finds, console errors, violations of the
//                                  Content-Security-Policy, whether it scrolls sideways, what the first Tab focuses; with PICTURES, a picture of each
//   pages.cjs time BASE N PATH…    each page N times, by a browser that knows nothing yet: when it shows something, when it is there, how large it is
//   pages.cjs follow BASE PATH     stays on a rollout's page: its badge, whenever it changes, until that says "roll back"; then what went wrong
"use strict";

const { execFileSync } = require("node:child_process");
const { join } = require("node:path");
const axe = require("axe-core");
const { chromium } = require("playwright-core");

const SCHEMES = ["light", "dark"];
const WIDTHS = [1280, 390];
/** How long anything is waited for. */
const DEADLINE_MS = 110_000;
const ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

const print = (document) => console.log(JSON.stringify(document));

/** Notes what goes wrong in the page from its first moment, and how far things move by themselves. */
function watch() {
    window.violated = [];
    window.moved = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violated.push(`${event.violatedDirective}: ${event.blockedURI}`));
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.moved.push(entry.value);
    }).observe({ type: "layout-shift", buffered: true });
}

async function open(browser, address, { scheme, width }) {
    const context = await browser.newContext({ colorScheme: scheme, viewport: { width, height: 900 }, reducedMotion: "reduce" });
    context.setDefaultTimeout(DEADLINE_MS);
    await context.addInitScript(watch);
    const page = await context.newPage();
    const errors = [];
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    page.on("pageerror", (error) => errors.push(String(error)));
    const answer = await page.goto(address, { waitUntil: "load" });
    const status = answer.status();
    // The browser itself says of a page that it came with an error; such pages are looked at, too.
    const told = () => errors.filter((text) => !(status >= 400 && text.startsWith("Failed to load resource")));
    return { context, page, status, errors: told };
}

async function look(browser, base, path, how) {
    const { context, page, status, errors } = await open(browser, base + path, how);
    // Playwright evaluates past the page's policy, so that the policy stays as strict as it is.
    await page.evaluate(axe.source);
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    const violations = found.violations.map(({ id, nodes }) => ({ id, where: nodes.slice(0, 3).map((node) => node.html.slice(0, 200)) }));
    const sideways = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    const violated = await page.evaluate(() => window.violated);
    const images = await page.evaluate(() => document.images.length);
    if (process.env.PICTURES) {
        const name = path.replace(/[^a-z0-9]+/gi, "-").slice(0, 40);
        await page.screenshot({ path: join(process.env.PICTURES, `${name}.${how.scheme}.${how.width}.png`), fullPage: true });
    }
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => document.activeElement.textContent.slice(0, 80));
    print({ path, ...how, status, violations, errors: errors(), violated, sideways, images, focused });
    await context.close();
}

async function follow(browser, base, path) {
    const { page, errors } = await open(browser, base + path, { scheme: "light", width: 1280 });
    const badge = () => page.locator("h1 .badge").textContent();
    await page.waitForFunction(() => document.getElementById("state").textContent === "live");
    await page.locator("#reason").fill("typed by a person");
    await page.locator("#timeline").scrollIntoViewIfNeeded();
    await page.locator("#reason").focus();
    const scrolled = () => page.evaluate(() => Math.round(window.scrollY));
    const before = await scrolled();
    let last = await badge();
    print({ badge: last });
    // The page renews itself as it does when something has happened.
    await page.evaluate(() => window.take());
    const focused = await page.evaluate(() => document.activeElement.id);
    print({ typed: await page.locator("#reason").inputValue(), focused, scrolled: (await scrolled()) - before });
    while (last !== "roll back") {
        await page.waitForFunction((last) => document.querySelector("h1 .badge").textContent !== last, last);
        last = await badge();
        print({ badge: last });
    }
    const moved = await page.evaluate(() => window.moved.reduce((sum, value) => sum + value, 0));
    const news = await page.evaluate(() => document.getElementById("news").textContent);
    print({ errors: errors(), violated: await page.evaluate(() => window.violated), moved, news });
}

async function time(browser, base, path, times) {
    const shown = [];
    const whole = [];
    let bytes = 0;
    for (let run = 0; run < times; run += 1) {
        const { context, page, status } = await open(browser, base + path, { scheme: "light", width: 1280 });
        if (status !== 200) throw new Error(`${path} answers ${status}`);
        await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
        shown.push(await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime));
        whole.push(await page.evaluate(() => performance.getEntriesByType("navigation")[0].loadEventEnd));
        bytes = await page.evaluate(() => performance.getEntriesByType("navigation")[0].decodedBodySize);
        await context.close();
    }
    const of = (values) => {
        const sorted = values.map(Math.round).sort((a, b) => a - b);
        return { median: sorted[Math.floor(sorted.length / 2)], most: sorted.at(-1) };
    };
    print({ path, first_content_ms: of(shown), loaded_ms: of(whole), bytes });
}

async function main() {
    const [mode, base, ...paths] = process.argv.slice(2);
    const executablePath = execFileSync("sh", ["-c", "command -v chromium"]).toString().trim();
    const browser = await chromium.launch({ executablePath, args: ARGUMENTS });
    try {
        if (mode === "follow") await follow(browser, base, paths[0]);
        else if (mode === "time") for (const path of paths.slice(1)) await time(browser, base, path, Number(paths[0]));
        else for (const path of paths) for (const scheme of SCHEMES) for (const width of WIDTHS) await look(browser, base, path, { scheme, width });
    } finally {
        await browser.close();
    }
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
