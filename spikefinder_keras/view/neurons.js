// Sorting, filtering and choosing neurons by mouse and keys, on the page and in the window.
// The table's rows are all of them in the file's order; what it shows of them, and in which order,
// is in `shown.index`, and the overview shows the same.
const view = Bokeh.index.find_one(table)
const shown = view.data
const plain = new Uint8Array(levels.buffer, levels.byteOffset, levels.length)  // Bokeh's has no parts
const collator = new Intl.Collator(undefined, {numeric: true})
const host = document.querySelector(".neurons") ?? document.body

// Shown as text, sorted as numbers.
const numbers = {mean_rate_shown: "mean_rate", expected_shown: "expected", noise_shown: "noise"}
const largest_first = ["mean_rate", "expected"]
const compared = {rate: "mean_rate", spikes: "spikes", r: "expected", noise: "noise"}

function comparison(field, sign) {
  const values = rows.get_column(numbers[field] ?? field) ?? []
  return (i, j) => {
    const a = values[i], b = values[j]
    if (typeof a === "string") return sign * collator.compare(a, b)
    const a_unknown = a == null || Number.isNaN(a), b_unknown = b == null || Number.isNaN(b)
    return a_unknown - b_unknown || sign * (a - b) || 0
  }
}

// In the place of Bokeh's own, which takes n^2 steps and knows nothing of the overview. From 3.10 on
// it has the second name.
shown.sort = shown.sort_data = (columns) => {
  const by = columns.map((each) => comparison(each.sortCol.field, each.sortAsc ? 1 : -1))
  if (by.length == 0) by.push(comparison(sort.value, largest_first.includes(sort.value) ? -1 : 1))
  shown.index.sort((i, j) => {
    for (const compare of by) {
      const found = compare(i, j)
      if (found != 0) return found
    }
    return i - j
  })
  draw_overview()
}

function draw_overview() {
  const bins = levels.shape[1], index = shown.index
  const rows_of_it = Math.max(index.length, 1)  // no image has none
  const image = new levels.constructor(rows_of_it * bins, [rows_of_it, bins])
  index.forEach((neuron, row) => image.set(plain.subarray(neuron * bins, (neuron + 1) * bins), row * bins))
  picture.data = {image: [image], dh: [index.length]}
  raster.y_range.setv({start: Math.max(index.length, 1), end: 0})
  draw_chosen()
}

function draw_chosen() {
  const top = rows.selected.indices.map((neuron) => shown.index.indexOf(neuron)).filter((k) => k >= 0)
  chosen.data = {top, bottom: top.map((k) => k + 1)}
}

function filter() {
  const terms = find.value_input.toLowerCase().split(/\s+/).filter((term) => term)
  const tests = terms.map((term) => {
    const match = term.match(/^(rate|spikes|r|noise)([<>])(-?[\d.]+)$/)
    if (match == null) {
      const names = rows.get_column("name"), remarks = rows.get_column("remarks")
      return (i) => `${names[i]} ${remarks[i]}`.toLowerCase().includes(term)
    }
    const values = rows.get_column(compared[match[1]]), limit = Number(match[3])
    return match[2] == "<" ? (i) => values[i] < limit : (i) => values[i] > limit
  })
  const all = Array.from({length: levels.shape[0]}, (_, i) => i)
  table.view.filter.indices = all.filter((i) => tests.every((test) => test(i)))
}

function step(by) {
  const {index} = shown
  if (index.length == 0) return
  const at = index.indexOf(rows.selected.indices.at(-1) ?? -1)
  const next = Math.min(Math.max(at + by, 0), index.length - 1)
  rows.selected.indices = [index[next]]
}

function move(by, zoom = 1) {
  const {start, end} = x_range, [first, last] = bounds
  const length = Math.min((end - start) * zoom, last - first)
  const middle = (start + end) / 2 + by * (end - start)
  const left = Math.min(Math.max(middle - length / 2, first), last - length)
  x_range.setv({start: left, end: left + length})
}

const keys = {
  n: () => step(1), p: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1),
  ArrowRight: () => move(0.5), ArrowLeft: () => move(-0.5),
  "+": () => move(0, 0.5), "-": () => move(0, 2),
  Home: () => x_range.setv({start: bounds[0], end: bounds[1]}),
}

document.addEventListener("keydown", (event) => {
  const path = event.composedPath(), key = keys[event.key]
  const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(path[0].tagName)
  if (key == null || typing || event.ctrlKey || event.metaKey || event.altKey) return
  // Where nobody looks at neurons, arrows move the page.
  const looking = path.includes(host) || host.matches(":hover")
  if (event.key.length > 1 && !looking) return
  event.preventDefault()
  event.stopPropagation()
  key()
}, true)

// The chosen neurons below each other: of each a line for its name, its trace, its spikes and its
// rate, in lanes of these heights.
const NAME = 0.35, TRACE = 1, SPIKES = 0.15, RATE = 0.8, APART = 0.25
const LANE = 110  // pixels of one

// Where it is drawn if nobody says: from the least to the largest that is known.
function least_and_largest(values) {
  let low = Infinity, high = -Infinity
  for (const value of values) {
    if (value < low) low = value
    if (value > high) high = value
  }
  return [low, high]
}

// Stretches without a number, in time.
function gaps_in(time, values) {
  const found = []
  for (let k = 0; k < values.length; k++) {
    if (!Number.isNaN(values[k])) continue
    const start = time[Math.max(k - 1, 0)]
    while (k + 1 < values.length && Number.isNaN(values[k + 1])) k++
    found.push([start, time[Math.min(k + 1, values.length - 1)]])
  }
  return found
}

function draw_lanes() {
  const columns = Object.fromEntries(windows.columns().map((name) => [name, windows.get_column(name)]))
  const found = {xs: [], ys: [], colour: []}
  const spikes = {x: [], top: [], bottom: [], colour: []}, empty = {start: [], end: [], top: [], bottom: []}
  const names = {y: [], text: []}, labels = new Map()
  const room = Math.max((detail.inner_width || 600) / 8.5, 20)  // letters of a line
  let y = 0
  const lane = (time, values, low, high, height, colour) => {
    const [least, largest] = low <= high ? [low, high] : least_and_largest(values)
    y -= height
    const base = y, scale = height / (largest - least || 1)
    found.xs.push(time)
    found.ys.push(Array.from(values, (value) => base + (value - least) * scale))
    found.colour.push(colour)
    for (const [start, end] of [...gaps_in(time, values), ...pauses]) {
      empty.start.push(start)
      empty.end.push(end)
      empty.top.push(base + height)
      empty.bottom.push(base)
    }
    if (!(least <= largest)) return
    labels.set(base, number(least))
    if (largest > least) labels.set(base + height, number(largest))
  }
  for (let k = 0; k < columns.neuron.length; k++) {
    const neuron = columns.neuron[k]
    const text = `${rows.get_column("name")[neuron]}: ${rows.get_column("mean_rate_shown")[neuron]} ${unit}`
    names.y.push(y)
    names.text.push(text.length > room ? `${text.slice(0, room - 1)}…` : text)
    y -= NAME
    // Of rates alone there is none.
    if (columns.time[k].length > 0) lane(columns.time[k], columns.trace[k], columns.trace_low[k], columns.trace_high[k], TRACE, "#707070")
    // Where true spikes are known they stand between the predicted ones and the rate.
    for (const [times, colour] of [[columns.spikes, "#0072b2"], [columns.truth, "#009e73"]]) {
      for (const x of times?.[k] ?? []) {
        spikes.x.push(x)
        spikes.top.push(y - 0.03)
        spikes.bottom.push(y - SPIKES)
        spikes.colour.push(colour)
      }
      if (times != null) y -= SPIKES
    }
    lane(columns.rate_time[k], columns.rate[k], Math.min(columns.rate_high[k], 0), columns.rate_high[k], RATE, "#d55e00")
    y -= APART
  }
  const height = Math.round(-y * LANE) + 45
  if (detail.height != height) detail.height = height
  detail.y_range.setv({start: Math.min(y, -1), end: 0})
  axis.ticker.ticks = [...labels.keys()]
  axis.major_label_overrides = labels
  lines.data = found
  ticks.data = spikes
  gaps.data = empty
  heads.data = names
}

function number(value) {
  return Math.abs(value) >= 1000 || value === 0 ? value.toFixed(0) : Number(value.toPrecision(3)).toString()
}

// Names stay at the edge, whatever zooms.
for (const name of ["start", "end"]) edge.properties[name].change.connect(() => edge.setv({start: 0, end: 1}))
windows.properties.data.change.connect(draw_lanes)
detail.properties.inner_width.change.connect(draw_lanes)
find.properties.value_input.change.connect(filter)
sort.properties.value.change.connect(() => {
  view.grid.setSortColumns([])
  view.updateGrid()
})
rows.selected.properties.indices.change.connect(draw_chosen)
raster.on_event("tap", ({y}) => {
  const neuron = shown.index[Math.floor(y)]
  if (neuron != null) rows.selected.indices = [neuron]
})
draw_overview()
// A finger that moves up or down moves the page, as elsewhere; sideways it draws a box. Where the
// browser takes a finger for the page's, Bokeh takes the box for drawn.
for (const plot of [raster, detail]) {
  const {canvas, canvas_view} = Bokeh.index.find_one(plot)
  const {shadow_el} = canvas ?? canvas_view
  const style = document.createElement("style")
  style.textContent = ".bk-events { touch-action: pan-y !important; }"
  shadow_el.append(style)
  const events = shadow_el.querySelector(".bk-events")
  let before = {}
  events.addEventListener("pointerdown", () => before = {start: x_range.start, end: x_range.end})
  events.addEventListener("pointercancel", () => x_range.setv(before))
}
// Or each choice would take the focus from where somebody types, and move the page to the table.
view.grid.focus = () => {}
if (levels.shape[0] > 0) rows.selected.indices = [0]
draw_lanes()
host.dataset.ready = "controls"
