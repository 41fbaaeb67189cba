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

// Plotly is in the page as gzip in base 85, in Python's alphabet.
const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

function bytesOf(text) {
  const value = new Uint8Array(128);
  for (let digit = 0; digit < 85; digit += 1) value[digits.charCodeAt(digit)] = digit;
  const missing = (5 - (text.length % 5)) % 5;
  const full = text + "~".repeat(missing);
  const view = new DataView(new ArrayBuffer((full.length / 5) * 4));
  for (let group = 0; group < full.length / 5; group += 1) {
    let number = 0;
    for (let place = 0; place < 5; place += 1) number = 85 * number + value[full.charCodeAt(5 * group + place)];
    view.setUint32(4 * group, number);
  }
  return new Uint8Array(view.buffer, 0, view.byteLength - missing);
}

async function unpack() {
  const packed = new Blob([bytesOf(document.getElementById("plotly").textContent)]);
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

unpack().then(draw, () => {
  document.getElementById("no-plots").hidden = false;
});
