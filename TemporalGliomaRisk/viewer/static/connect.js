// The page's websocket is told to trame's client in the query, which the client then takes out of the address again.
// USE_HOST is replaced by the host of this page.
(() => {
  const here = new URL(window.location.href);
  here.searchParams.set("sessionURL", `ws://USE_HOST${here.pathname.replace(/\/[^/]*$/, "")}/ws`);
  window.history.replaceState({}, document.title, here);
})();
