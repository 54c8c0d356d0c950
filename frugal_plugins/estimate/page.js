"use strict";
(() => {
  const data = JSON.parse(document.getElementById("estimate").textContent);
  const piles = data.piles.map((row) => Object.fromEntries(data.fields.map((name, index) => [name, row[index]])));
  const sliders = [...document.querySelectorAll("input[data-name]")];
  const volume = document.getElementById("volume");
  const words = ["off", "low", "likely", "high"];

  // As in words.py: at least four significant digits, four places below $1,000.
  const money = (usd) => {
    if (Math.abs(usd) < 1e-9) return "$0.00";
    const size = Math.floor(Math.log10(Math.abs(usd)));
    const places = size >= 3 ? 2 : Math.min(12, Math.max(4, 3 - size));
    const said = Math.abs(usd).toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
    return (usd < 0 ? "-$" : "$") + said;
  };
  // A slider at 1.5 is half way between low and likely.
  const strength = (name, at) => {
    const below = Math.min(2, Math.floor(at));
    const [from, to] = [data.strengths[below][name], data.strengths[below + 1][name]];
    return from.map((value, index) => value + (to[index] - value) * (at - below));
  };
  const bill = (tokens, now, later, waits) =>
    tokens.reduce((sum, count, index) => sum + count * ((1 - waits) * now[index] + waits * later[index]), 0);
  // The same arithmetic as Pile.usd in replay.py.
  const left = (pile, s) => {
    const gone = s.history[0] * pile.cut_tokens;
    const goneRead = s.history[0] * pile.cut_read_tokens;
    let fresh = pile.fresh - (gone - goneRead);
    const read = pile.read - goneRead;
    const summaries = s.history[0] * ((pile.cut_tokens / 5) * pile.summary_in + ((pile.cuts * 150) / 5) * pile.summary_out);
    fresh = Math.max(0, fresh - s.shorten[0] * Math.min(pile.prose_tokens, Math.max(0, fresh)));
    const againIn = s.cap[2] * pile.again_input_tokens + s.cap[3] * pile.first_input_tokens;
    const againOut = s.cap[2] * pile.again_tokens + s.cap[3] * pile.first_tokens;
    const out = Math.max(0, pile.out - s.cap[0] * pile.verdict_tokens - s.cap[1] * pile.runaway_tokens);
    const warm = Math.min(fresh, s.prompt_cache[pile.explicit] * pile.warm_tokens);
    const cold = Math.min(fresh - warm, s.prompt_cache[pile.explicit] * pile.cold_tokens);
    const tokens = [fresh - warm - cold + againIn, read + warm, pile.write + cold, pile.write_1h];
    const moved = pile.source < 3 ? s.route[pile.source] : 0;
    const waits = pile.can_wait ? s.batch[2 - pile.can_wait] : 0;
    const said = Math.max(0, out - pile.unthinking * pile.reasoning) * s.route[3];
    const stays = bill([...tokens, out + againOut], pile.here, pile.here_batch, waits);
    const anew = s.route[4] * tokens[1];
    const there = [tokens[0] + anew, tokens[1] - anew, tokens[2], tokens[3], said + againOut];
    const goes = moved ? Math.min(stays, bill(there, pile.there, pile.there_batch, waits)) : 0;
    const kept = 1 - (pile.repeat ? s.cache[pile.repeat - 1] : 0);
    return kept * ((1 - moved) * stays + moved * goes + summaries);
  };
  const total = (s) => piles.reduce((sum, pile) => sum + left(pile, s), 0) * data.factor * (volume.value / 100);

  const replay = () => {
    const on = Object.fromEntries(data.flow.map((name) => [name, data.strengths[0][name]]));
    const before = total(on);
    const steps = [];
    let now = before;
    for (const name of data.flow) {
      const at = Number(document.getElementById("s-" + name).value);
      on[name] = strength(name, at);
      const then = total(on);
      steps.push([name, now - then]);
      now = then;
    }
    return { before, steps, after: now };
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const draw = ({ before, steps, after }) => {
    const place = document.getElementById("plot-waterfall");
    const bars = [["today", 0, before, before, "before"]];
    let floor = before;
    for (const [name, saved] of steps) {
      bars.push([name, Math.min(floor, floor - saved), Math.abs(saved), -saved, saved >= 0 ? "saved" : "cost"]);
      floor -= saved;
    }
    bars.push(["left", 0, after, after, "after"]);
    const trace = {
      ...place.data[0],
      x: bars.map((bar) => bar[0]),
      base: bars.map((bar) => bar[1]),
      y: bars.map((bar) => bar[2]),
      text: bars.map((bar) => money(bar[3])),
      marker: { color: bars.map((bar) => colour(bar[4])) },
    };
    Plotly.react(place, [trace], place.layout, { displayModeBar: false, responsive: true });
  };
  const say = () => {
    const found = replay();
    const { before, steps, after } = found;
    const share = before ? (100 * (before - after)) / before : 0;
    for (const [name, saved] of steps) {
      const slider = document.getElementById("s-" + name);
      if (slider.disabled) continue;
      const at = Number(slider.value);
      const near = Number.isInteger(at) ? words[at] : "between " + words[Math.floor(at)] + " and " + words[Math.ceil(at)];
      slider.setAttribute("aria-valuetext", near);
      document.getElementById("o-" + name).textContent = near + ": " + money(saved);
    }
    document.getElementById("volume-says").textContent = volume.value + " %: " + money(before) + " " + data.per;
    document.getElementById("left").textContent = money(after);
    document.getElementById("saved").textContent = money(before - after);
    document.getElementById("share").textContent = share.toFixed(1) + " %";
    document.getElementById("told").textContent = "Left to pay " + data.per + ": " + money(after) + " of " + money(before) + ", " + share.toFixed(1) + " % saved.";
    draw(found);
  };
  const set = (slider, value) => {
    if (!slider.disabled) slider.value = value;
  };
  for (const button of document.querySelectorAll("button[data-all]")) {
    button.addEventListener("click", () => {
      const all = button.dataset.all;
      sliders.forEach((slider) => set(slider, all === "recipe" ? 2 * Number(slider.dataset.recipe) : Number(all)));
      say();
    });
  }
  [...sliders, volume].forEach((slider) => slider.addEventListener("input", say));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", say);
  window.addEventListener("beforeprint", say);
  window.addEventListener("afterprint", say);
  say();
})();
