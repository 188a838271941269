// Asks for everything that DeepSeek offers with the openai package, and prints what came of it as JSON.
// With a path as its argument it asks for that with fetch alone, and prints each piece of the answer as it comes.
import OpenAI from "openai";

const { BASE_URL, API_KEY } = process.env;
const seen = [];

async function watched(url, options) {
  const response = await fetch(url, options);
  const entry = { path: new URL(url).pathname, status: response.status, headers: Object.fromEntries(response.headers) };
  seen.push(entry);
  entry.body = response.clone().text();
  return response;
}

const common = { apiKey: API_KEY, fetch: watched, maxRetries: 1, defaultHeaders: { "x-costmeter-project": "node" } };
const client = new OpenAI({ ...common, baseURL: BASE_URL });
const beta = new OpenAI({ ...common, baseURL: `${BASE_URL}/beta` });
const asked = { model: "deepseek-flash", messages: [{ role: "user", content: "Hello" }], max_tokens: 20 };

async function collect(stream) {
  const events = [];
  for await (const event of await stream) events.push(event);
  return events;
}

const ways = {
  chat: () => client.chat.completions.create(asked),
  chatStream: () => collect(client.chat.completions.create({ ...asked, stream: true })),
  fim: () => beta.completions.create({ model: asked.model, prompt: "def f(", suffix: "return 1", max_tokens: 20 }),
  responses: () => client.responses.create({ model: asked.model, input: "Hello" }),
  responsesStream: () => collect(client.responses.create({ model: asked.model, input: "Hello", stream: true })),
  models: () => collect(client.models.list()),
  balance: () => client.get("/user/balance"),
  ...Object.fromEntries(
    ["402", "429;retry_after=0", "503"].map((fault) => [
      fault,
      () => client.chat.completions.create(asked, { headers: { "x-simulator-fault": fault } }),
    ]),
  ),
};

if (process.argv.length > 2) {
  const options = { method: "POST", headers: { authorization: `Bearer ${API_KEY}` }, body: JSON.stringify(asked) };
  const response = await fetch(BASE_URL + process.argv[2], options);
  const decoder = new TextDecoder();
  for await (const piece of response.body) console.log(JSON.stringify(decoder.decode(piece, { stream: true })));
} else {
  const results = {};
  for (const [name, ask] of Object.entries(ways)) {
    try {
      results[name] = await ask();
    } catch (error) {
      results[name] = { error: error.constructor.name, status: error.status, code: error.code, type: error.type };
    }
  }
  for (const entry of seen) entry.body = await entry.body;
  console.log(JSON.stringify({ results, seen }));
}
