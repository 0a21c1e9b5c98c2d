// A server that answers each request with what it takes it to be: [method, target, body]. It prints its port and ends
// with its standard input.
const http = require("http");

const server = http.createServer((request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    const body = Buffer.concat(pieces).toString("latin1");
    const told = JSON.stringify([request.method, request.url, body]);
    response.writeHead(200, { "Content-Length": Buffer.byteLength(told) });
    response.end(told);
  });
});

server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
