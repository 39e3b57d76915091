// Whoever pastes a whole error message has names of their own in it, which stand nowhere on this site, and the search finds
// only a section that has every word. So, if none has them all, we search for the words that the best section has.
(() => {
  const post = Worker.prototype.postMessage
  const pasted = 5 // words: a shorter question is typed, and the search itself forgives errors of typing
  // What Keras writes around a message.
  const frames = [
    /^.*Exception encountered when calling .*?\)\./,
    /^.*Example error message for object <[^>]*>:/,
    /(Arguments received by|List of objects that could not be loaded|Call arguments received by) .*$/,
  ]
  let separator
  let sections = []

  const words = (text) => text.replace(/<[^>]*>/g, " ").toLowerCase().split(separator).filter(Boolean)

  function read({ config, items }) {
    separator = new RegExp(config.separator, "u")
    sections = items.map(({ title, text }) => [title, text].map((part) => ` ${words(part).join(" ")}`))
  }

  function answerable(question) {
    const asked = [...new Set(words(frames.reduce((rest, frame) => rest.replace(frame, ""), question)))]
    if (asked.length < pasted) return question
    // As in the search, a word finds longer words that begin with it.
    const found = sections.map(([title, text]) =>
      asked.map((word) => 3 * title.includes(` ${word}`) || +text.includes(` ${word}`)))
    if (found.some((weights) => weights.every(Boolean))) return question
    const rarity = asked.map((_, i) => Math.log(sections.length / found.filter((weights) => weights[i]).length))
    let best, most = 0
    for (const weights of found) {
      const score = weights.reduce((sum, weight, i) => sum + (weight && weight * rarity[i]), 0)
      if (score > most) [best, most] = [weights, score]
    }
    return best ? asked.filter((_, i) => best[i]).join(" ") : question
  }

  Worker.prototype.postMessage = function (message, ...rest) {
    if (message?.data?.items) read(message.data)
    const question = message?.data?.input
    if (typeof question === "string") message = { ...message, data: { ...message.data, input: answerable(question) } }
    return post.call(this, message, ...rest)
  }
})()
