// The chosen neurons over time, from the numbers that are in the page.
// Each line of them is a neuron: trace and rate, then the times of its spikes, in base64. Trace and
// rate are in 16 bits from `low` to `high`, MISSING where nothing is; where not every frame is there
// the numbers of the frames stand before.
const MISSING = -32768, STEPS = 65534
const packed = document.getElementById("neurons_data").textContent.trim().split("\n")
const unpacked = new Map()

// Where time stamps are even they are not in the page.
const time_at = times == null ? (k) => first_time + k / frame_rate : (k) => times[k]

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer
}

function unpack(neuron) {
  const [samples, spikes] = packed[neuron].split(" ").map(bytes)
  const frames = reduced ? [0, 1].map((k) => new Uint32Array(samples, 4 * points * k, points)) : [null, null]
  const codes = [0, 1].map((k) => new Int16Array(samples, (reduced ? 8 : 0) * points + 2 * points * k, points))
  const of = (k, name) => ({codes: codes[k], frame: frames[k], low: limits[name][0][neuron], high: limits[name][1][neuron]})
  return {trace: of(0, "trace"), rate: of(1, "rate"), spikes: new Float64Array(spikes)}
}

function of_neuron(neuron) {
  if (!unpacked.has(neuron)) {
    if (unpacked.size >= 100) unpacked.clear()
    unpacked.set(neuron, unpack(neuron))
  }
  return unpacked.get(neuron)
}

// The first place whose time is not before `time`.
function place(count, time_of, time) {
  let low = 0, high = count
  while (low < high) {
    const middle = (low + high) >> 1
    if (time_of(middle) < time) low = middle + 1
    else high = middle
  }
  return low
}

// Times and values of a neuron that are in view: all, or the first, the least, the largest and the
// last of each column of pixels, which make the same picture.
function in_view({codes, frame, low, high}, pixels) {
  const time_of = frame == null ? time_at : (k) => time_at(frame[k])
  const {start, end} = x_range
  const first = Math.max(place(codes.length, time_of, start) - 1, 0)
  const last = Math.min(place(codes.length, time_of, end) + 1, codes.length)
  const scale = (high - low) / STEPS
  const time = [], value = []
  const put = (k) => {
    time.push(time_of(k))
    value.push(codes[k] == MISSING ? NaN : low + (codes[k] - MISSING - 1) * scale)
  }
  if (last - first <= 4 * pixels) {
    for (let k = first; k < last; k++) put(k)
    return [time, value]
  }
  for (let column = 0, from = first; column < pixels; column++) {
    const border = start + (end - start) * (column + 1) / pixels
    const to = column + 1 == pixels ? last : place(codes.length, time_of, border)
    if (from >= to) continue
    let least = -1, largest = -1
    for (let k = from; k < to; k++) {
      if (codes[k] == MISSING) continue
      if (least < 0 || codes[k] < codes[least]) least = k
      if (largest < 0 || codes[k] > codes[largest]) largest = k
    }
    const chosen = new Set([from, ...(least < 0 ? [] : [least, largest]), to - 1])
    for (const k of [...chosen].sort((i, j) => i - j)) put(k)
    from = to
  }
  return [time, value]
}

function draw() {
  const pixels = Math.max(detail.inner_width || 0, 300)
  const neuron = rows.selected.indices.slice(0, most), all = neuron.map(of_neuron)
  const traces = all.map((each) => in_view(each.trace, pixels))
  const rates = all.map((each) => in_view(each.rate, pixels))
  windows.data = {
    neuron,
    time: traces.map(([time, _]) => time),
    trace: traces.map(([_, values]) => values),
    rate_time: rates.map(([time, _]) => time),
    rate: rates.map(([_, values]) => values),
    spikes: all.map((each) => each.spikes),
    trace_low: all.map((each) => each.trace.low),
    trace_high: all.map((each) => each.trace.high),
    rate_high: all.map((each) => each.rate.high),
  }
}

let waiting = false
function soon() {
  if (waiting) return
  waiting = true
  requestAnimationFrame(() => {
    waiting = false
    draw()
  })
}

rows.selected.properties.indices.change.connect(soon)
for (const name of ["start", "end"]) x_range.properties[name].change.connect(soon)
detail.properties.inner_width.change.connect(soon)
draw()
document.querySelector(".neurons").dataset.ready = "page"
