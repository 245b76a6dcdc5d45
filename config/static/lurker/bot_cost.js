// What a bot will cost, kept in step with its form. Without scripts the preview tells the same.
(() => {
  const form = document.getElementById("botconfig_form");
  const shown = document.getElementById("bot-cost");
  if (!form || !shown) return;
  let timer;
  let asked = 0;
  const ask = async () => {
    const number = ++asked;
    try {
      const answer = await fetch(shown.dataset.url, { method: "POST", body: new FormData(form) });
      const text = await answer.text();
      // An answer that was overtaken by a later one is of a form that is no more.
      if (number === asked) shown.innerHTML = answer.ok ? text : "";
    } catch {
      shown.replaceChildren();
    }
  };
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(ask, 400);
  };
  form.addEventListener("input", later);
  form.addEventListener("change", later);
  ask();
})();
