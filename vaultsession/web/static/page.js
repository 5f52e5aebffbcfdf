"use strict";
// The page works without this, but for search, verification and new messages. Text goes in as text; what goes in as
// HTML comes from the page itself, where the server has cleaned it.

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// -- light and dark ---------------------------------------------------------------------------------------------------

const root = document.documentElement;
const remembered = localStorage.getItem("theme");
if (remembered) root.dataset.theme = remembered;

function otherTheme() {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
}
one("#theme").addEventListener("click", otherTheme);

// -- streams ----------------------------------------------------------------------------------------------------------

// Opens a stream; its handlers by the name of the event. It ends with "end", or when it is stopped.
function stream(address, handlers) {
  const source = new EventSource(address);
  const stop = () => source.close();
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  }
  source.addEventListener("end", stop);
  return { stop, source };
}

function made(tag, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
}

function drawProgress(within, { done, total }, what) {
  const bar = one("progress", within);
  if (total) { bar.max = total; bar.value = done; } else { bar.removeAttribute("value"); }
  one("[role=status], span", within).textContent = `${what} ${done.toLocaleString()}${total ? ` of ${total.toLocaleString()}` : ""}`;
}

// -- a conversation ---------------------------------------------------------------------------------------------------

const messages = one("#messages");
const MOST = 600; // messages that are kept on the page; those far from what is read go

const conversation = messages && (() => {
  const id = messages.dataset.id;
  const size = Number(messages.dataset.window);
  let first = Number(messages.dataset.first);
  let end = Number(messages.dataset.end);
  let total = Number(messages.dataset.total);
  let busy = null;

  const atBottom = () => innerHeight + scrollY > document.body.scrollHeight - 120;
  const pieces = () => all(":scope > .message", messages);

  function told(sentence) {
    const trouble = one("#trouble");
    trouble.hidden = !sentence;
    trouble.textContent = sentence || "";
  }

  async function fetched(from, limit) {
    const query = new URLSearchParams({ id, n: from, limit });
    const answer = await fetch(`/window?${query}`);
    const text = await answer.text();
    if (!answer.ok) throw new Error(new DOMParser().parseFromString(text, "text/html").querySelector("h1")?.textContent || "The page does not answer");
    const holder = document.createElement("template");
    holder.innerHTML = text;
    total = Number(answer.headers.get("X-Total"));
    return { content: holder.content, from: Number(answer.headers.get("X-First")), end: Number(answer.headers.get("X-End")) };
  }

  // One at a time: a second wish waits for the first.
  function once(work) {
    busy = (busy || Promise.resolve()).then(work).catch((error) => told(`${error.message}. What is shown stays.`));
    return busy;
  }

  function sentinel(name, text, before) {
    let found = one(`#${name}`);
    const needed = name === "earlier" ? first > 0 : end < total;
    if (!needed) { if (found) found.remove(); return; }
    if (!found) {
      found = made("p", undefined, "more");
      found.id = name;
      const link = made("a", text, "button");
      link.href = "#";
      found.append(link);
      watcher.observe(found);
    }
    if (before) messages.prepend(found); else messages.append(found);
  }

  function settle() {
    sentinel("earlier", "Earlier messages", true);
    sentinel("later", "Later messages", false);
    one("#total").textContent = total === 1 ? "1 message" : `${total.toLocaleString("en").replaceAll(",", "\u202f")} messages`;
    one("#live").hidden = end < total;
    const empty = one(".empty", messages);
    if (empty && total) empty.remove();
  }

  // What was in view stays where it was, whatever comes or goes above it.
  function steadily(change) {
    const anchor = pieces().find((piece) => piece.getBoundingClientRect().bottom > 0);
    const before = anchor && anchor.getBoundingClientRect().top;
    change();
    if (anchor && anchor.isConnected) scrollBy({ top: anchor.getBoundingClientRect().top - before, behavior: "instant" });
  }

  const earlier = () => once(async () => {
    if (first <= 0) return;
    const from = Math.max(0, first - size);
    const got = await fetched(from, first - from);
    steadily(() => {
      const top = one("#earlier");
      if (top) top.after(got.content); else messages.prepend(got.content);
      first = got.from;
      for (const piece of pieces().reverse()) {
        if (end - first <= MOST) break;
        end = Number(piece.dataset.first);
        piece.remove();
      }
      settle();
    });
  });

  const later = () => once(async () => {
    if (end >= total) return;
    const got = await fetched(end, size);
    steadily(() => {
      const bottom = one("#later");
      if (bottom) bottom.before(got.content); else messages.append(got.content);
      end = Math.max(end, got.end);
      for (const piece of pieces()) {
        if (end - first <= MOST) break;
        first = Number(piece.dataset.end);
        piece.remove();
      }
      settle();
    });
  });

  const goTo = (number, isEnd) => once(async () => {
    const from = Math.max(0, isEnd ? total - size : number - Math.floor(size / 3));
    const got = await fetched(from, size);
    for (const piece of pieces()) piece.remove();
    messages.prepend(got.content);
    first = got.from;
    end = got.end;
    settle();
    if (isEnd) scrollTo({ top: document.body.scrollHeight, behavior: "instant" });
    else if (number === 0) scrollTo({ top: 0, behavior: "instant" });
    else show(number);
  });

  function show(number) {
    const found = document.getElementById(`m${number}`);
    if (!found) return;
    const notes = found.closest("details.notes");
    if (notes) notes.open = true;
    found.scrollIntoView({ block: "start", behavior: "instant" });
    found.focus?.({ preventScroll: true });
  }

  const watcher = new IntersectionObserver((seen) => {
    for (const each of seen) {
      if (!each.isIntersecting) continue;
      const again = each.target.id === "earlier" ? earlier : later;
      // One that is still in view after that has more to bring.
      again().then(() => { watcher.unobserve(each.target); if (each.target.isConnected) watcher.observe(each.target); });
    }
  }, { rootMargin: "900px 0px" });

  messages.addEventListener("click", (event) => {
    const link = event.target.closest("#earlier a, #later a");
    if (!link) return;
    event.preventDefault();
    (link.parentElement.id === "earlier" ? earlier : later)();
  });
  one("#to-start").addEventListener("click", (event) => { event.preventDefault(); goTo(0); });
  one("#to-end").addEventListener("click", (event) => { event.preventDefault(); goTo(total, true); });
  one(".jump").addEventListener("submit", (event) => {
    const number = one(".jump input[name=n]").valueAsNumber;
    if (Number.isNaN(number)) return;
    event.preventDefault();
    goTo(number);
  });

  // The raw JSON stands beneath its message.
  messages.addEventListener("click", async (event) => {
    const link = event.target.closest("a.raw");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const piece = link.closest(".message");
    const shown = one(".shown-raw", piece);
    if (shown) { shown.remove(); return; }
    const answer = await fetch(`${link.getAttribute("href")}&piece=1`);
    const holder = made("div", undefined, "shown-raw");
    if (answer.ok) holder.innerHTML = await answer.text(); else holder.textContent = "This message cannot be read now.";
    piece.append(holder);
  });

  const { source } = stream(`/events?${new URLSearchParams({ id })}`, {
    count: (event) => { if (event.total > total) grown(event.total); },
    back: (event) => { told(""); grown(event.total); },
    grown: (event) => { told(""); grown(event.total); },
    changed: (event) => { told(""); total = event.total; goTo(Math.min(first, total), true); },
    gone: (event) => told(`${event.heading}. ${event.advice} What is shown stays.`),
  });
  source.addEventListener("error", () => told("The server does not answer. What is shown stays."));
  source.addEventListener("open", () => told(""));

  function grown(count) {
    const follows = end >= total && atBottom();
    const wasAtEnd = end >= total;
    total = count;
    if (!wasAtEnd) { settle(); return; }
    later().then(() => { if (follows) scrollTo({ top: document.body.scrollHeight, behavior: "smooth" }); });
  }

  // The address says where one reads, for the way back and for the next time.
  let noted;
  function note() {
    const query = new URLSearchParams({ id });
    const seen = pieces().find((piece) => piece.getBoundingClientRect().bottom > 80);
    const isWhole = first === 0 && end >= total;
    if (seen && scrollY > 80 && (isWhole || end < total || !atBottom())) query.set("n", seen.dataset.first);
    history.replaceState(null, "", `/session?${query}`);
  }
  addEventListener("scroll", () => { clearTimeout(noted); noted = setTimeout(note, 400); }, { passive: true });

  history.scrollRestoration = "manual";
  settle();
  const wanted = messages.dataset.wanted ?? location.hash.match(/^#m(\d+)$/)?.[1];
  if (wanted !== undefined) show(Number(wanted));
  else if (first > 0) scrollTo({ top: document.body.scrollHeight, behavior: "instant" });
  for (const each of all("#earlier, #later")) watcher.observe(each);
  return { goTo, total: () => total };
})();

// -- search -----------------------------------------------------------------------------------------------------------

const matches = one("#matches");
if (matches) {
  const list = one("#found");
  const work = one("#work");
  let found = 0;
  const label = (done) => `${found} ${found === 1 ? "match" : "matches"}${found >= Number(matches.dataset.most) ? ", and maybe more" : ""} ·${done} sessions`;
  const ended = (sentence) => {
    one("progress", work).hidden = one("#stop").hidden = true;
    one("#said").textContent = sentence;
  };
  let last = "";
  const { stop, source } = stream(`/search/events${location.search}`, {
    match: (match) => {
      found += 1;
      const item = made("li");
      item.dataset.item = "";
      const link = made("a", match.title, "title");
      link.href = match.address;
      const where = made("time", match.number === null ? "" : `#${match.number}`);
      const text = made("p", undefined, "facts");
      const excerpt = made("span");
      excerpt.dir = "auto";
      excerpt.append(match.before, made("mark", match.found), match.behind);
      text.append(made("b", match.role), excerpt);
      if (match.title !== match.id) text.prepend(made("span", match.id, "id"));
      item.append(link, where, text);
      list.append(item);
    },
    progress: (event) => { drawProgress(work, event, `${label("")}`); last = ` ${event.done.toLocaleString()}`; },
    unreadable: (failures) => {
      const notice = made("div", undefined, "notice bad");
      const names = Object.entries(failures);
      notice.append(made("p", `${names.length} could not be read:`));
      const rows = made("ul", undefined, "plain");
      for (const [id, problem] of names.slice(0, 20)) rows.append(made("li", `${id}: ${problem}`));
      notice.append(rows);
      matches.append(notice);
    },
    failed: (event) => ended(`${event.heading}. ${event.advice} ${event.words}`),
    end: () => { if (!one("#stop").hidden) ended(found ? label(last) : `Nothing matches ·${last} sessions`); },
  });
  source.addEventListener("error", () => { stop(); ended(`The server does not answer. ${label(last)}`); });
  one("#stop").addEventListener("click", () => { stop(); ended(`Stopped. ${label(last)}`); });
}

// -- the vault --------------------------------------------------------------------------------------------------------

const survey = one("#survey");
if (survey) {
  const { stop, source } = stream("/vault/survey", {
    progress: (event) => drawProgress(survey, event, "Counted"),
    survey: (html) => { survey.innerHTML = html; },
    failed: (event) => { survey.textContent = `${event.heading}. ${event.advice}`; },
  });
  source.addEventListener("error", stop);

  const card = one("#verify");
  const button = one("#verify-button");
  const bar = one(".progress", card);
  button.addEventListener("click", () => {
    const list = one(".findings", card);
    const ended = (sentence) => { button.disabled = false; one("progress", bar).hidden = one(".stop", bar).hidden = true; one("[role=status]", bar).textContent = sentence; };
    list.replaceChildren();
    button.disabled = true;
    bar.hidden = one("progress", bar).hidden = one(".stop", bar).hidden = false;
    const running = stream("/vault/verify", {
      progress: (event) => drawProgress(bar, event, "Verified"),
      problem: (each) => {
        const item = made("li");
        const link = made("a", each.id);
        link.href = `/session?${new URLSearchParams({ id: each.id })}`;
        item.append(made("span", each.verdict, "tag bad"), " ", link, ` ${each.problem}`);
        list.append(item);
      },
      verified: (found) => ended(`${found.ok ? "All is well: " : "Not all is well: "}${found.sessions.toLocaleString()} sessions, ${found.records.toLocaleString()} records, ${found.bytes}`),
      failed: (event) => ended(`${event.heading}. ${event.advice} ${event.words}`),
    });
    running.source.addEventListener("error", () => { running.stop(); ended("The server does not answer."); });
    one(".stop", bar).onclick = () => { running.stop(); ended("Stopped. Nothing was changed."); };
  });
}

// -- the keyboard -----------------------------------------------------------------------------------------------------

const help = one("#help");
one("#help-button").addEventListener("click", () => help.showModal());

function step(by) {
  const items = messages ? all(":scope > .message", messages) : all("[data-item]");
  if (!items.length) return;
  const focused = (item) => item === document.activeElement || item.contains(document.activeElement);
  let place = items.findIndex(focused);
  if (place < 0) {
    const inView = items.findIndex((item) => item.getBoundingClientRect().bottom > 80);
    place = Math.max(0, inView) - (by > 0 ? 1 : 0);
  }
  const next = items[Math.min(items.length - 1, Math.max(0, place + by))];
  const target = next.matches("[data-item]") ? one("a", next) : next.matches("details") ? one("summary", next) : next;
  target.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

function folds(within) {
  const found = all("details", within);
  const open = found.some((each) => !each.open);
  for (const each of found) each.open = open;
}

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  "/": () => one(".find input").focus(),
  "?": () => help.showModal(),
  t: otherTheme,
  u: () => { location.href = "/"; },
  o: () => folds(messages || document),
  i: () => { const about = one("#about"); about?.focus(); about?.scrollIntoView({ block: "nearest" }); },
  g: () => conversation?.goTo(0),
  G: () => conversation?.goTo(conversation.total(), true),
  r: () => one("a.raw", document.activeElement)?.click(),
  Enter: () => { if (document.activeElement?.matches("article")) folds(document.activeElement); },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (event.target.matches("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "Enter" && !event.target.matches("article")) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
