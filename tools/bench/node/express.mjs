// The Node server of the comparison: Express, as in its own guide, without limits, CORS or a request log.
import express from "express";
import { sessionConfig } from "./orga.mjs";

const app = express();
app.get("/api/orga-client-secrets", async (_request, response) => {
  try {
    response.json(await sessionConfig(process.env.ORGA_API_KEY));
  } catch (error) {
    console.error(error);
    response.status(500).json({ error: "Failed to get a session config" });
  }
});
app.listen(Number(process.env.PORT), "127.0.0.1");
