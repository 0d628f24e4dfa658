// Marks of the chosen neurons, by keys and by buttons; the server keeps them.
const bar = document.querySelector(".marks")
const input = bar.elements.word, output = bar.querySelector("output")
const buttons = [...bar.querySelectorAll("button")]

// null leaves what is there. Each is numbered, as the server hears of changes alone.
let number = 0
function ask(mark, word, neuron = [...rows.selected.indices]) {
  if (neuron.length == 0) return
  number += 1
  const all = (value) => neuron.map(() => value)
  asked.data = {neuron, mark: all(mark), word: all(word), number: all(number)}
}

function show() {
  const neuron = rows.selected.indices.at(-1)
  const mark = neuron == null ? null : rows.get_column("mark")[neuron]
  for (const button of buttons) button.setAttribute("aria-pressed", button.dataset.mark === mark)
  if (document.activeElement !== input) input.value = neuron == null ? "" : rows.get_column("word")[neuron]
}

function leave() {
  input.blur()
  show()
}

for (const button of buttons) {
  button.addEventListener("click", () => {
    ask(button.dataset.mark, null)
    button.blur()
  })
}
bar.addEventListener("submit", (event) => event.preventDefault())
// Whatever is chosen meanwhile, the word is for those that were chosen before.
let meant = []
input.addEventListener("focus", () => meant = [...rows.selected.indices])
input.addEventListener("change", () => ask(null, input.value, meant))
input.addEventListener("keydown", (event) => {
  event.stopPropagation()
  if (event.key == "Enter") leave()
  if (event.key == "Escape") {
    input.value = rows.get_column("word")[rows.selected.indices.at(-1)] ?? ""
    leave()
  }
})

const keys = {
  g: () => ask("good", null), b: () => ask("bad", null), u: () => ask("", null),
  w: () => input.select(), Enter: () => input.select(),
}

document.addEventListener("keydown", (event) => {
  const element = event.composedPath()[0], key = keys[event.key]
  const typing = ["INPUT", "SELECT", "TEXTAREA", "BUTTON"].includes(element.tagName)
  if (key == null || typing || event.ctrlKey || event.metaKey || event.altKey) return
  event.preventDefault()
  event.stopPropagation()
  key()
}, true)

rows.selected.properties.indices.change.connect(() => {
  if (document.activeElement === input) input.blur()
  show()
})
rows.patching.connect(() => {
  Bokeh.index.find_one(table).grid.invalidate()  // of itself it looks at new rows alone
  show()
})
said.properties.data.change.connect(() => output.textContent = said.get_column("text")[0] ?? "")
show()
const neurons = document.querySelector(".neurons")
neurons.focus({preventScroll: true})  // so that arrows choose neurons at once
neurons.dataset.marks = "ready"
