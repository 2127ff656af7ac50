// Runs the situations of a client, and prints the results as JSON.

export const URL = process.argv[2];
export const QUESTION =
  "What time is it in Tokyo, and how many days are between 31 January and 1 March?";
export const FOLLOW_UP = "What did you read?";
const FAILURES = {
  llm_401: "Fail with 401",
  llm_429: "Fail with 429",
  llm_500: "Fail with 500",
  cut_off: "Fail later",
};

// Run functions, and print what they return or throw. `ask(stream, question)` answers a question.
export async function run(situations, ask) {
  for (const [name, question] of Object.entries(FAILURES)) {
    situations[name] = () => ask(false, question);
    situations[`${name}_streamed`] = () => ask(true, question);
  }
  const results = {};
  for (const [name, situation] of Object.entries(situations)) {
    try {
      results[name] = await situation();
    } catch (error) {
      results[name] = described(error);
    }
  }
  console.log(JSON.stringify(results, null, 1));
  process.exit();
}

function described(error) {
  const headers = error.responseHeaders ?? Object.fromEntries(error.headers ?? []);
  return {
    error: error.constructor.name,
    message: error.message ?? JSON.stringify(error),
    status: error.status ?? error.statusCode ?? null,
    retry_after: headers["retry-after"] ?? null,
  };
}
