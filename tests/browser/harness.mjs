// What the pages' tests share: a gateway with its local Stripe and a sample API, a browser that forgives nothing, and
// what is looked for on every page.
//
// A step that fails ends the test with what went wrong; `finish` fails it for any violation of the content security
// policy, any error on the console and any answer of 5xx that nobody expected.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { closeSync, mkdtempSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createServer as listenTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import puppeteer from "puppeteer-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SECRET = "only-for-tests-0123456789-0123456789";
const PATIENCE_MS = 20_000;

export const ADMIN_TOKEN = "only-for-tests-admin-token";
// Only its width: a browser that becomes a phone's loads the page again.
export const PHONE = { width: 390, height: 844 };
export const DESK = { width: 1280, height: 900 };

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = listenTcp();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/// Asks until there is something, and at most for a while.
export async function until(what, ask) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await ask();
    if (found) return found;
    assert.ok(Date.now() < end, `never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/// A gateway in sandbox mode. `more` is TOML that stands at the end of its configuration.
export class World {
  static async start(binary, more = "") {
    const world = new World();
    world.folder = mkdtempSync(join(tmpdir(), "tollgate-browser-"));
    world.api = createServer((request, response) => response.end(`${request.method} ${request.url}\n`));
    await new Promise((resolve) => world.api.listen(0, "127.0.0.1", resolve));
    const [listen, admin, sandbox] = [await freePort(), await freePort(), await freePort()];
    Object.assign(world, {
      url: `http://127.0.0.1:${listen}`,
      admin: `http://127.0.0.1:${admin}`,
      stripe: `http://127.0.0.1:${sandbox}`,
    });
    const config = join(world.folder, "tollgate.toml");
    writeFileSync(config, world.configuration({ listen, admin, sandbox }) + more);
    const log = openSync(join(world.folder, "log"), "w");
    world.process = spawn(binary, ["run", "--config", config], { stdio: ["ignore", "ignore", log] });
    closeSync(log);
    await until("the gateway is ready", async () => {
      assert.equal(world.process.exitCode, null, world.log());
      return (await fetch(`${world.admin}/readyz`).catch(() => null))?.ok;
    });
    return world;
  }

  configuration({ listen, admin, sandbox }) {
    return `
[server]
listen = "127.0.0.1:${listen}"
admin_listen = "127.0.0.1:${admin}"
admin_token = "${ADMIN_TOKEN}"
encryption_key = "0123456789abcdef0123456789abcdef"
data_dir = "${this.folder}/data"
public_url = "http://127.0.0.1:${listen}"
[auth.jwt]
algorithms = ["HS256"]
secret = "${SECRET}"
stripe_customer_claim = "stripe_customer_id"
[upstreams.api]
servers = ["127.0.0.1:${this.api.address().port}"]
[meters.api_calls]
[[routes]]
path = "/signals"
cost = 1
[[routes]]
path = "/signals/history/{symbol}"
cost = 2
[[routes]]
path = "/export/{format}"
cost = 5
requires = ["export"]
[[routes]]
path = "/health"
public = true
[tiers.free]
default = true
included = { api_calls = 100 }
overage = "deny"
rate = "10/s"
burst = 20
[tiers.starter]
price = { monthly = "29.00" }
stripe_prices = ["price_demo_starter_monthly", "price_demo_starter_api_calls"]
included = { api_calls = 1000 }
overage = { unit_amount = { api_calls = "0.03" }, cap = "100.00" }
[tiers.pro]
price = { monthly = "99.00", yearly = "990.00" }
stripe_prices = ["price_demo_pro_monthly", "price_demo_pro_yearly", "price_demo_pro_api_calls"]
included = { api_calls = 10000 }
overage = { unit_amount = { api_calls = "0.02" } }
features = ["export"]
limits = { positions = 50, seats = "unlimited" }
trial = "14d"
[billing]
currency = "usd"
flush_interval = "1h"
[stripe]
mode = "sandbox"
sandbox_listen = "127.0.0.1:${sandbox}"
secret_key = "sk_test_sandbox"
webhook_secrets = ["whsec_only_for_tests"]
`;
  }

  /// A customer's token.
  token(customer, stripeCustomer) {
    const claims = { sub: customer, exp: Math.floor(Date.now() / 1000) + 3600, stripe_customer_id: stripeCustomer };
    const signed = `${base64url({ alg: "HS256", typ: "JWT" })}.${base64url(claims)}`;
    return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
  }

  /// Calls the API so many times; answers the last status.
  async call(customer, path, times = 1, stripeCustomer = undefined) {
    const headers = { authorization: `Bearer ${this.token(customer, stripeCustomer)}` };
    let status;
    for (let at = 0; at < times; at += 1) {
      status = (await fetch(this.url + path, { headers })).status;
    }
    return status;
  }

  /// Asks the admin API.
  async ask(path, method = "GET", body = undefined) {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, "content-type": "application/json" };
    const reply = await fetch(this.admin + path, { method, headers, body: body && JSON.stringify(body) });
    assert.ok(reply.ok, `${method} ${path}: ${reply.status} ${await reply.clone().text()}`);
    return reply.json();
  }

  /// Asks the local Stripe, as its API or its hooks.
  async askStripe(path, form = undefined) {
    const headers = { authorization: "Bearer sk_test_sandbox" };
    const body = form && new URLSearchParams(form);
    const reply = await fetch(this.stripe + path, { method: form ? "POST" : "GET", headers, body });
    assert.ok(reply.ok, `${path}: ${reply.status} ${await reply.clone().text()}`);
    return reply.json();
  }

  /// A subscription at Stripe, in force here when this returns.
  async subscribe(customer, tier) {
    const { id } = await this.askStripe("/v1/customers", { "metadata[tollgate_customer]": customer });
    await this.askStripe("/v1/subscriptions", {
      customer: id,
      "items[0][price]": `price_demo_${tier}_monthly`,
      "items[1][price]": `price_demo_${tier}_api_calls`,
      "metadata[tollgate_customer]": customer,
    });
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
    await until(`${customer} is on ${tier}`, async () => {
      const reply = await fetch(`${this.admin}/admin/customers/${customer}`, { headers });
      return reply.ok && (await reply.json()).tier === tier;
    });
    return id;
  }

  /// The last that the gateway told.
  log() {
    return readFileSync(join(this.folder, "log"), "utf8").split("\n").slice(-40).join("\n");
  }

  async stop() {
    if (this.process?.exitCode === null) {
      const ended = new Promise((resolve) => this.process.once("exit", resolve));
      this.process.kill("SIGTERM");
      await ended;
    }
    this.api?.close();
    this.api?.closeAllConnections();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/// A browser, and what it complained about.
export class Eyes {
  static async open() {
    const eyes = new Eyes();
    const executablePath = process.env.TOLLGATE_BROWSER ?? "/usr/bin/chromium";
    // Inside containers there is often no user namespace for the sandbox; only our own pages are loaded.
    const args = ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb", "--hide-scrollbars"];
    eyes.browser = await puppeteer.launch({ executablePath, args, headless: true });
    eyes.complaints = [];
    eyes.expected = [];
    eyes.page = await eyes.browser.newPage();
    await eyes.page.setViewport(DESK);
    eyes.page.setDefaultTimeout(PATIENCE_MS);
    eyes.watch(eyes.page);
    return eyes;
  }

  watch(page) {
    page.on("pageerror", (error) => this.complaints.push(`${page.url()}: ${error}`));
    page.on("console", (message) => {
      const text = message.text();
      // The status of an answer is looked at by itself.
      const foreseen = ["Failed to load resource", ...this.expected].some((begin) => text.startsWith(begin));
      if (message.type() === "error" && !foreseen) {
        this.complaints.push(`${page.url()}: console: ${text}`);
      }
    });
    page.on("response", (response) => {
      const status = response.status();
      if (status >= 400 && !this.expected.includes(status)) this.complaints.push(`${response.url()}: ${status}`);
    });
  }

  /// What is done inside may be answered with this status, or end in a complaint that begins so.
  async expecting(what, does) {
    this.expected.push(what);
    await does();
    this.expected.pop();
  }

  async open(url) {
    await this.page.goto(url, { waitUntil: "load" });
  }

  /// Does what leads to another page, and waits for that.
  async leads(does) {
    await Promise.all([this.page.waitForNavigation({ waitUntil: "load" }), does()]);
  }

  /// The element that is called so: a link or button by its text, a field by its label.
  async find(kind, name) {
    const handle = await this.page.waitForFunction(
      (kind, name) => {
        const called = (element) => element.textContent.replace(/\s+/g, " ").trim() === name;
        const shown = (element) => element.checkVisibility();
        if (kind === "field") {
          const label = [...document.querySelectorAll("label")].find((label) => called(label) && shown(label));
          return label?.control;
        }
        const all = document.querySelectorAll({ link: "a[href]", button: "button", summary: "summary" }[kind]);
        return [...all].find((element) => called(element) && shown(element));
      },
      {},
      kind,
      name,
    );
    return handle.asElement();
  }

  async click(kind, name) {
    const found = await this.find(kind, name);
    await found.evaluate((element) => element.scrollIntoView({ block: "center" }));
    await found.click();
  }

  /// Fills a field.
  async fill(label, text) {
    const field = await this.find("field", label);
    await field.evaluate((element) => {
      element.value = "";
    });
    await field.type(text);
  }

  async choose(label, value) {
    await (await this.find("field", label)).select(value);
  }

  /// All that can be read.
  text() {
    return this.page.evaluate(() => document.body.innerText);
  }

  async reads(text) {
    const found = () => this.page.evaluate((text) => document.body.innerText.includes(text), text);
    await until(`the page reads ${JSON.stringify(text)}:\n${await this.text()}`, found);
  }

  /// Looks at the page in light, in dark and on a phone: nothing serious for axe, nothing wider than the screen.
  /// With TOLLGATE_SCREENSHOTS it is also photographed.
  async look(name) {
    const looks = [
      ["light", DESK, "light"],
      ["dark", DESK, "dark"],
      ["phone", PHONE, "light"],
      ["phone-dark", PHONE, "dark"],
    ];
    for (const [look, viewport, scheme] of looks) {
      await this.page.setViewport(viewport);
      await this.scheme(scheme);
      await this.page.evaluate(() => scrollTo(0, 0));
      await this.noFault(`${name} (${look})`);
      const wide = await this.page.evaluate(() => {
        const { clientWidth, scrollWidth } = document.documentElement;
        if (scrollWidth <= clientWidth) return [];
        const beyond = [...document.querySelectorAll("body *")].filter(
          (element) => element.getBoundingClientRect().right > clientWidth,
        );
        return [`${scrollWidth} of ${clientWidth}`, ...beyond.map((element) => element.outerHTML.slice(0, 120))];
      });
      assert.deepEqual(wide, [], `${name} (${look}) is wider than the screen`);
      await this.photograph(`${name}-${look}`);
    }
    await this.page.setViewport(DESK);
    await this.scheme("light");
  }

  /// Without motion: a colour that is still changing has the contrast of neither.
  async scheme(value) {
    const still = { name: "prefers-reduced-motion", value: "reduce" };
    await this.page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }, still]);
  }

  async noFault(where) {
    // By the protocol, which the page's policy does not bind.
    await this.page.evaluate(AXE);
    const run = () => globalThis.axe.run(document, { resultTypes: ["violations"] });
    const { violations } = await this.page.evaluate(run);
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    const told = serious.map(({ id, help, nodes }) => {
      const first = nodes.slice(0, 3).map(({ html, failureSummary }) => `    ${html}\n    ${failureSummary}`);
      return `  ${id}: ${help}\n${first.join("\n")}`;
    });
    assert.equal(serious.length, 0, `axe on ${where}:\n${told.join("\n")}`);
  }

  async photograph(name) {
    const folder = process.env.TOLLGATE_SCREENSHOTS;
    if (!folder) return;
    mkdirSync(folder, { recursive: true });
    await this.page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  }

  async close() {
    await this.browser.close();
  }
}

/// Runs a test between a world and a browser, which both end with it.
export async function run(name, more, test) {
  const [binary] = process.argv.slice(2);
  assert.ok(binary, `usage: node ${name}.mjs PATH/TO/tollgate`);
  const world = await World.start(binary, more);
  const eyes = await Eyes.open();
  try {
    await test(world, eyes);
    assert.deepEqual(eyes.complaints, [], "the browser complained");
    console.log(`${name}: passed`);
  } catch (error) {
    await eyes.photograph(`${name}-failed`).catch(() => {});
    // What failed stands last.
    console.error(`The gateway's log ends:\n${world.log()}`);
    console.error(`The browser complained: ${JSON.stringify(eyes.complaints, null, 2)}`);
    console.error(`${name} failed at ${eyes.page.url()}:\n${error.stack}`);
    process.exitCode = 1;
  } finally {
    await eyes.close();
    await world.stop();
  }
}
