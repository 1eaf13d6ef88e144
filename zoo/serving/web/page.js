// The page of `zoo serve`: asks the server what it serves, and its REST interface for answers.

const element = (id) => document.getElementById(id);

/** A new element with properties and children. */
function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

const MOST_LABELS = 1000; // that a drop-down offers
const MOST_FIELDS = 16; // of a context, each with a field of its own; more share one
const MOST_NUMBERS = 1024; // of a context that is typed at all

let shown = null; // the model that the page shows
const pending = new Map(); // place of a status -> what runs for it: {controller, button}

// --- the server

/** The outputs of a signature, name -> list of rows, from columns of inputs. */
async function predict(model, signature, inputs, signal) {
  const response = await fetch(`/v1/models/${model.name}:predict`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ signature_name: signature, inputs }),
    signal,
  });
  const text = await response.text();
  signal.throwIfAborted();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new Error("The answer holds NaN or infinity, which is no number to show.");
  }
  if (!response.ok) throw new Error(answer.error ?? `status ${response.status}`);
  const names = Object.keys(model.signatures[signature].outputs);
  return names.length === 1 ? { [names[0]]: answer.outputs } : answer.outputs;
}

/** Ends what runs for a status: its answer is shown nowhere. */
function abandon(status) {
  const running = pending.get(status);
  pending.delete(status);
  if (running?.button) running.button.disabled = false;
  running?.controller.abort();
}

/**
 * Runs `work(signal)` with the button disabled; says how long it took, or what went wrong. Work that
 * already runs for the same status is dropped; so is this one where another view is shown.
 */
async function attempt(button, status, work) {
  abandon(status);
  const controller = new AbortController();
  const { signal } = controller;
  pending.set(status, { controller, button });
  status.classList.remove("wrong");
  status.textContent = "working …";
  if (button) button.disabled = true;
  const start = performance.now();
  try {
    await work(signal);
    signal.throwIfAborted();
    status.textContent = `${((performance.now() - start) / 1000).toFixed(2)} s`;
  } catch (error) {
    if (signal.aborted) return;
    status.classList.add("wrong");
    status.textContent = error.message;
  }
  abandon(status);
}

// --- pictures, sounds, numbers

/** Draws rows x columns x channels of 0..highest on a canvas of that size. */
function drawImage(image, highest) {
  const [height, width, channels] = [image.length, image[0].length, image[0][0].length];
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d");
  const data = context.createImageData(width, height);
  image.flat().forEach((pixel, i) => {
    const grey = pixel.map((value) => (255 * value) / highest);
    const [r, g, b] = channels === 1 ? [grey[0], grey[0], grey[0]] : grey;
    data.data.set([r, g, b, 255], 4 * i); // rounds
  });
  context.putImageData(data, 0, 0);
  return canvas;
}

/** A player of samples in -highest..highest: a 16-bit mono WAV file. */
function makePlayer(samples, rate, highest) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, s) => [...s].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of the format
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a frame
  view.setUint16(34, 16, true); // bits a sample
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, i) => {
    const level = Math.round((32767 * value) / highest);
    view.setInt16(44 + 2 * i, Math.max(-32768, Math.min(32767, level)), true);
  });
  const url = URL.createObjectURL(new Blob([view], { type: "audio/wav" }));
  return make("audio", { controls: true, src: url });
}

const number = (value) => (Number.isInteger(value) ? String(value) : value.toPrecision(5));

/** The table in a box that scrolls, with the keyboard as well. */
function boxed(table, className, label) {
  const box = make("div", { className: `table ${className}`, tabIndex: 0, ariaLabel: label });
  box.setAttribute("role", "region");
  box.append(table);
  return box;
}

const heads = (texts) => make("thead", {}, make("tr", {},
  ...texts.map((textContent) => make("th", { scope: "col", textContent }))));

/** A table with a line for each row of numbers, under the names of their columns. */
function makeTable(rows, names) {
  const lines = rows.map((row, i) => make("tr", {},
    make("th", { scope: "row", textContent: String(i + 1) }),
    ...[row].flat(Infinity).map((v) => make("td", { textContent: number(v) }))));
  const table = make("table", {}, make("caption", { textContent: "Samples" }),
    heads(["row", ...names]), make("tbody", {}, ...lines));
  return boxed(table, "numbers", "Samples");
}

/** The names of a row's numbers: the manifest's, else x with an index. */
function columnNames(model) {
  const shape = eventShape(model);
  const size = shape.reduce((product, n) => product * (n ?? 1), 1);
  const told = model.media.columns ?? [];
  return Array.from({ length: size }, (_, i) => told[i] ?? `x[${i}]`);
}

/** The largest value of x: the manifest's, where it has one, else that of the dtype. */
function highestOf(model, signature, side) {
  const told = toldOf(model, signature)[side]?.x?.maximum;
  const { dtype } = model.signatures[signature][side].x ?? {};
  return told ?? { uint8: 255, int16: 32767 }[dtype] ?? (model.media.kind === "audio" ? 1 : 255);
}

function showRows(target, rows, model) {
  target.querySelectorAll("audio").forEach((player) => URL.revokeObjectURL(player.src));
  const highest = highestOf(model, "sample", "outputs");
  if (model.media.kind === "image") {
    target.replaceChildren(...rows.map((row, i) => makeTile(model, row, highest, i)));
  } else if (model.media.kind === "audio") {
    const rate = model.media.sample_rate ?? 16000;
    target.replaceChildren(...rows.map((row) => makePlayer(row.flat(Infinity), rate, highest)));
  } else target.replaceChildren(makeTable(rows, columnNames(model)));
}

/** A sampled image, which is scored where it is pressed. */
function makeTile(model, row, highest, index) {
  const canvas = drawImage(row, highest);
  if (!isScored(model)) return canvas;
  const label = `Score sample ${index + 1}`;
  const tile = make("button", { type: "button", className: "tile", ariaLabel: label, title: label });
  tile.append(canvas);
  tile.addEventListener("click", () => {
    copyContext();
    attempt(null, element("score-status"), (signal) => scoreRow(model, signal, row));
  });
  return tile;
}

// --- sampling and scoring

/** Columns of a signature's inputs: `values` has a function of the row for each known name. */
function columns(model, signature, count, values) {
  const names = Object.keys(model.signatures[signature].inputs);
  return Object.fromEntries(
    names.map((name) => [name, Array.from({ length: count }, (_, row) => values[name](row))]));
}

const SAMPLED = {
  seed: (row) => [element("seed").valueAsNumber, row],
  temperature: () => element("temperature").valueAsNumber,
  context: () => contextOf(shown, "sample"),
};

async function sample(model, signal) {
  const count = element("rows").valueAsNumber;
  const inputs = columns(model, "sample", count, SAMPLED);
  const outputs = await predict(model, "sample", inputs, signal);
  showRows(element("samples"), outputs.x ?? Object.values(outputs)[0], model);
}

/** Scores one row of data and shows every output of the default signature. */
async function score(model, signal, row, ...picture) {
  const values = { x: () => row, context: () => contextOf(model, "score") };
  const inputs = columns(model, "serving_default", 1, values);
  const outputs = await predict(model, "serving_default", inputs, signal);
  const described = toldOf(model, "serving_default").outputs ?? {};
  const list = make("dl");
  for (const [name, [value]] of Object.entries(outputs)) {
    const unit = described[name]?.unit ?? "";
    list.append(make("div", {},
      make("dt", { textContent: name.replaceAll("_", " ") }),
      make("dd", {}, `${number(value)} `, make("span", { className: "unit", textContent: unit }))));
  }
  element("scored").replaceChildren(...picture, list);
}

/** Scores a row as the page has it, and shows it: as a picture, or in the field for numbers. */
function scoreRow(model, signal, row) {
  if (model.media.kind === "image") {
    const highest = highestOf(model, "serving_default", "inputs");
    return score(model, signal, row, drawImage(row, highest));
  }
  const numbers = [row].flat(Infinity).map((value) => Number(value.toPrecision(6)));
  element("features").value = numbers.join(", ");
  return score(model, signal, shaped(numbers, eventShape(model)));
}

let examples = 0; // how many were asked for: each has a seed of its own

/** Scores an example: a row that the model samples under the label to score. */
function scoreExample() {
  const model = shown;
  return attempt(element("example"), element("score-status"), async (signal) => {
    examples += 1;
    const values = {
      seed: () => [examples, 0],
      temperature: () => 1,
      context: () => contextOf(model, "score"),
    };
    const outputs = await predict(model, "sample", columns(model, "sample", 1, values), signal);
    const [row] = outputs.x ?? Object.values(outputs)[0];
    await scoreRow(model, signal, row);
  });
}

/** A picture file as the model's height x width x channels of 0..highest. */
async function readImage(file, [height, width, channels], highest) {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error(`${file.name} is no image that this browser can read.`);
  });
  const context = make("canvas", { width, height }).getContext("2d");
  context.fillRect(0, 0, width, height); // black behind transparent pixels
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const level = (value) => {
    const grey = element("invert").checked ? 255 - value : value;
    return Math.floor((grey * (highest + 1)) / 256);
  };
  const pixel = (i) => {
    const [r, g, b] = data.slice(4 * i, 4 * i + 3);
    if (channels === 3) return [level(r), level(g), level(b)];
    return [level(Math.round(0.299 * r + 0.587 * g + 0.114 * b))]; // luma, ITU-R BT.601
  };
  return Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => pixel(y * width + x)));
}

function scoreFile(file) {
  const model = shown;
  if (!file) return;
  attempt(null, element("score-status"), async (signal) => {
    const highest = highestOf(model, "serving_default", "inputs");
    const image = await readImage(file, eventShape(model), highest);
    signal.throwIfAborted();
    await scoreRow(model, signal, image);
  });
}

function scoreFeatures() {
  const model = shown;
  return attempt(element("score"), element("score-status"), async (signal) => {
    const row = numbersIn(element("features").value);
    await score(model, signal, shaped(row, eventShape(model)));
  });
}

/** The numbers of a text. */
function numbersIn(text) {
  const found = text.split(/[\s,;]+/).filter(Boolean).map(Number);
  if (found.some(Number.isNaN)) throw new Error("Only numbers, with commas or spaces between.");
  return found;
}

/** A list of numbers as nested lists; as it is where their number is another one. */
function shaped(row, [size, ...rest]) {
  if (size === undefined) return row.length === 1 ? row[0] : row;
  const inner = row.length / size;
  if (!rest.length || !Number.isInteger(inner)) return row;
  return Array.from({ length: size }, (_, i) =>
    shaped(row.slice(i * inner, (i + 1) * inner), rest));
}

// --- what is shown of a model

const eventShape = (model) => (model.signatures.serving_default?.inputs.x?.shape ?? [0]).slice(1);
const shapeText = (shape) => `[${(shape ?? []).map((size) => size ?? "?").join(", ")}]`;

const isScored = (model) =>
  model.media.kind !== "audio" && fillable(model, "serving_default", ["x", "context"]);

/** Whether the page can fill every input of the signature. */
const fillable = (model, signature, names) =>
  signature in model.signatures && sizeOf(contextShape(model) ?? []) <= MOST_NUMBERS &&
  Object.keys(model.signatures[signature].inputs).every((name) => names.includes(name));

const sizeOf = (shape) => shape.reduce((product, n) => product * (n ?? 1), 1);

/** The shape of one context that is no label; null for a label, and without a context. */
function contextShape(model) {
  const inputs = Object.values(model.signatures).map((signature) => signature.inputs?.context);
  const shape = inputs.find(Boolean)?.shape ?? [];
  return shape.length > 1 ? shape.slice(1) : null;
}

/** What the fields of a panel, "sample" or "score", say of the context: a label, or numbers. */
function contextOf(model, panel) {
  const shape = contextShape(model);
  if (!shape) return Number(element(`${panel}-context`).value);
  const fields = [...element(`${panel}-condition`).querySelectorAll("input, select, textarea")];
  const values = fields.flatMap((field) => numbersIn(field.value));
  if (values.length !== sizeOf(shape)) {
    throw new Error(`The context has ${sizeOf(shape)} numbers; got ${values.length}.`);
  }
  return shaped(values, shape);
}

/** Scores under the context that was sampled under. */
function copyContext() {
  element("score-context").value = element("sample-context").value;
  const [from, to] = ["sample", "score"].map((panel) =>
    [...element(`${panel}-condition`).querySelectorAll("input, select, textarea")]);
  from.forEach((field, i) => { to[i].value = field.value; });
}

/** Makes the fields for a context that is no label: a number or a category each, or one for all. */
function offerCondition(model) {
  const shape = contextShape(model);
  const told = Object.keys(model.signatures).map((name) => toldOf(model, name).inputs?.context);
  const value = String(told.find(Boolean)?.example ?? 0);
  const columns = model.media.context_columns ?? [];
  const size = shape ? sizeOf(shape) : 0;
  const field = (i) => {
    const { name = `c[${i}]`, categories } = columns[i] ?? {};
    const input = categories
      ? make("select", {}, ...categories.map((textContent, number) =>
        make("option", { value: String(number), textContent })))
      : make("input", { type: "number", step: "any", value, required: true });
    return make("label", {}, `${name} `, input);
  };
  const all = () => make("label", {}, `context, ${size} numbers `,
    make("textarea", { rows: 2, value: Array(size).fill(value).join(", "), spellcheck: false }));
  for (const panel of ["sample", "score"]) {
    const fields = size > MOST_FIELDS ? [all()] : Array.from({ length: size }, (_, i) => field(i));
    element(`${panel}-condition`).replaceChildren(...fields);
  }
}

/** What the manifest says of a signature; of the default one under its own name. */
function toldOf({ manifest }, signature) {
  const told = manifest?.signatures ?? {};
  const name = signature in told ? signature : manifest?.default_signature;
  return told[name] ?? {};
}

function signatureTable(model) {
  const rows = [];
  const named = model.manifest?.default_signature; // serving_default is its other name
  for (const [name, signature] of Object.entries(model.signatures)) {
    if (name === "serving_default" && named in model.signatures) continue;
    const title = name === named ? `${name} (default)` : name;
    const fields = ["inputs", "outputs"].flatMap((side) =>
      Object.entries(signature[side]).map(([key, field]) => [side, key, field]));
    fields.forEach(([side, key, field], i) => {
      const told = toldOf(model, name)[side]?.[key] ?? {};
      const texts = [
        `${side.slice(0, -1)} ${key}`, `${field.dtype} ${shapeText(field.shape)}`,
        told.unit ?? "", told.meaning ?? ""];
      const cells = texts.map((textContent) => make("td", { textContent }));
      const head = { scope: "rowgroup", rowSpan: fields.length, textContent: title };
      rows.push(make("tr", {}, ...(i ? [] : [make("th", head)]), ...cells));
    });
  }
  const titles = ["signature", "tensor", "dtype and shape", "unit", "meaning"];
  const table = make("table", {}, make("caption", { textContent: "Signatures" }), heads(titles),
    make("tbody", {}, ...rows));
  return boxed(table, "wide", "Signatures");
}

/** Fills the drop-downs with the labels that the model knows. */
function offerLabels(model) {
  const inputs = Object.keys(model.signatures).map((name) => toldOf(model, name).inputs?.context);
  const highest = inputs.find((told) => told?.maximum != null)?.maximum;
  const count = (highest ?? (model.manifest?.context_size ?? 0) - 1) + 1 || 10;
  const names = model.media.labels ?? [];
  for (const id of ["sample-context", "score-context"]) {
    element(id).replaceChildren(...Array.from({ length: Math.min(count, MOST_LABELS) }, (_, i) =>
      make("option", { value: String(i), textContent: names[i] ?? String(i) })));
  }
}

function show(model) {
  for (const status of [...pending.keys()]) abandon(status);
  shown = model;
  const kind = model.media.kind;
  const shape = eventShape(model);
  element("title").textContent = model.name;
  element("facts").textContent =
    `version ${model.versions.join(", ")} · rows ${shapeText(shape)} · ` +
    (model.manifest ? `${model.manifest.family} · ` : "");
  element("facts").append(
    make("code", { textContent: `POST /v1/models/${model.name}:predict` }));
  const uses = (name) => Object.values(model.signatures).some(({ inputs }) => name in inputs);
  const labelled = uses("context") && !contextShape(model);
  document.querySelectorAll(".context-label").forEach((l) => { l.hidden = !labelled; });
  element("temperature-label").hidden = !uses("temperature");
  element("sampling").hidden = !fillable(model, "sample", Object.keys(SAMPLED));
  element("scoring").hidden = !isScored(model);
  element("example").hidden = !fillable(model, "sample", Object.keys(SAMPLED));
  element("example").textContent = kind === "image" ? "Example image" : "Example row";
  offerLabels(model);
  offerCondition(model);
  element("drop").hidden = element("invert-label").hidden = kind !== "image";
  element("features-form").hidden = kind !== "features";
  element("drop-size").textContent = shape.slice(0, 2).join(" × ") + " pixels";
  element("features-size").textContent = shape.join(" × ") || "1";
  element("features-names").textContent = (model.media.columns ?? []).join(", ");
  element("features").value = "";
  for (const id of ["samples", "scored", "sample-status", "score-status"]) {
    element(id).replaceChildren();
  }
  element("signatures").replaceChildren(signatureTable(model));
  if (model.card) element("card").innerHTML = model.card; // made by the server, without raw HTML
  else element("card").textContent = "This export has no card.";
  for (const button of document.querySelectorAll("nav button")) {
    button.setAttribute("aria-current", String(button.textContent === model.name));
  }
  element("model").hidden = false;
  history.replaceState(null, "", `#${model.name}`);
}

function listen() {
  element("sample-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const model = shown;
    attempt(element("sample"), element("sample-status"), (signal) => sample(model, signal));
  });
  element("features-form").addEventListener("submit", (event) => {
    event.preventDefault();
    scoreFeatures();
  });
  element("features").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    scoreFeatures();
  });
  element("example").addEventListener("click", scoreExample);
  element("file").addEventListener("change", (event) => {
    scoreFile(event.target.files[0]);
  });
  const drop = element("drop");
  for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
    drop.addEventListener(type, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", type === "dragenter" || type === "dragover");
    });
  }
  drop.addEventListener("drop", (event) => scoreFile(event.dataTransfer.files[0]));
}

async function start() {
  listen();
  try {
    const models = await (await fetch("/ui/models")).json();
    for (const model of models) {
      const button = make("button", { type: "button", textContent: model.name });
      button.addEventListener("click", () => show(model));
      element("models").append(make("li", {}, button));
    }
    show(models.find((model) => `#${model.name}` === location.hash) ?? models[0]);
  } catch (error) {
    element("problem").hidden = false;
    element("problem").textContent = `The server does not answer: ${error.message}`;
  }
}

start();
