// What the page itself does: keys, and sending a folder's files. Everything else is the server's.
(() => {
  const typing = (element) =>
    element.closest("input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]") !== null;
  const steered = (element) => element.matches('input[type=range]:not([name="visit"])');
  const keys = { ArrowLeft: "earlier", ArrowRight: "later", ArrowUp: "slice_up", ArrowDown: "slice_down", h: "map", H: "map" };

  document.addEventListener(
    "keydown",
    (event) => {
      const key = keys[event.key];
      if (!key || typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key.startsWith("Arrow") && steered(event.target)) return; // a slider that has the focus moves itself
      if (window.trame.state.get("dialog")) return;
      event.preventDefault(); // nothing scrolls
      event.stopPropagation();
      window.trame.trigger("key", [key]);
    },
    true,
  );
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && window.trame?.state) window.trame.state.set("dialog", "");
  });

  // Whoever opens the dialog by the keyboard is in it, and afterwards back where they were.
  let before = null;
  document.addEventListener("focusin", (event) => {
    if (!event.target.closest(".dialog")) before = event.target;
  });
  window.viewerDialog = {
    shown: (dialog) => dialog.querySelector("input").focus(),
    gone: () => requestAnimationFrame(() => before?.isConnected && before.focus()),
  };

  const say = (words) => window.trame.state.set("upload", { words });

  async function post(address, body) {
    const answer = await fetch(address, { method: "POST", body });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.text();
  }

  window.viewerUpload = async (input) => {
    const files = [...input.files];
    input.value = "";
    if (!files.length) return;
    try {
      const folder = await post("upload/new");
      for (const [index, file] of files.entries()) {
        say(`Uploading file ${index + 1} of ${files.length}`);
        const name = encodeURIComponent(file.webkitRelativePath || file.name);
        await post(`upload/${folder}/file?name=${name}`, file);
      }
      say("");
      await window.trame.trigger("open_upload", [folder]);
    } catch (error) {
      say(error.message || "The upload was interrupted.");
    }
  };
})();
