"use strict";
// Keeps a page live: shows its times as local ones, and loads it again when something has changed.
(() => {
  const body = document.body, html = document.documentElement;
  const root = new URL(body.dataset.root, location.href).href;
  const policy = window.trustedTypes
    ? trustedTypes.createPolicy("page", { createHTML: (text) => text })
    : { createHTML: (text) => text };
  const by = (id) => document.getElementById(id);
  const main = () => by("content");

  // Times: the server sends absolute ones, so that a page stays the same until something changes.
  let ahead = 0; // milliseconds by which the server's clock is ahead of this one
  const setClock = (page) => {
    const now = 1000 * page.documentElement.dataset.now;
    if (now) ahead = now - Date.now();
  };
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const day = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
  const month = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
  const UNITS = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 0, ""]];
  const age = (seconds) => {
    if (seconds < 3) return "now";
    if (seconds < 60) return `${seconds - (seconds % 5) || seconds} s ago`;
    const [size, unit, less, name] = UNITS.find(([limit]) => seconds >= limit);
    const rest = less && seconds < 3 * size ? Math.floor((seconds % size) / less) : 0;
    return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${name}` : ""} ago`;
  };
  let printing = false; // paper shows no ages
  const localise = (page) => {
    const now = Date.now() + ahead, year = new Date(now).getFullYear();
    for (const time of page.querySelectorAll("time[datetime]")) {
      const at = Date.parse(time.dateTime);
      if (Number.isNaN(at)) continue;
      const seconds = Math.round((now - at) / 1000), recent = Math.abs(seconds) < 43200;
      const date = new Date(at).getFullYear() === year ? month.format(at) : day.format(at);
      const whole = `${date}, ${clock.format(at)}`;
      let text = time.dataset.as === "date" || !recent ? whole : clock.format(at);
      if (printing) text = whole;
      else if (time.dataset.as === "due") text = seconds >= 0 ? "due" : text;
      else if (time.dataset.as === "ago" && seconds >= -2) text = age(Math.max(seconds, 0));
      if (time.textContent !== text) time.textContent = text;
      const title = `${day.format(at)}, ${clock.format(at)} (${time.dateTime.slice(0, 19).replace("T", " ")} UTC)`;
      if (time.title !== title) time.title = title;
    }
  };
  const prepare = (page) => {
    localise(page);
    for (const button of page.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
  };

  const say = (text) => { by("said").textContent = text; };
  const state = (text, light) => { by("state").textContent = text; by("light").className = `light ${light}`; };

  // Loading the page again
  let wanted = false, outdated = false, busy = false, paused = false, notBefore = 0, timer = 0, etag = "";
  const selecting = () => {
    const selection = getSelection();
    return selection && !selection.isCollapsed && main().contains(selection.anchorNode);
  };
  const FIELDS = "input, select, textarea";
  const changed = (field) => field.options
    ? [...field.options].some((option) => option.defaultSelected) && ![...field.selectedOptions].every((option) => option.defaultSelected)
    : field.checked !== undefined && field.checked !== field.defaultChecked || field.value !== field.defaultValue;
  const editing = () => {
    const focused = document.activeElement;
    return main().contains(focused) && focused.matches(FIELDS) || [...main().querySelectorAll(FIELDS)].some(changed);
  };
  // Nothing changes below a question.
  const held = () => paused || document.hidden || "still" in main().dataset || selecting() || editing();
  const want = () => { wanted = true; pump(); };
  const pump = () => {
    clearTimeout(timer);
    if (!wanted || busy || held()) return;
    if (outdated) return location.reload();
    const wait = notBefore - performance.now();
    if (wait > 0) timer = setTimeout(pump, wait); else load();
  };
  const load = async () => {
    wanted = false; busy = true;
    const began = performance.now();
    try {
      const address = new URL(main().dataset.live || location.href, location.href);
      const answer = await fetch(address, { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store" });
      if (answer.status === 401) return location.reload();
      seen();
      if (answer.status === 200 || answer.status === 404) {
        etag = answer.headers.get("ETag") || "";
        show(new DOMParser().parseFromString(policy.createHTML(await answer.text()), "text/html"));
      }
    } catch { lost(); } finally {
      busy = false;
      notBefore = performance.now() + Math.max(1000, 20 * (performance.now() - began));
      if (wanted) pump();
    }
  };
  const show = (page) => {
    const next = page.getElementById("content");
    if (!next || !page.body.dataset.version) return location.reload();
    if (held()) { wanted = true; etag = ""; return; }
    setClock(page);
    prepare(next);
    const before = main().dataset.attention, after = next.dataset.attention;
    Idiomorph.morph(main(), next, {
      morphStyle: "outerHTML", ignoreActiveValue: true, restoreFocus: true,
      callbacks: { beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS") },
    });
    document.title = page.title;
    if (before !== after && after !== undefined) {
      say(after === "0" ? "All is well" : after === "1" ? "1 thing needs attention" : `${after} things need attention`);
    }
  };

  // The connection: one stream for all tabs, which only says that something has changed
  // A computer that slept, or a network that was left, may leave a stream open that never says a word again.
  const SILENCE = 12000, PATIENCE = 5000; // beats come every 5 s
  let lastSeen = performance.now(), lostAt = 0, source = null, openedAt = 0, polling = 0, delay = 1000, reopening = 0;
  const seen = () => {
    lastSeen = performance.now();
    if (!by("offline").hidden) { by("offline").hidden = true; say("Connected again"); }
    lostAt = 0;
    if (!paused) state("Live", "on");
  };
  const lost = () => {
    lostAt ||= performance.now();
    if (by("offline").hidden) state("Reconnecting", "");
  };
  const check = () => {
    const now = performance.now();
    if (now - lastSeen > SILENCE && !document.hidden) {
      lost();
      if (source && now - openedAt > SILENCE) { source.close(); open(); }
    }
    if (!lostAt || now - lostAt < PATIENCE || !by("offline").hidden) return;
    const at = clock.format(Date.now() - (now - lastSeen));
    const bold = document.createElement("strong");
    bold.textContent = "The watcher does not answer.";
    by("offline").replaceChildren(bold, ` This page shows what was known at ${at}; it continues by itself when the watcher is back.`);
    by("offline").hidden = false;
    state("No answer", "off");
    say("The connection to the watcher is lost");
  };
  const received = ({ kind, version }) => {
    if (kind === "lost") return lost();
    const back = lostAt > 0;
    seen();
    if (version && version !== body.dataset.version && sessionStorage.getItem("reloaded") !== version) {
      sessionStorage.setItem("reloaded", version);
      outdated = true;
    }
    if (kind === "changed" || back || outdated) want();
  };

  let channel = null; // only while the page is shown: with one, a browser does not keep a page that is left
  const tune = () => {
    if (channel || !window.BroadcastChannel) return;
    channel = new BroadcastChannel(`watcher ${root}`);
    channel.onmessage = (event) => received(event.data);
  };
  const pass = (message) => { received(message); if (channel) channel.postMessage(message); };
  const open = () => {
    openedAt = performance.now();
    source = new EventSource(new URL("changes", root));
    source.onopen = () => { delay = 1000; clearInterval(polling); polling = 0; };
    source.addEventListener("changed", (event) => pass({ kind: "changed", version: event.data }));
    source.addEventListener("beat", (event) => pass({ kind: "beat", version: event.data }));
    source.onerror = () => {
      pass({ kind: "lost" });
      if (source.readyState !== EventSource.CLOSED) return;
      // An HTTP error ends a stream for ever: load the page by itself, and open another one later.
      want();
      polling ||= setInterval(want, 5000);
      reopening = setTimeout(open, delay * (0.5 + Math.random()));
      delay = Math.min(2 * delay, 30000);
    };
  };
  const close = () => {
    clearTimeout(reopening); clearInterval(polling); polling = 0;
    if (source) source.close();
    source = null;
  };
  let release = null;
  const lead = () => new Promise((resolve) => { release = () => { close(); release = null; resolve(); }; open(); });
  let queued = null;
  const join = () => {
    tune();
    if (!navigator.locks) { if (!source) open(); return; }
    if (queued) return;
    queued = new AbortController();
    navigator.locks.request(`watcher ${root}`, { signal: queued.signal }, lead).catch(() => {});
  };
  const leave = () => {
    if (queued) queued.abort();
    queued = null;
    if (release) release(); else close();
    if (channel) channel.close();
    channel = null;
  };

  prepare(document);
  setClock(document);
  localise(document);
  setInterval(() => { check(); if (!document.hidden) localise(document); }, 1000);
  by("live").hidden = false;
  state("Connecting", "");
  by("pause").addEventListener("click", () => {
    paused = !paused;
    by("pause").setAttribute("aria-pressed", paused);
    by("pause").textContent = paused ? "Resume updates" : "Pause updates";
    if (paused) state("Paused", ""); else { seen(); pump(); }
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    say("Copied");
  });
  document.addEventListener("selectionchange", pump);
  document.addEventListener("focusout", () => setTimeout(pump));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return leave();
    lastSeen = performance.now();
    join();
    want();
  });
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => { if (event.persisted) { lastSeen = performance.now(); join(); want(); } });
  addEventListener("beforeprint", () => { printing = true; localise(document); });
  addEventListener("afterprint", () => { printing = false; localise(document); });
  const flash = by("flash");
  if (flash) flash.focus();
  if (!document.hidden) join();
})();
