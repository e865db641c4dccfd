SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: -1, // each operation shows its own models; all of them once more is a second of work
  validatorUrl: null, // else it asks a server on the internet whether the document is valid
});
