// Brings the views of a page to life from the state beside their pictures, each as it comes near.

// What a chart needs of plotly is there before it is drawn; the picture stays where a view cannot be drawn.
function wake(figure) {
  const model = plainModel(JSON.parse(figure.querySelector("script").textContent));
  const el = document.createElement("div");
  const still = figure.querySelector(".still");
  figure.append(el);
  try {
    courseViews[figure.dataset.view].render({ model, el });
    still.remove();
    figure.model = model;
  } catch (error) {
    el.remove();
    console.error(error);
  }
}

// A region that scrolls sideways is reached by keyboard too.
for (const pre of document.querySelectorAll("pre")) if (pre.scrollWidth > pre.clientWidth) pre.tabIndex = 0;

const side = document.querySelector(".side");
const current = side?.querySelector("[aria-current=page]");
if (current) side.scrollTop = current.offsetTop - side.clientHeight / 4;

const near = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      wake(target);
    }
  },
  { rootMargin: "800px" },
);
document.querySelectorAll("[data-view]").forEach((figure) => near.observe(figure));
