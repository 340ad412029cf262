// Stores each webhook once, and processes it after the answer.
//
// SQLite suits one process (from Node 22.13, `node:sqlite` can take the place of libsql). A service of several keeps
// this table in its own database: with PostgreSQL `INSERT … ON CONFLICT DO NOTHING`, and `SELECT … FOR UPDATE SKIP
// LOCKED` in the worker. If the work writes to the same database, it belongs in the transaction that sets
// `processed_at`: then it happens exactly once. Otherwise it happens again after a crash in its middle, and has to
// allow that.
import Database from "libsql";

// Milliseconds for which an ID is remembered: longer than the watcher retries (three days) or replays
// (`store.retention`, seven days).
const KEPT_FOR = 30 * 86_400_000;
const RETRY_AFTER = 5_000; // milliseconds until work that failed is tried again

export class Inbox {
  #database;
  #work;
  #running = Promise.resolve();
  #scheduled = false;
  #timer;
  #stopping = false;

  constructor(path, work) {
    this.#work = work;
    this.#database = new Database(path);
    this.#database.exec("PRAGMA journal_mode = WAL");
    this.#database.exec(
      "CREATE TABLE IF NOT EXISTS inbox (number INTEGER PRIMARY KEY, webhook_id TEXT UNIQUE NOT NULL," +
        " body TEXT NOT NULL, received_at INTEGER NOT NULL, processed_at INTEGER)",
    );
  }

  // Works on what an earlier run left, and every few seconds on what failed.
  start() {
    this.#wake();
    this.#timer = setInterval(() => this.#wake(), RETRY_AFTER);
  }

  // Finishes the current work.
  async stop() {
    this.#stopping = true;
    clearInterval(this.#timer);
    await this.#running;
    this.#database.close();
  }

  // Stores a webhook; returns whether it is new. It is on disk when this returns.
  add(webhookId, body) {
    const statement = this.#database.prepare(
      "INSERT OR IGNORE INTO inbox (webhook_id, body, received_at) VALUES (?, ?, ?)",
    );
    const { changes } = statement.run(webhookId, body, Date.now());
    this.#wake();
    return changes === 1;
  }

  #wake() {
    if (this.#scheduled || this.#stopping) return;
    this.#scheduled = true;
    this.#running = this.#running
      .then(() => new Promise(setImmediate)) // the answer first
      .then(() => {
        this.#scheduled = false;
        return this.#processPending();
      })
      .catch((error) => console.error("cannot read the inbox:", error));
  }

  // Tries each pending webhook once, in order of arrival.
  async #processPending() {
    const pending = this.#database.prepare("SELECT number FROM inbox WHERE processed_at IS NULL ORDER BY number");
    for (const { number } of pending.all()) {
      if (this.#stopping) return;
      await this.#process(number);
    }
    this.#database.prepare("DELETE FROM inbox WHERE processed_at < ?").run(Date.now() - KEPT_FOR);
  }

  async #process(number) {
    const row = this.#database.prepare("SELECT webhook_id, body FROM inbox WHERE number = ?").get(number);
    try {
      await this.#work(JSON.parse(row.body));
    } catch (error) {
      console.error(`failed ${row.webhook_id}:`, error);
      return;
    }
    this.#database
      .prepare("UPDATE inbox SET processed_at = ?, body = '' WHERE number = ?")
      .run(Date.now(), number);
    console.log(`processed ${row.webhook_id}`);
  }
}
