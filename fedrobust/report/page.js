"use strict";

// Every plot is a <div data-figure="id"> beside a JSON block of that id. Colours of text and grid come from the style sheet.
const plots = [...document.querySelectorAll("[data-figure]")];
const options = {
  displaylogo: false,
  responsive: true,
  modeBarButtons: [["toImage"]],
  toImageButtonOptions: { format: "svg" },
};

const number = (share) => share.toFixed(1);
const percent = (share) => `${Math.round(100 * share)}\u202f%`;

// Plotly is in the page as gzip, 13 bits in two characters of the alphabet in base91.py: printable ASCII without "&<.
function bytesOf(text, length) {
  const value = new Uint8Array(128);
  let digits = 0;
  for (let code = 33; code < 127; code += 1) {
    if (!'"&<'.includes(String.fromCharCode(code))) {
      value[code] = digits;
      digits += 1;
    }
  }
  const bytes = new Uint8Array(length);
  let bits = 0;
  let count = 0;
  let filled = 0;
  for (let place = 0; filled < length; place += 2) {
    // At most seven bits are left from before: 20 bits fit.
    bits = (bits << 13) | (value[text.charCodeAt(place)] + digits * value[text.charCodeAt(place + 1)]);
    for (count += 13; count >= 8 && filled < length; filled += 1) {
      count -= 8;
      bytes[filled] = bits >> count;
      bits &= (1 << count) - 1;
    }
  }
  return bytes;
}

async function unpack() {
  const { textContent, dataset } = document.getElementById("plotly");
  const packed = new Blob([bytesOf(textContent, Number(dataset.bytes))]);
  const script = document.createElement("script");
  script.textContent = await new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).text();
  document.head.append(script);
}

function draw() {
  for (const plot of plots) {
    const figure = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
    Plotly.newPlot(plot, figure.data, figure.layout, options);
  }
}

for (const button of document.querySelectorAll("input[name=score]")) {
  button.addEventListener("change", () => {
    const plot = document.getElementById(button.dataset.plot);
    Plotly.update(
      plot,
      { visible: plot.data.map((trace) => trace.meta.metric === button.value) },
      { "yaxis.ticktext": plot.layout.yaxis.tickvals.map(button.value === "auc" ? number : percent) },
    );
  });
}

// The slider shows one column of the table of images: each image as it is, attacked, and what was added.
const viewer = document.getElementById("viewer");

function panel(picture, caption, alt) {
  const figure = document.createElement("figure");
  const image = picture.cloneNode();
  const under = document.createElement("figcaption");
  image.alt = alt;
  under.append(...caption);
  figure.append(image, under);
  return figure;
}

function view(column) {
  const heads = [...document.querySelectorAll(".strip thead th")].slice(1);
  const { size, level, scale } = heads[column].dataset;
  const named = [size, level].filter(Boolean).join(", ");
  const rows = [...document.querySelectorAll(".strip tbody tr")];
  viewer.querySelector("[data-shown=size]").textContent = named;
  viewer.querySelector("[data-shown=scale]").textContent = scale;
  viewer.querySelector("input").setAttribute("aria-valuetext", named);
  let right = 0;
  const shown = rows.map((row) => {
    const truth = row.querySelector("th").textContent;
    const cell = row.querySelectorAll("td")[column];
    const answer = cell.querySelector(".answer").cloneNode(true);
    right += cell.className === "right" ? 1 : 0;
    const group = document.createElement("div");
    group.className = cell.className;
    group.append(
      panel(row.querySelector("td .image"), [truth], `Image of “${truth}” without an attack`),
      panel(cell.querySelector(".image"), [answer], `The same image at ${size}`),
      panel(cell.querySelector(".change"), [], `What was added to it, ${scale}`),
    );
    return group;
  });
  viewer.querySelector("output").textContent = `${right} of ${rows.length} right`;
  viewer.querySelector(".panels").replaceChildren(...shown);
}

if (viewer) {
  const slider = viewer.querySelector("input");
  slider.addEventListener("input", () => view(Number(slider.value)));
  view(Number(slider.value));
  viewer.hidden = false;
  document.getElementById("every-epsilon").open = false;
}

// Paper is narrower than the window, and cannot unfold anything.
const folded = [];
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    folded.push(details);
  }
  for (const plot of plots) Plotly.relayout(plot, { autosize: false, width: 680 });
});
addEventListener("afterprint", () => {
  for (const details of folded.splice(0)) details.open = false;
  for (const plot of plots) Plotly.relayout(plot, { autosize: true, width: null });
});

const note = document.getElementById("no-plots");
note.hidden = true;
unpack().then(draw, () => {
  note.hidden = false;
});
