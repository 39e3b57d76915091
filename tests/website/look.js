// What a reader sees of a page: its width, what is cut off at the right, whether a part scrolls sideways, the links that
// show, and the contrast of its texts.
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true })
  const known = new Map()

  function color(text) {
    if (!known.has(text)) {
      canvas.clearRect(0, 0, 1, 1)
      canvas.fillStyle = text
      canvas.fillRect(0, 0, 1, 1)
      known.set(text, [...canvas.getImageData(0, 0, 1, 1).data].map((part) => part / 255))
    }
    return known.get(text)
  }

  const over = ([r, g, b, alpha], below) => [r, g, b].map((part, i) => part * alpha + below[i] * (1 - alpha))

  function background(element) {
    if (!element) return [1, 1, 1]
    const own = color(getComputedStyle(element).backgroundColor)
    return own[3] === 1 ? own.slice(0, 3) : over(own, background(element.parentElement))
  }

  function luminance(rgb) {
    const [r, g, b] = rgb.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }

  function contrast(element) {
    const behind = background(element)
    const [dark, light] = [luminance(behind), luminance(over(color(getComputedStyle(element).color), behind))].sort((a, b) => a - b)
    return (light + 0.05) / (dark + 0.05)
  }

  const shows = (element) => {
    const { left, right, width, height } = element.getBoundingClientRect()
    return element.checkVisibility() && width > 0 && height > 0 && right > 0 && left < innerWidth
  }

  const scrolls = (element) => ["auto", "scroll"].includes(getComputedStyle(element).overflowX)

  function isCut(element) {
    if (element.getBoundingClientRect().right <= innerWidth + 1 || !shows(element)) return false
    for (let outer = element; outer; outer = outer.parentElement) if (scrolls(outer)) return false
    return true
  }

  const article = document.querySelector("article")
  const texts = new Set()
  for (const walk = document.createTreeWalker(article, NodeFilter.SHOW_TEXT); walk.nextNode();) {
    const parent = walk.currentNode.parentElement
    if (walk.currentNode.data.trim() && parent.checkVisibility({ opacityProperty: true })) texts.add(parent)
  }
  const ratios = new Map()
  for (const element of texts) {
    const key = `${element.tagName}.${element.className} in ${element.parentElement.tagName}`
    if (!ratios.has(key)) ratios.set(key, contrast(element))
  }
  return {
    width: document.scrollingElement.scrollWidth,
    cut: [...article.querySelectorAll("*")].filter(isCut).map((element) => element.outerHTML.slice(0, 80)),
    scrolling: [...article.querySelectorAll("*")].some((part) => scrolls(part) && part.scrollWidth > part.clientWidth + 1),
    links: [...document.querySelectorAll("a[href]")].filter(shows).map((link) => link.href),
    background: luminance(background(article)),
    contrasts: Object.fromEntries(ratios),
  }
}
