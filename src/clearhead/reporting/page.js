const page = document.documentElement;

function choose(language) {
  page.lang = language;
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  }
}

for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => choose(button.dataset.language));
}

// A chart's points are [x, y, step, value] with x and y in the picture's own units.
for (const svg of document.querySelectorAll("svg[data-points]")) {
  const series = JSON.parse(svg.dataset.points);
  const values = [...svg.closest("figure").querySelectorAll(".legend b")];
  const last = values.map((value) => value.textContent);
  const draw = (name, attributes) => {
    const element = document.createElementNS(svg.namespaceURI, name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    return svg.appendChild(element);
  };
  let marks = [];
  const clear = () => {
    marks.forEach((mark) => mark.remove());
    marks = [];
  };
  svg.addEventListener("pointermove", (event) => {
    clear();
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const near = series.map((points) =>
      points.reduce((best, point) => (Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best)),
    );
    const nearest = near.reduce((best, point) => (Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best));
    const grid = [...svg.querySelectorAll(".grid")].map((line) => line.getBBox().y);
    marks.push(draw("path", { class: "cross", d: `M${nearest[0]} ${Math.min(...grid)}V${Math.max(...grid)}` }));
    near.forEach((point, number) => {
      marks.push(draw("circle", { class: `spot s${number}`, cx: point[0], cy: point[1], r: 4.5 }));
      values[number].textContent = point[3];
    });
    values[near.length].textContent = nearest[2];
  });
  svg.addEventListener("pointerleave", () => {
    clear();
    last.forEach((text, number) => (values[number].textContent = text));
  });
}
