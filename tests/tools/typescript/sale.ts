// From an empty database to a sale, as a frontend written in TypeScript goes it, with the types of the API's own
// document. Prints one line for each step, and ends with 1 at the first that goes wrong.

import { createHmac } from "node:crypto";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Schemas = components["schemas"];
type Answer<T> = { data?: T; error?: Schemas["Problem"]; response: Response };

const { BASE_URL, TOKENS, WEBHOOK_SECRET } = process.env as Record<string, string>;
const tokens = JSON.parse(TOKENS!) as Record<"seller" | "buyer" | "moderator" | "operator", string>;

function signedIn(token: string) {
  return createClient<paths>({ baseUrl: BASE_URL!, headers: { Authorization: `Bearer ${token}` } });
}

const seller = signedIn(tokens.seller);
const buyer = signedIn(tokens.buyer);
const moderator = signedIn(tokens.moderator);
const operator = signedIn(tokens.operator);

/** The reply; an error that tells the problem where there is none. */
function must<T>({ data, error, response }: Answer<T>): T {
  if (error !== undefined) throw new Error(`${response.url}: ${error.status} ${error.code}, request ${error.request_id}`);
  if (data === undefined) throw new Error(`${response.url}: ${response.status} without a body`);
  return data;
}

/** The problem that has to come, by its code. */
function refused(code: string, { error, response }: Answer<unknown>): Schemas["Problem"] {
  if (error?.code !== code) throw new Error(`${response.url}: ${response.status} ${error?.code}, not ${code}`);
  return error;
}

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  for (let attempt = 0; attempt < 1200; attempt++) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${what} did not come about`);
}

function step(text: string): void {
  console.log(text);
}

async function writePrompt(): Promise<Schemas["PromptView"]> {
  const prompt = must(await seller.POST("/api/v1/prompts", { body: { name: "Hurried reader" } }));
  const at = { params: { path: { prompt_id: prompt.id } } };
  const body = { content: "Summarise {{article}} in three sentences.", message: "first try" };
  const version = must(await seller.POST("/api/v1/prompts/{prompt_id}/versions", { ...at, body }));
  step(`prompt ${version.version}`);

  const read = await seller.GET("/api/v1/prompts/{prompt_id}", at);
  const known = { "If-Match": read.response.headers.get("etag")! };
  const change = { body: { description: "For people in a hurry" } };
  const edit = { params: { ...at.params, header: known }, ...change };
  must(await seller.PATCH("/api/v1/prompts/{prompt_id}", edit));
  refused("precondition_failed", await seller.PATCH("/api/v1/prompts/{prompt_id}", edit));
  step("edited once, as it was read");
  return prompt;
}

async function publish(prompt: Schemas["PromptView"]): Promise<Schemas["ListingView"]> {
  const samples: string[] = ["The council met. The fee rises. Nobody objected."];
  const body = {
    samples,
    prompt_id: prompt.id,
    version: 1,
    title: "Summaries for people in a hurry",
    summary: "Three sentences and the next step",
    description: "Turns any article into three plain sentences.",
    category: "writing",
    price: "25",
  } as const;
  const listing = must(await seller.POST("/api/v1/marketplace/listings", { body }));
  const at = { params: { path: { listing_id: listing.id } } };
  must(await seller.POST("/api/v1/marketplace/listings/{listing_id}/submit", at));
  const waiting = await until("the moderation case", async () => {
    const cases = must(await moderator.GET("/api/v1/moderation/cases"));
    return cases.items.find((one) => one.listing_id === listing.id);
  });
  const decision = { decision: "approve", reason_code: "meets_guidelines", public_note: "Clear." } as const;
  const path = { case_id: waiting.id };
  must(await moderator.POST("/api/v1/moderation/cases/{case_id}/claim", { params: { path } }));
  const decide = { params: { path }, body: decision };
  must(await moderator.POST("/api/v1/moderation/cases/{case_id}/decision", decide));
  const published = must(await buyer.GET("/api/v1/marketplace/listings/{listing_id}", at));
  if (published.samples?.[0] !== samples[0]) throw new Error("the sample output is not shown");
  step(`listing ${published.state}`);
  return published;
}

async function buyCredits(): Promise<void> {
  const { packs } = must(await buyer.GET("/api/v1/billing/packs"));
  const waiver = must(await buyer.GET("/api/v1/billing/withdrawal-waiver"));
  const body = { pack_id: packs[0]!.id, withdrawal_waiver: waiver.version };
  const once = { params: { header: { "Idempotency-Key": "one click" } }, body };
  refused("malformed_request", await buyer.POST("/api/v1/billing/checkouts", once));
  once.params.header["Idempotency-Key"] = "one-click";
  const checkout = must(await buyer.POST("/api/v1/billing/checkouts", once));
  const again = await buyer.POST("/api/v1/billing/checkouts", once);
  if (must(again).id !== checkout.id) throw new Error("a second checkout was made");
  if (again.response.headers.get("idempotency-replayed") !== "true") throw new Error("the reply was not replayed");
  await pay(checkout);
  const { available } = await until("the credits", async () => {
    const credits = must(await buyer.GET("/api/v1/users/me/credits"));
    return credits.available === "0" ? undefined : credits;
  });
  step(`credits ${available}`);
}

/** What Stripe sends once the session is paid. */
async function pay(checkout: Schemas["CheckoutView"]): Promise<void> {
  const now = Math.floor(Date.now() / 1000);
  const session = {
    id: checkout.session_id,
    object: "checkout.session",
    mode: "payment",
    payment_status: "paid",
    status: "complete",
    amount_subtotal: checkout.amount,
    amount_total: checkout.amount,
    currency: checkout.currency,
    client_reference_id: checkout.id,
    livemode: false,
  };
  const payload = JSON.stringify({
    id: `evt_${checkout.id}`,
    object: "event",
    type: "checkout.session.completed",
    api_version: process.env["STRIPE_API_VERSION"],
    created: now,
    livemode: false,
    data: { object: session },
  });
  const signature = createHmac("sha256", WEBHOOK_SECRET!).update(`${now}.${payload}`).digest("hex");
  const headers = { "Stripe-Signature": `t=${now},v1=${signature}`, "Content-Type": "application/json" };
  const answer = await fetch(`${BASE_URL}/api/v1/webhooks/stripe`, { method: "POST", body: payload, headers });
  if (!answer.ok) throw new Error(`the webhook answered ${answer.status}: ${await answer.text()}`);
}

async function buy(listing: Schemas["ListingView"]): Promise<void> {
  const at = { params: { path: { listing_id: listing.id } }, body: { expected_price: listing.price } };
  const purchase = must(await buyer.POST("/api/v1/marketplace/listings/{listing_id}/purchases", at));
  refused("already_owned", await buyer.POST("/api/v1/marketplace/listings/{listing_id}/purchases", at));
  const mine = { params: { path: { purchase_id: purchase.id } } };
  const { content } = must(await buyer.GET("/api/v1/marketplace/purchases/{purchase_id}", mine));
  if (!JSON.stringify(content).includes("three sentences")) throw new Error("the content is another one");
  refused("not_found", await moderator.GET("/api/v1/marketplace/purchases/{purchase_id}", mine));
  step("bought and read");
}

async function seeTheEffects(): Promise<void> {
  await until("the notification", async () => {
    const { items } = must(await seller.GET("/api/v1/notifications"));
    return items.find((one) => one.kind === "listing.sold");
  });
  must(await operator.POST("/api/v1/ops/ledger/verification"));
  const report = await until("the verification", async () => (await operator.GET("/api/v1/ops/ledger")).data);
  if (!report.ok) throw new Error(`the ledger is not right: ${JSON.stringify(report.violations)}`);
  step("sold, and the ledger adds up");
}

const invalid = refused("invalid_request", await seller.POST("/api/v1/prompts", { body: { name: "", tags: [""] } }));
step(`refused ${invalid.errors?.map((one) => one.pointer).sort().join(" ")}`);
const prompt = await writePrompt();
const listing = await publish(prompt);
await buyCredits();
await buy(listing);
await seeTheEffects();
