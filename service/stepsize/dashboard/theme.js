// Dark or light, before the first paint, so that nothing flashes: a classic script, not a module.
(function () {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = function () {
    const chosen = localStorage.getItem("theme");
    const theme = chosen === "light" || chosen === "dark" ? chosen : system.matches ? "dark" : "light";
    document.documentElement.dataset.theme = theme;
    dispatchEvent(new Event("themechange"));
  };
  window.chooseTheme = function (theme) {
    localStorage.setItem("theme", theme);
    apply();
  };
  system.addEventListener("change", apply);
  apply();
})();
