// The log viewer of Inspect over the directory logs/ beside this page.
import { App, clientApi, initializeStore, simpleHttpApi } from "@metrevals/inspect-log-viewer";
import "@metrevals/inspect-log-viewer/styles/index.css";
import { createElement } from "react";
import { createRoot } from "react-dom/client";

const api = clientApi(simpleHttpApi("logs"));
initializeStore(api, { downloadFiles: false, downloadLogs: false, webWorkers: true, streamSamples: false, streamSampleData: false });
createRoot(document.getElementById("app")).render(createElement(App, { api }));
