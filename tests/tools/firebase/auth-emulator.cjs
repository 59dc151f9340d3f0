// Serves the auth part of the Firebase emulator for the project named by its argument, on a free loopback port, which
// it prints. It ends with its standard input, so it does not outlive whoever started it.
const { default: Ajv } = require("ajv/dist/core");

// For each parameter of its own document it would compile a validator of JSON Schemas, to validate that parameter's:
// three quarters of its start. Requests are validated as ever.
Ajv.prototype.validateSchema = () => true;
const { createApp } = require("firebase-tools/lib/emulator/auth/server");

process.stdin.on("end", () => process.exit(0)).resume();
createApp(process.argv[2]).then((app) => {
  const server = app.listen(0, "127.0.0.1", () => console.log(`port ${server.address().port}`));
});
