// Receives the watcher's webhooks with Express.
import express from "express";
import { Webhook } from "standardwebhooks";

import { Inbox } from "./inbox.js";

const webhook = new Webhook(process.env.WEBHOOK_SECRET ?? "");

// Does what the event requires. If this throws, it is called again later.
async function work(event) {
  if (event.type === "task.failed") {
    // `sequence` counts a task's changes: skip an event older than one that you have seen.
    console.log(`${event.data.task_id} failed: ${event.data.error_message}`);
  }
}

const inbox = new Inbox(process.env.INBOX ?? "inbox.db", work);
inbox.start();

const app = express();
// Not express.json(): the signature is of the bytes, not of parsed JSON. The watcher sends at most `max_body` of the
// channel, 256 KiB by default.
app.post("/hooks/tasks", express.raw({ type: () => true, limit: "1mb" }), (request, response) => {
  const body = request.body ?? Buffer.alloc(0);
  try {
    webhook.verify(body, request.headers);
  } catch {
    response.status(401).send("invalid signature");
    return;
  }
  const webhookId = request.headers["webhook-id"];
  if (!inbox.add(webhookId, body.toString())) console.log(`duplicate ${webhookId}`);
  response.sendStatus(204); // the work follows
});

const server = app.listen(Number(process.env.PORT ?? 8000), "127.0.0.1", (error) => {
  if (error) throw error;
});

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    server.close(async () => {
      await inbox.stop();
      process.exit(0);
    });
    server.closeIdleConnections();
  });
}
