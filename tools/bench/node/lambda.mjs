// The Lambda function of the comparison: the same two calls, with the key from Secrets Manager, fetched once in init.
import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { sessionConfig } from "./orga.mjs";

const secrets = new SecretsManagerClient({});
const { SecretString: apiKey } = await secrets.send(new GetSecretValueCommand({ SecretId: "orga-api-key" }));

export async function handler() {
  try {
    return answer(200, await sessionConfig(apiKey));
  } catch (error) {
    console.error(error);
    return answer(500, { error: "Failed to get a session config" });
  }
}

function answer(statusCode, body) {
  return { statusCode, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}
