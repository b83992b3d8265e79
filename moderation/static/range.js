// Dragging over a histogram moves the two handles below it.
"use strict";
(() => {
  let from = null;
  const column = (event) => document.elementFromPoint(event.clientX, event.clientY)?.closest?.("[data-range] g");

  function mark(svg, a, b) {
    const low = Math.min(a.dataset.low, b.dataset.low), high = Math.max(a.dataset.high, b.dataset.high);
    for (const each of svg.querySelectorAll("g"))
      each.classList.toggle("inside", Number(each.dataset.low) >= low && Number(each.dataset.high) <= high);
    const form = svg.closest("form");
    form.elements.low.value = low;
    form.elements.high.value = high;
    tell(form);
  }

  function tell(form) {
    for (const input of form.querySelectorAll("input[type=range]"))
      input.parentElement.querySelector("output").textContent = Number(input.value).toFixed(2);
  }

  document.addEventListener("pointerdown", (event) => {
    const hit = event.target.closest?.("[data-range] g");
    if (!hit) return;
    event.preventDefault();
    from = hit;
    mark(hit.ownerSVGElement, hit, hit);
  });
  document.addEventListener("pointermove", (event) => {
    const hit = from && column(event);
    if (hit) mark(hit.ownerSVGElement, from, hit);
  });
  document.addEventListener("pointerup", () => {
    if (!from) return;
    const form = from.closest("form");
    from = null;
    form.dispatchEvent(new Event("change", { bubbles: true }));
  });
  document.addEventListener("input", (event) => {
    if (!event.target.matches(".range input[type=range]")) return;
    // The handles do not pass each other.
    const { low, high } = event.target.form.elements;
    if (Number(low.value) >= Number(high.value)) {
      if (event.target === low) low.value = Number(high.value) - 0.05;
      else high.value = Number(low.value) + 0.05;
    }
    tell(event.target.form);
  });
})();
