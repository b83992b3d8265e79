// Moves the threshold over the plot and tells what it would do. The figures came with the page.
"use strict";
(() => {
  for (const select of document.querySelectorAll("[data-submit]"))
    select.addEventListener("change", () => select.form.requestSubmit());
  const root = document.getElementById("simulator");
  const slider = document.getElementById("threshold");
  const plot = document.getElementById("plot");
  const points = JSON.parse(root.dataset.points);
  const current = Number(root.dataset.current);

  const nearest = (value) =>
    points.reduce((best, each) => (Math.abs(each.threshold - value) < Math.abs(best.threshold - value) ? each : best));
  const number = (value, percent) =>
    percent ? (100 * value).toFixed(0) : value >= 10 ? value.toFixed(0) : value.toFixed(1);

  function show(point) {
    document.getElementById("at").textContent = point.threshold.toFixed(2);
    const handle = document.getElementById("handle");
    handle.setAttribute("x1", 200 * point.threshold);
    handle.setAttribute("x2", 200 * point.threshold);
    for (const place of root.querySelectorAll("[data-value]")) {
      const key = place.dataset.value, figure = point[key], percent = key === "precision" || key === "recall";
      place.textContent = figure.value === null ? "–" : number(figure.value, percent);
      root.querySelector(`[data-interval=${key}]`).textContent =
        figure.interval ? `(${number(figure.interval[0], percent)}–${number(figure.interval[1], percent)})` : "";
    }
    slider.setAttribute("aria-valuetext", point.threshold.toFixed(2));
    document.getElementById("save").disabled = Math.abs(point.threshold - current) < 0.00005;
  }

  const moved = () => show(nearest(Number(slider.value)));
  slider.addEventListener("input", moved);
  let dragging = false;
  const drag = (event) => {
    const box = plot.getBoundingClientRect();
    slider.value = (event.clientX - box.left) / box.width;
    moved();
  };
  plot.addEventListener("pointerdown", (event) => { dragging = true; plot.setPointerCapture(event.pointerId); drag(event); });
  plot.addEventListener("pointermove", (event) => { if (dragging) drag(event); });
  plot.addEventListener("pointerup", () => { dragging = false; });
  show(nearest(current));
})();
