// The usage page in a real browser: node usage.mjs PATH/TO/tollgate

import assert from "node:assert/strict";

import { run, until } from "./harness.mjs";

const CONFIG = `
[[credit_packs]]
name = "small"
units = 1000
price = "10.00"
`;

/// A link as the backend of the customer's app asks for it.
async function link(world, customer) {
  const headers = { authorization: `Bearer ${world.token(customer)}` };
  const reply = await fetch(`${world.url}/billing/link`, { method: "POST", headers });
  assert.equal(reply.status, 200, await reply.clone().text());
  return (await reply.json()).url;
}

const status = async (world, customer) => {
  const headers = { authorization: `Bearer ${world.token(customer)}` };
  return (await fetch(`${world.url}/billing/status`, { headers })).json();
};

/// Waits until so many units of a customer are in the ledger.
const recorded = (world, customer, units) =>
  until(`${units} units of ${customer} are recorded`, async () => {
    const { data } = await world.ask(`/admin/customers/${customer}/usage?by=route`);
    return data.reduce((sum, row) => sum + row.units, 0) === units;
  });

/// Clicks the button, or what opens a part of the page, that reads just this.
async function press(eyes, label) {
  const found = await eyes.page.evaluateHandle((label) => {
    const all = [...document.querySelectorAll("summary, button")];
    return all.find((one) => one.textContent.trim() === label) ?? null;
  }, label);
  const element = found.asElement();
  assert.ok(element, `no button reads ${label}`);
  await element.evaluate((one) => one.scrollIntoView({ block: "center" }));
  await element.click();
}

/// Opens what asks once more, and says yes.
async function confirm(eyes, label, yes = `Confirm: ${label}`) {
  await press(eyes, label);
  await eyes.leads(() => press(eyes, yes));
}

async function stranger(world, eyes) {
  await eyes.expecting(401, () => eyes.open(`${world.url}/billing`));
  await eyes.reads("Open this page from your app");
  await eyes.look("usage-stranger");
}

async function enters(world, eyes) {
  await world.call("acme", "/signals", 10);
  await world.call("acme", "/signals/history/ACME", 5);
  await recorded(world, "acme", 20);
  const made = await link(world, "acme");
  await eyes.open(made);
  assert.equal(eyes.page.url(), `${world.url}/billing`, "the link is gone from the address");
  await eyes.reads("20 of 100 included units used");
  await eyes.look("usage-free");
  await eyes.expecting(401, () => eyes.open(made));
  await eyes.reads("ask the app for another");
  await eyes.look("usage-spent-link");
  await eyes.open(`${world.url}/billing`);
}

/// To Stripe's page and back; the browser is sent on by a page of its own, which no policy holds up.
async function subscribes(world, eyes) {
  await press(eyes, "Subscribe to starter, monthly");
  await eyes.page.waitForFunction((stripe) => location.href.startsWith(stripe), {}, world.stripe);
  await eyes.reads("29.00 USD");
  await eyes.leads(() => eyes.click("button", "Pay"));
  assert.equal(eyes.page.url(), `${world.url}/billing?done=paid`);
  await eyes.reads("Thank you");
  await eyes.reads("0 of 1,000 included units used");
  assert.equal((await status(world, "acme")).tier, "starter");
  await eyes.look("usage-starter");
}

async function changes(world, eyes) {
  await confirm(eyes, "Upgrade to pro, monthly");
  await eyes.reads("Your plan is changed.");
  assert.equal((await status(world, "acme")).tier, "pro");
  await confirm(eyes, "Downgrade to starter, monthly");
  assert.equal((await status(world, "acme")).tier, "starter");
  await confirm(eyes, "Upgrade to pro, yearly");
  assert.equal((await status(world, "acme")).tier, "pro");
}

async function cancels(world, eyes) {
  await confirm(eyes, "Cancel subscription", "Confirm: cancel subscription");
  await eyes.reads("Your subscription is cancelled");
  assert.equal((await status(world, "acme")).cancel_at_period_end, true);
  await eyes.look("usage-canceled");
  await eyes.leads(() => eyes.click("button", "Resume subscription"));
  await eyes.reads("Your subscription goes on");
  assert.equal((await status(world, "acme")).cancel_at_period_end, false);
}

async function portal(world, eyes) {
  // The local Stripe's portal leads straight back.
  await press(eyes, "Payment methods and invoices");
  await eyes.page.waitForFunction((page) => location.href === page, {}, `${world.url}/billing`);
  await eyes.reads("Invoices");
}

/// Beyond what is included: the bar is full, and the amounts are there.
async function overspends(world, eyes) {
  const stripe = await world.subscribe("heavy", "starter");
  await world.call("heavy", "/signals/history/ACME", 520, stripe);
  await recorded(world, "heavy", 1_040);
  await eyes.open(await link(world, "heavy"));
  await eyes.reads("1,000 of 1,000 included units used. 1,040 units in all.");
  await eyes.reads("Overage so far: 40 units, 1.20 USD");
  await eyes.reads("spend cap 100.00 USD");
  await eyes.look("usage-overage");
}

/// Without a mouse: to the content by the skip link, and to a form that is opened and sent.
async function byKeyboard(world, eyes) {
  const focused = () => eyes.page.evaluate(() => document.activeElement.textContent.trim());
  await eyes.page.keyboard.press("Tab");
  assert.equal(await focused(), "Skip to content");
  await eyes.page.keyboard.press("Enter");
  for (let steps = 0; (await focused()) !== "Cancel subscription"; steps += 1) {
    assert.ok(steps < 60, "the button can be reached");
    await eyes.page.keyboard.press("Tab");
  }
  await eyes.page.keyboard.press("Enter");
  await eyes.page.keyboard.press("Tab");
  assert.equal(await focused(), "Confirm: cancel subscription");
  await eyes.leads(() => eyes.page.keyboard.press("Enter"));
  await eyes.reads("Your subscription is cancelled");
}

async function leaves(world, eyes) {
  await eyes.leads(() => eyes.click("button", "Sign out"));
  await eyes.reads("Signed out");
  await eyes.expecting(401, () => eyes.open(`${world.url}/billing`));
}

await run("usage", CONFIG, async (world, eyes) => {
  await stranger(world, eyes);
  await enters(world, eyes);
  await subscribes(world, eyes);
  await changes(world, eyes);
  await cancels(world, eyes);
  await portal(world, eyes);
  await overspends(world, eyes);
  await byKeyboard(world, eyes);
  await leaves(world, eyes);
});
