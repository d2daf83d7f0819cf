(function () {
  "use strict";
  var config = { responsive: true, displaylogo: false, modeBarButtons: [["toImage"]], displayModeBar: "hover" };

  function draw(div) {
    if (div.dataset.drawn || !window.Plotly) { return; }
    div.dataset.drawn = "yes";
    var figure = JSON.parse(document.getElementById(div.id.replace("plot-", "data-")).textContent);
    window.Plotly.newPlot(div, figure.data, figure.layout, config);
  }

  function drawVisible(root) {
    root.querySelectorAll(".plot").forEach(function (div) {
      if (div.offsetParent !== null) { draw(div); }
    });
  }

  function highlight(number) {
    document.querySelectorAll(".plot").forEach(function (div) {
      if (!div.data) { return; }
      div.usual = div.usual || div.data.map(function (trace) { return trace.opacity === undefined ? 1 : trace.opacity; });
      var opacity = div.data.map(function (trace, index) {
        var usual = div.usual[index];
        if (number === null || trace.meta === undefined || trace.meta === number) { return usual; }
        return trace.fill ? 0.02 : 0.1;
      });
      window.Plotly.restyle(div, { opacity: opacity });
    });
  }

  function sortBy(table, column, ascending) {
    var body = table.tBodies[0];
    var rows = Array.prototype.slice.call(body.rows);
    function key(row) {
      var cell = row.cells[column];
      return cell.dataset.sort === undefined ? cell.textContent : Number(cell.dataset.sort);
    }
    rows.sort(function (a, b) {
      var x = key(a), y = key(b);
      if (typeof x !== typeof y) { return typeof x === "number" ? -1 : 1; }
      var order = typeof x === "number" ? x - y : x.localeCompare(y, "en", { numeric: true });
      return ascending ? order : -order;
    });
    rows.forEach(function (row) { body.appendChild(row); });
  }

  document.querySelectorAll("table.sortable th button").forEach(function (button) {
    button.addEventListener("click", function () {
      var th = button.parentNode, table = th.closest("table");
      var ascending = th.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("th").forEach(function (other) { other.removeAttribute("aria-sort"); });
      th.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sortBy(table, th.cellIndex, ascending);
    });
  });

  var buttons = document.querySelectorAll("button[data-condition]");
  buttons.forEach(function (button) {
    button.addEventListener("click", function () {
      var on = button.getAttribute("aria-pressed") !== "true";
      buttons.forEach(function (other) { other.setAttribute("aria-pressed", "false"); });
      button.setAttribute("aria-pressed", String(on));
      highlight(on ? Number(button.dataset.condition) : null);
    });
  });

  document.querySelectorAll("details").forEach(function (details) {
    details.addEventListener("toggle", function () { drawVisible(details); });
  });
  function eachDrawn(update) {
    document.querySelectorAll(".plot").forEach(function (div) {
      if (div.dataset.drawn) { window.Plotly.relayout(div, update); }
    });
  }
  window.addEventListener("beforeprint", function () {
    eachDrawn({ width: 980 });
  });
  window.addEventListener("afterprint", function () { eachDrawn({ width: null, autosize: true }); });
  drawVisible(document);
})();
