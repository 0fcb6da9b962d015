/* What only the browser knows: its size, dark mode, WebGL, and where the map was moved to. */
window.dash_clientside = window.dash_clientside || {};
window.dash_clientside.explorer = {
  screen: function () {
    let hasWebgl = false;
    try {
      hasWebgl = !!document.createElement("canvas").getContext("webgl");
    } catch (error) {
      hasWebgl = false;
    }
    return {
      width: document.documentElement.clientWidth,
      height: window.innerHeight,
      is_dark: window.matchMedia("(prefers-color-scheme: dark)").matches,
      has_webgl: hasWebgl,
    };
  },

  /* Write the window of the map into the address, without drawing the page again. */
  remember: function (moved) {
    const graph = document.querySelector("#map .js-plotly-plot");
    const touched = moved && Object.keys(moved).some((key) => key.includes("axis."));
    if (!graph || !graph.layout || !touched) {
      return window.dash_clientside.no_update;
    }
    const box = [...graph.layout.xaxis.range, ...graph.layout.yaxis.range];
    if (!box.every(Number.isFinite)) {
      return window.dash_clientside.no_update;
    }
    const address = new URL(window.location.href);
    address.searchParams.set("box", box.map((value) => value.toPrecision(6)).join(","));
    window.history.replaceState(window.history.state, "", address);
    return box;
  },
};
