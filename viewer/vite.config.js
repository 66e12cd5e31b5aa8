// Bundles the front end into one page, dist/report.html: script and style inside, allowed by the
// page's Content-Security-Policy by their hashes, so that nothing else on the page can ever run.
import { createHash } from "node:crypto";
import { defineConfig } from "vite";

const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
// Not by String.replace with a string: bundles contain "$&".
const put = (page, mark, text) => {
  if (page.split(mark).length !== 2) throw new Error(`index.html needs ${mark} once`);
  return page.split(mark).join(text);
};

const singlePage = {
  name: "single-page",
  enforce: "post",
  generateBundle(options, bundle) {
    const files = Object.values(bundle);
    const chunks = files.filter((file) => file.type === "chunk");
    const styles = files.filter((file) => file.fileName.endsWith(".css"));
    const page = files.find((file) => file.fileName === "index.html");
    if (chunks.length !== 1 || styles.length !== 1 || !page)
      throw new Error(`one script and one style were expected: ${Object.keys(bundle).join(", ")}`);
    // Neither may end its own element.
    const script = chunks[0].code.trim().replace(/<\/(script)/gi, "<\\/$1").replace(/<!--/g, "<\\!--");
    const style = String(styles[0].source).trim();
    let text = page.source
      .replace(/<script[^>]*type="module"[^>]*><\/script>\s*/g, "")
      .replace(/<link[^>]*rel="stylesheet"[^>]*>\s*/g, "");
    text = put(text, "SCRIPT-HASH", hash(script));
    text = put(text, "<!--STYLE-->", `<style>${style}</style>`);
    text = put(text, "<!--SCRIPT-->", `<script>${script}</script>`);
    for (const file of files) delete bundle[file.fileName];
    this.emitFile({ type: "asset", fileName: "report.html", source: text });
  },
};

export default defineConfig({
  base: "./",
  logLevel: "warn",
  plugins: [singlePage],
  build: {
    target: "es2022",
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 1 << 20,
    reportCompressedSize: false,
    rollupOptions: { output: { format: "iife", inlineDynamicImports: true } },
  },
});
