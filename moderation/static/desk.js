// The desk's keys, and what moves on the page. Without this script everything still works as plain forms.
"use strict";
(() => {
  const hand = document.getElementById("hand");
  const help = document.getElementById("help");
  const announce = document.getElementById("said");
  const token = document.querySelector("meta[name=csrf-token]").content;
  if (!hand) return;

  const open = () => [...hand.querySelectorAll(".card.open:not(.sending)")];
  const current = () => hand.querySelector(".card.current");

  // ---- the time that a card takes: only while it is current and the page is seen
  let since = null;
  const spent = new WeakMap();
  const pause = () => {
    const card = current();
    if (card && since !== null) spent.set(card, (spent.get(card) || 0) + (performance.now() - since) / 1000);
    since = null;
  };
  const resume = () => { since = current() && !document.hidden ? performance.now() : null; };
  document.addEventListener("visibilitychange", () => (document.hidden ? pause() : resume()));

  const say = (text) => {
    announce.textContent = text;
    announce.classList.toggle("bad", text.startsWith("Not "));
  };

  function go(card, focus = true) {
    if (!card) return;
    pause();
    const before = current();
    if (before && before !== card) before.classList.remove("current", "rejecting");
    card.classList.add("current");
    resume();
    const context = card.querySelector(".context");
    if (context) htmx.trigger(context, "look");
    if (focus) {
      card.focus({ preventScroll: true });
      const box = card.getBoundingClientRect();
      if (box.top < 8 || box.bottom > innerHeight) card.scrollIntoView({ block: "start" });
    }
  }

  const step = (by) => {
    const all = open();
    const at = all.indexOf(current());
    go(all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + by))]);
  };

  const press = (choice) => {
    const card = current();
    const button = card && !card.classList.contains("sending") && card.querySelector(`.decide button[value="${choice}"]`);
    if (button) button.click();
  };

  function rejecting(on) {
    const card = current();
    if (!card || !card.classList.contains("open")) return;
    card.classList.toggle("rejecting", on);
    if (on) card.querySelector(".reasons button").focus();
    else card.focus();
  }

  const undo = () =>
    htmx.ajax("POST", hand.dataset.undo, { source: hand, target: hand, swap: "afterbegin", values: { there: there() } });
  const there = () => [...hand.querySelectorAll("[data-item]")].map((card) => card.dataset.item).join(",");

  const keys = {
    j: () => step(1),
    k: () => step(-1),
    a: () => press("approve"),
    r: () => rejecting(true),
    d: () => press("defer"),
    u: undo,
    "?": () => help.showModal(),
    "/": () => document.getElementById("search")?.focus(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || help.open) return;
    if (event.target.matches("input, select, textarea") || "noKeys" in hand.dataset) return;
    const card = current();
    if (card && card.classList.contains("rejecting")) {
      if (event.key === "Escape") return rejecting(false);
      const reason = card.querySelectorAll(".reasons button")[Number(event.key) - 1];
      if (/^[1-9]$/.test(event.key) && reason) {
        event.preventDefault();
        return reason.click();
      }
      if (["Enter", " ", "Tab", "Shift"].includes(event.key)) return;
      rejecting(false);
    }
    if (event.repeat && !"jk".includes(event.key)) return; // a key held down decides once
    if (Object.hasOwn(keys, event.key)) {
      event.preventDefault();
      keys[event.key]();
    }
  });

  document.getElementById("open-help")?.addEventListener("click", () => help.showModal());
  document.addEventListener("focusin", (event) => {
    const card = event.target.closest?.("#hand .card.open");
    if (card && card !== current()) go(card, false);
  });
  hand.addEventListener("click", (event) => {
    const card = event.target.closest(".card.open");
    if (card && card !== current()) go(card, false);
  });
  for (const select of document.querySelectorAll("[data-submit]"))
    select.addEventListener("change", () => select.form.requestSubmit());

  // ---- what goes to the service
  document.body.addEventListener("htmx:configRequest", (event) => {
    event.detail.headers["X-CSRFToken"] = token;
    const form = event.target.closest?.(".decide");
    if (!form) return;
    const card = form.closest(".card");
    if (card === current()) { pause(); since = null; }
    event.detail.parameters["seconds"] = (spent.get(card) || 0).toFixed(1);
    const all = open();
    const next = all[all.indexOf(card) + 1] || all[all.indexOf(card) - 1];
    card.classList.add("sending");
    card.classList.remove("rejecting", "current");
    if ("back" in hand.dataset) event.detail.parameters["shown"] = all.filter((each) => each !== card).map((each) => each.dataset.item).join(",");
    go(next);
  });

  // ---- what comes back
  document.body.addEventListener("said", (event) => say(event.detail.value));
  const lost = (event) => {
    const card = event.target.closest?.(".card");
    say("Not saved: " + (event.detail.xhr?.status ? `the service answered ${event.detail.xhr.status}.` : "the service cannot be reached."));
    if (card) {
      card.classList.remove("sending");
      go(card);
    }
  };
  document.body.addEventListener("htmx:responseError", lost);
  document.body.addEventListener("htmx:sendError", lost);
  document.body.addEventListener("htmx:timeout", lost);
  document.body.addEventListener("htmx:load", (event) => {
    const card = event.detail.elt;
    if (!card.matches?.("#hand > .card.open")) return;
    // A card that came back by undo is the one to look at; one at the foot only when nothing else is.
    if (!current() || card.dataset.undone !== undefined) go(card);
  });
  // htmx looks at the page at the same event, and was asked before.
  document.addEventListener("DOMContentLoaded", () => go(open()[0], false));
})();
