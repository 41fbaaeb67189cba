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

for (const plot of plots) {
  const figure = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
  Plotly.newPlot(plot, figure.data, figure.layout, options);
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
