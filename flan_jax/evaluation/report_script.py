"""The script of a report's page: the browser of examples.

It builds what it shows from text nodes alone, so that no prompt is ever read as HTML. The rest of
the page does without it.
"""

SCRIPT = """
(() => {
  const at = id => document.getElementById(id);
  const data = JSON.parse(at("examples-data").textContent);
  const SHOWN = 20;
  let fitting = [], start = 0;
  const make = (tag, kind, ...inside) => {
    const made = document.createElement(tag);
    if (kind) made.className = kind;
    made.append(...inside);
    return made;
  };
  const all = data.tasks.flatMap((task, i) => task.examples.map(one => {
    const answers = one.systems.map(answer => answer ? answer.prediction : "");
    const marks = one.systems.map(answer =>
      !answer ? "?" : answer.scores[task.metric] >= 1 ? "+" : "-").join("");
    const text = [one.prompt, ...one.references, ...(one.options || []), ...answers];
    return { one, task, i, answers, marks, text: text.join("\\n").toLowerCase() };
  }));

  const fitsOutcome = (entry, wanted) => {
    if (wanted.startsWith("differ ")) {
      const other = Number(wanted.slice(7));
      return entry.marks[other] !== "?" && entry.answers[0] !== entry.answers[other];
    }
    return [...wanted].every((mark, i) => mark === "." || mark === entry.marks[i]);
  };
  const points = value => (100 * value).toFixed(1);
  const verdict = (entry, i) => {
    const answer = entry.one.systems[i];
    const who = data.systems.length > 1 ? data.systems[i] + ": " : "";
    if (!answer) return make("span", "soft", who + "not scored on this prompt");
    const value = answer.scores[entry.task.metric];
    const kind = value >= 1 ? "right" : value <= 0 ? "wrong" : "soft";
    const others = Object.entries(answer.scores).filter(([name]) => name !== entry.task.metric)
      .map(([name, score]) => "; " + name + " " + points(score)).join("");
    const word = kind === "soft" ? entry.task.metric + " " + points(value) : kind;
    return make("span", kind, who + word + others);
  };
  const optionTable = (entry, options, answer, members) => {
    const table = make("table", "options choices");
    const heads = members.map(i =>
      make("th", "", members.length > 1 ? data.systems[i] : "score (nats)"));
    table.append(make("tr", "", make("th", "", "option"), ...heads));
    options.forEach((option, o) => {
      const name = make("td", "text", option);
      if (o === answer) name.append(" ", make("span", "expected", "expected"));
      const cells = members.map(i => {
        const given = entry.one.systems[i];
        const cell = make("td", "", given.option_scores[o].toFixed(2));
        if (given.compared_scores)
          cell.append(make("small", "", "compared " + given.compared_scores[o].toFixed(2)));
        if (o === given.choice)
          cell.append(make("small", o === answer ? "right" : "wrong", "chosen"));
        return cell;
      });
      table.append(make("tr", "", name, ...cells));
    });
    return make("div", "scroll", table);
  };
  const answers = entry => {
    const parts = [], alike = [];
    entry.one.systems.forEach((answer, i) => {
      if (!answer) return;
      const own = answer.prompt !== undefined || answer.options !== undefined;
      if (own) {
        parts.push(make("p", "soft", data.systems[i] + " was asked:"),
          make("pre", "", answer.prompt || entry.one.prompt));
      }
      if (!answer.option_scores) {
        const who = data.systems.length > 1 ? data.systems[i] + " answers:" : "Answer:";
        parts.push(make("p", "soft", who), make("pre", "", answer.prediction));
      } else if (own) {
        parts.push(optionTable(entry, answer.options || entry.one.options,
          answer.answer === undefined ? entry.one.answer : answer.answer, [i]));
      } else alike.push(i);
    });
    if (alike.length)
      parts.unshift(optionTable(entry, entry.one.options, entry.one.answer, alike));
    if (!entry.one.options)
      parts.push(make("p", "soft", "Expected: " + entry.one.references.join(" | ")));
    return parts;
  };
  const card = entry => {
    const title = entry.task.name + ", example " + entry.one.example +
      ", template " + entry.one.template;
    const verdicts = entry.one.systems.map((answer, i) => verdict(entry, i));
    return make("article", "panel example", make("h3", "", title),
      make("p", "verdicts", ...verdicts), make("pre", "", entry.one.prompt), ...answers(entry));
  };
  const counted = () => {
    if (!fitting.length) return "No example on this page fits. Clear the search or a filter.";
    const last = Math.min(start + SHOWN, fitting.length);
    let text = (start + 1) + " to " + last + " of " + fitting.length.toLocaleString("en") +
      " on this page that fit";
    const wanted = at("outcome").value;
    if (at("search").value.trim() || at("template").value || wanted.startsWith("differ "))
      return text;
    let total = 0;
    data.tasks.forEach((task, i) => {
      if (at("task").value && Number(at("task").value) !== i) return;
      for (const [marks, count] of Object.entries(task.outcomes))
        if (fitsOutcome({ marks }, wanted)) total += count;
    });
    return text + ", of " + total.toLocaleString("en") + " in the journals";
  };
  const draw = () => {
    at("list").replaceChildren(...fitting.slice(start, start + SHOWN).map(card));
    at("count").textContent = counted();
    at("back").disabled = start === 0;
    at("next").disabled = start + SHOWN >= fitting.length;
  };
  const update = () => {
    const words = at("search").value.toLowerCase().split(/\\s+/).filter(Boolean);
    const task = at("task").value, template = at("template").value;
    fitting = all.filter(entry => (!task || entry.i === Number(task)) &&
      (!template || entry.one.template === Number(template)) &&
      fitsOutcome(entry, at("outcome").value) &&
      words.every(word => entry.text.includes(word)));
    start = 0;
    draw();
  };
  const listTemplates = () => {
    const task = data.tasks[at("task").value];
    const longest = Math.max(0, ...data.tasks.map(one => one.templates.length));
    const texts = task ? task.templates : Array(longest).fill("");
    const options = texts.map((text, i) => {
      const short = text.length > 60 ? text.slice(0, 60) + "…" : text;
      const option = make("option", "", i + (short ? ": " + short : ""));
      option.value = i;
      return option;
    });
    const none = make("option", "", "all");
    none.value = "";
    at("template").replaceChildren(none, ...options);
  };
  const turn = by => {
    start += by;
    draw();
    at("examples").scrollIntoView();
  };
  at("task").addEventListener("input", listTemplates);
  for (const id of ["search", "task", "template", "outcome"])
    at(id).addEventListener("input", update);
  at("back").addEventListener("click", () => turn(-SHOWN));
  at("next").addEventListener("click", () => turn(SHOWN));
  listTemplates();
  at("browser").hidden = false;
  update();
})();
"""
