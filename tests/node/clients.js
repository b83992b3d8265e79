// Calls the service at argv[2], with the key argv[3], through two published clients; prints what came back as JSON.
"use strict";

const [root, key] = process.argv.slice(2);

// Perspective's own client library for Node: its base address is a constant, so it is changed on the way out.
async function perspectiveClient() {
  require("axios").interceptors.request.use((config) => ({
    ...config,
    url: config.url.replace("https://commentanalyzer.googleapis.com/", root),
  }));
  const Perspective = require("perspective-api-client");
  const client = new Perspective({ apiKey: key });
  const plain = await client.analyze("What an <b>idiot</b> you are!");
  const chosen = await client.analyze("What an idiot you are!", { attributes: ["toxicity", "mocking"] });
  const refused = await client
    .analyze("Fine.", { attributes: ["flirtation"] })
    .catch((error) => ({ name: error.name, message: error.message, body: error.response.data }));
  return { plain, chosen, refused };
}

// What google.discoverAPI() of the package googleapis does: the client is made from the discovery document.
async function googleClient() {
  const { Discovery } = require("googleapis-common");
  const discovery = new Discovery({ debug: false, includePrivate: false });
  const create = await discovery.discoverAPI(`${root}$discovery/rest?version=v1alpha1`);
  const client = create({}, { _options: {} });
  const requestBody = {
    comment: { text: "😀 What an idiot you are! Nice day." },
    requestedAttributes: { TOXICITY: {} },
    spanAnnotations: true,
    languages: ["en"],
    clientToken: "from node",
  };
  const analyzed = await client.comments.analyze({ key, requestBody });
  const refused = await client.comments
    .analyze({ key, requestBody: { ...requestBody, comment: { text: "" } } })
    .catch((error) => ({ status: error.status ?? error.code, message: error.message, details: error.response.data }));
  return { analyzed: analyzed.data, refused };
}

(async () => {
  console.log(JSON.stringify({ perspective: await perspectiveClient(), google: await googleClient() }));
})();
