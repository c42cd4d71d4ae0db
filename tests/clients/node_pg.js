// node-postgres with its cursor, stream and COPY packages.
"use strict";
const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");
const QueryStream = require("pg-query-stream");
const { to: copyTo } = require("pg-copy-streams");
const { attempt, check, environment, main, secrets, spell } = require("./node_program.js");

const LINES = Number(environment.LINES);
const server = () => ({
  host: environment.SERVER_HOST, port: Number(environment.SERVER_PORT), user: "analyst", database: "loyalhouse",
  application_name: environment.APPLICATION, options: `-c TimeZone=${environment.TIME_ZONE}`, connectionTimeoutMillis: 10000, ...secrets(),
});

async function connected(action, more = {}) {
  const client = new Client({ ...server(), ...more });
  client.on("error", () => {});
  await client.connect();
  try {
    return await action(client);
  } finally {
    await client.end();
  }
}

async function rows(client, text, values, more = {}) {
  const found = await client.query({ text, values, rowMode: "array", ...more });
  const results = Array.isArray(found) ? found : [found];
  return results.map((result) => result.rows.map((row) => row.map(spell).join(" | ")).join("\n")).join(";");
}

const PARAMETERS = [
  ["SELECT $1::bool, $1::bool IS NULL", [true], [null], ["f"]],
  ["SELECT $1::int2", [-7]], ["SELECT $1::int4", [7], [null]], ["SELECT $1::int8", ["4611686018427387904"], [2n ** 62n]],
  ["SELECT $1::float8", [1e300], [NaN]], ["SELECT $1::numeric", ["-12.3450"], [1.5]], ["SELECT $1::text", ["it's \\ here"], [null]],
  ["SELECT $1::bytea", [Buffer.from([0, 255])]], ["SELECT $1::date", ["2024-02-29"]], ["SELECT $1::timestamptz", [new Date(Date.UTC(2024, 1, 29, 1, 2, 3))]],
  ["SELECT $1::interval", ["1 day 02:00"]], ["SELECT $1::uuid", ["00000000-0000-0000-0000-000000000007"]],
  ["SELECT $1::jsonb", [{ a: [1, null] }], ['"text"']], ["SELECT $1::int4[]", [[1, null, 3]]], ["SELECT $1::text[]", [["a", 'b"c', null]]],
  ["SELECT $1::int4[]", [[[1, 2], [3, 4]]]], ["SELECT name FROM customers WHERE id = $1", [5], ["5"]],
  ["SELECT count(*) FROM customers WHERE joined >= $1 AND city = ANY($2)", ["2022-01-01", ["Oslo", "Lima"]]],
  ["SELECT id FROM customers ORDER BY id LIMIT $1 OFFSET $2", [2, 3]], ["SELECT $1", ["unknown"]],
  ["SELECT CASE WHEN id = $1 THEN $2 ELSE 'no' END FROM customers WHERE id < 3 ORDER BY id", [1, "yes"]],
];

async function inOrder(iterable) {
  let expected = 0;
  for await (const row of iterable) {
    expected += 1;
    check(row.id === String(expected) && row.label === `line ${expected}`, `row ${expected} is ${row.id}`);
  }
  check(expected === LINES, `${expected} rows`);
}

const kinds = (more) => (line, answers) => connected((client) => answers("kind", (kind) => rows(client, `SELECT ${kind}`, undefined, more)));
const errors = async (line, answers) => connected((client) => answers("error", (sql) => rows(client, sql)));
const sleep = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });

main({
  connect: (line) => connected(async (client) => {
    check(client.processID > 0, "no process id");
    line("asked", await rows(client, "SELECT current_user, current_database(), current_setting('application_name'), current_setting('TimeZone')"));
  }),
  async connect_pool(line) {
    const pool = new Pool({ ...server(), max: 4 });
    const found = await Promise.all(Array.from({ length: 40 }, (_, number) => pool.query("SELECT $1::int * 2 AS n", [number])));
    line("sum", found.reduce((sum, result) => sum + result.rows[0].n, 0));
    await pool.end();
  },
  query: (line, answers) => connected((client) => answers("query", (sql) => rows(client, sql))),
  query_many: (line) => connected(async (client) => line("results", await rows(client, "SELECT 1; SELECT 'two', NULL; SELECT id FROM customers WHERE id < 3 ORDER BY id"))),
  parameters: (line) => connected(async (client) => {
    for (const [sql, ...sets] of PARAMETERS) {
      for (const [at, values] of sets.entries()) line(`${sql} ${at}`, await attempt(() => rows(client, sql, values)));
    }
  }),
  types_text: kinds({}),
  types_binary: kinds({ binary: true, values: [] }),
  prepared: (line) => connected(async (client) => {
    for (let number = 1; number <= Number(environment.REUSES); number += 1) {
      line(`execution ${number}`, await rows(client, "SELECT id, name, joined FROM customers WHERE id = $1", [number], { name: "by id" }));
    }
  }),
  cursor: () => connected(async (client) => {
    await client.query("BEGIN");
    const cursor = client.query(new Cursor("SELECT id, label FROM lines WHERE id > $1 ORDER BY id", [0]));
    await inOrder((async function* pages() {
      for (let page = await cursor.read(1000); page.length > 0; page = await cursor.read(1000)) yield* page;
    })());
    await cursor.close();
    await client.query("COMMIT");
  }),
  cursor_stream: () => connected((client) => inOrder(client.query(new QueryStream("SELECT id, label FROM lines ORDER BY id", [], { batchSize: 1000 })))),
  copy: (line) => connected(async (client) => {
    for (const options of ["", "(FORMAT csv, HEADER)", "(FORMAT binary)"]) {
      const blocks = [];
      for await (const block of client.query(copyTo(`COPY (SELECT * FROM kinds ORDER BY id) TO STDOUT ${options}`))) blocks.push(block);
      line(`copy ${options}`, spell(Buffer.concat(blocks)));
    }
  }),
  cancel: (line) => connected(async (client) => {
    const endless = attempt(() => client.query(environment.ENDLESS));
    await sleep(500);
    await connected((other) => other.query("SELECT pg_cancel_backend($1)", [client.processID]));
    line("canceled", await endless);
    line("alive", await rows(client, "SELECT 1"));
    await client.query("SET statement_timeout = 200");
    line("timeout", await attempt(() => client.query(environment.ENDLESS)));
  }),
  errors,
  transactions: (line) => connected(async (client) => {
    await client.query("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY");
    line("error", await attempt(() => rows(client, "SELECT 1/0")));
    line("refused", await attempt(() => rows(client, "SELECT 1")));
    line("rolled back", (await client.query("COMMIT")).command);
    await client.query("BEGIN");
    await client.query("SAVEPOINT a");
    line("bad", await attempt(() => rows(client, "SELECT no_such FROM customers", [])));
    await client.query("ROLLBACK TO a");
    line("back", await rows(client, "SELECT 2", []));
    line("committed", (await client.query("COMMIT")).command);
  }),
  metadata: (line, answers) => connected(async (client) => {
    const describe = async (text) => (await client.query({ text, rowMode: "array" })).fields
      .map((field) => [field.name, field.dataTypeID, field.dataTypeSize, field.dataTypeModifier, field.columnID, field.format].join(" ")).join("\n");
    await answers("kind", (kind) => describe(`SELECT ${kind}`));
    await answers("query", describe);
  }),
});
