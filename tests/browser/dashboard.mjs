// The operator's dashboard in a real browser: node dashboard.mjs PATH/TO/tollgate

import assert from "node:assert/strict";

import { ADMIN_TOKEN, run, until } from "./harness.mjs";

async function prepare(world) {
  const acme = await world.subscribe("acme", "pro");
  await world.call("acme", "/signals", 40, acme);
  await world.call("acme", "/signals/history/ACME", 20, acme);
  await world.call("acme", "/export/pdf", 8, acme);
  const globex = await world.subscribe("globex", "starter");
  await world.call("globex", "/signals", 25, globex);
  // Refused by the tier, and by the rate.
  await world.call("initech", "/export/csv", 3);
  await world.call("initech", "/signals", 30);
  await world.call("<script>alert(1)</script>", "/signals", 2);
  await world.ask("/admin/outbox/flush", "POST");
  const event = await world.askStripe("/_sandbox/meter_totals");
  assert.ok(event.length > 0, "Stripe has heard of usage");
  await world.askStripe("/_sandbox/faults", { operation: "meter_events.create", status: "400" });
  await world.call("globex", "/signals", 3, globex);
  await world.ask("/admin/outbox/flush", "POST");
  await until("an event is dead", async () => (await world.ask("/admin/outbox?state=dead")).data.length > 0);
}

async function signIn(world, eyes) {
  await eyes.open(`${world.admin}/`);
  await eyes.look("sign-in");
  await eyes.fill("Admin token", "not the admin token");
  await eyes.expecting(401, () => eyes.leads(() => eyes.click("button", "Sign in")));
  await eyes.reads("This is not the admin token");
  await eyes.fill("Admin token", ADMIN_TOKEN);
  await eyes.leads(() => eyes.click("button", "Sign in"));
  await eyes.reads("Overview");
}

async function overview(world, eyes) {
  await eyes.reads("Live");
  await eyes.reads("128.00 USD");
  const before = await eyes.page.$eval(".tile dd", (figure) => figure.textContent);
  await world.call("acme", "/health", 5);
  await until("the overview counts on by itself", async () => {
    const now = await eyes.page.$eval(".tile dd", (figure) => figure.textContent);
    return now !== before;
  });
  await eyes.look("overview");
}

async function customers(world, eyes) {
  await eyes.leads(() => eyes.click("link", "Customers"));
  await eyes.reads("<script>alert(1)</script>");
  await eyes.look("customers");
  await eyes.fill("Name begins with, or Stripe customer", "acm");
  await eyes.choose("Tier", "pro");
  await eyes.leads(() => eyes.click("button", "Search"));
  assert.ok(!(await eyes.text()).includes("globex"));
  await eyes.leads(() => eyes.click("link", "acme"));
  await eyes.reads("120 of 10,000 included");
}

async function oneCustomer(world, eyes) {
  await eyes.choose("Tier", "starter");
  await eyes.fill("Included api_calls", "5000");
  const reasons = await eyes.page.$$("input[name=reason]");
  assert.equal(reasons.length, 2);
  await eyes.page.type("#override-reason", "no use");
  await eyes.expecting(422, () => eyes.leads(() => eyes.click("button", "Set override")));
  await eyes.reads("The tier lacks export");
  await eyes.choose("Tier", "pro");
  await eyes.fill("Included api_calls", "20000");
  await eyes.page.type("#override-reason", "a friend of the house");
  await eyes.leads(() => eyes.click("button", "Set override"));
  await eyes.reads("The override is in force.");
  await eyes.reads("120 of 20,000 included");
  await eyes.fill("Units", "500");
  await eyes.page.type("#credits-reason", "an apology");
  await eyes.leads(() => eyes.click("button", "Change credits"));
  await eyes.reads("The credits have been changed.");
  await eyes.look("customer");
  await eyes.click("summary", "Block this customer…");
  await eyes.fill("Reason (customers are not told)", "fraud");
  await eyes.leads(() => eyes.click("button", "Block now"));
  await eyes.reads("The customer is blocked");
  assert.equal(await world.call("acme", "/signals"), 403);
  await eyes.leads(() => eyes.click("button", "Unblock"));
  await eyes.reads("no longer blocked");
  await eyes.leads(() => eyes.click("button", "Read from Stripe"));
  await eyes.reads("has been read from Stripe");
}

async function receipts(world, eyes) {
  await eyes.leads(() => eyes.page.click("td a[href*=charge]"));
  await eyes.reads("How Stripe hears of it");
  await eyes.reads("delivered");
  await eyes.look("charge");
  await eyes.open(`${world.admin}/dashboard/customer?name=acme`);
  await eyes.leads(() => eyes.click("link", "Receipt of this period"));
  await eyes.reads("/export/{format}");
  await eyes.reads("Print");
  await eyes.look("receipt");
}

async function tiers(world, eyes) {
  await eyes.leads(() => eyes.click("link", "Tiers and routes"));
  await eyes.reads("at most 100.00 USD a period");
  await eyes.look("tiers");
}

async function webhooks(world, eyes) {
  await eyes.leads(() => eyes.click("link", "Webhooks"));
  await eyes.look("webhooks");
  await eyes.choose("Status", "done");
  await eyes.fill("Type", "customer.subscription.created");
  await eyes.leads(() => eyes.click("button", "Filter"));
  await eyes.leads(() => eyes.page.click("tbody a"));
  await eyes.reads('"object": "event"');
  await eyes.look("webhook");
  await eyes.leads(() => eyes.click("button", "Apply again"));
  await eyes.reads("The event is being applied again.");
  await eyes.reads("Applied again");
}

async function outbox(world, eyes) {
  await eyes.leads(() => eyes.click("link", "Outbox"));
  await eyes.reads("dead");
  await eyes.look("outbox");
  await eyes.leads(() => eyes.page.click("td form button"));
  await eyes.reads("The event is due again.");
  await eyes.leads(() => eyes.click("button", "Seal and send now"));
  await eyes.reads("accepted by Stripe");
  await until("the event is delivered", async () => (await world.ask("/admin/outbox")).data.length === 0);
}

async function reconcile(world, eyes) {
  await eyes.leads(() => eyes.click("link", "Reconcile"));
  await eyes.look("reconcile");
  await eyes.leads(() => eyes.click("button", "Compare"));
  await eyes.reads("Ledger and Stripe agree.");
  await eyes.look("reconciled");
  await eyes.leads(() => eyes.click("link", "Audit"));
  await eyes.reads("customer blocked");
  await eyes.look("audit");
}

/// Everything can be reached and pressed without a mouse, and is seen when it has the focus.
async function byKeyboard(world, eyes) {
  await eyes.open(`${world.admin}/dashboard/customers`);
  const focused = () =>
    eyes.page.evaluate(() => {
      const { tagName, id, name, textContent } = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
      const seen = outlineStyle !== "none" && outlineWidth !== "0px";
      return { tagName, id, name, text: textContent.trim().slice(0, 40), seen };
    });
  const press = async (key) => {
    await eyes.page.keyboard.press(key);
    return focused();
  };
  assert.equal((await press("Tab")).text, "Skip to content");
  await eyes.page.keyboard.press("Enter");
  assert.equal((await focused()).id, "main", "the first link leads past the navigation");
  assert.equal((await press("Tab")).name, "q");
  await eyes.page.keyboard.type("glob");
  for (const name of ["tier", "status"]) assert.equal((await press("Tab")).name, name);
  const search = await press("Tab");
  assert.ok(search.text === "Search" && search.seen, JSON.stringify(search));
  await eyes.leads(() => eyes.page.keyboard.press("Enter"));
  for (;;) {
    const at = await press("Tab");
    assert.ok(at.tagName !== "BODY", "the customer is never reached");
    assert.ok(at.seen || at.id === "main", `not seen when focused: ${JSON.stringify(at)}`);
    if (at.text === "globex") break;
  }
  await eyes.leads(() => eyes.page.keyboard.press("Enter"));
  await eyes.reads("28 of 1,000 included");
}

async function withoutScript(world, eyes) {
  await eyes.page.setJavaScriptEnabled(false);
  await eyes.open(`${world.admin}/dashboard`);
  const html = await eyes.page.content();
  assert.ok(html.includes("As of the last load") && html.includes("Units by meter"));
  await eyes.page.setJavaScriptEnabled(true);
}

/// Where no stream answers any more the page says so, and not that it asks again.
async function signedOutElsewhere(world, eyes) {
  await eyes.open(`${world.admin}/dashboard`);
  await eyes.reads("Live");
  const elsewhere = await eyes.browser.newPage();
  await elsewhere.goto(`${world.admin}/dashboard/audit`);
  const leave = () => document.querySelector("form[action$=sign-out]").requestSubmit();
  await Promise.all([elsewhere.waitForNavigation(), elsewhere.evaluate(leave)]);
  await elsewhere.close();
  await eyes.expecting("EventSource's response", () => eyes.reads("Stopped: load the page again"));
  await eyes.look("stopped");
  await eyes.open(`${world.admin}/`);
  await eyes.fill("Admin token", ADMIN_TOKEN);
  await eyes.leads(() => eyes.click("button", "Sign in"));
}

async function signOut(world, eyes) {
  await eyes.open(`${world.admin}/dashboard`);
  await eyes.leads(() => eyes.click("button", "Sign out"));
  await eyes.reads("You have signed out.");
  await eyes.open(`${world.admin}/dashboard/customers`);
  assert.ok(eyes.page.url().includes("/dashboard/sign-in"), eyes.page.url());
}

const steps = [
  signIn, overview, customers, oneCustomer, receipts, tiers, webhooks, outbox, reconcile, byKeyboard,
  withoutScript, signedOutElsewhere, signOut,
];

await run("dashboard", "", async (world, eyes) => {
  await prepare(world);
  for (const step of steps) {
    await step(world, eyes);
    console.log(`  ${step.name}`);
  }
});
