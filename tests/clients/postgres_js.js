// Postgres.js: everything prepared, types of parameters taken from the server's description, pipelining by default.
"use strict";
const postgres = require("postgres");
const { attempt, check, environment, main, secrets, spell } = require("./node_program.js");

const LINES = Number(environment.LINES);

async function connected(action, more = {}) {
  const sql = postgres({
    host: environment.SERVER_HOST, port: Number(environment.SERVER_PORT), user: "analyst", database: "loyalhouse", max: 1,
    connection: { application_name: environment.APPLICATION, TimeZone: environment.TIME_ZONE }, onnotice() {}, ...secrets(), ...more,
  });
  try {
    return await action(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

const show = (result) => result.map((row) => row.map(spell).join(" | ")).join("\n");
const rows = async (sql, text, values) => show(await sql.unsafe(text, values, { prepare: true }).values());

async function inOrder(iterable) {
  let expected = 0;
  for await (const page of iterable) {
    for (const row of page) {
      expected += 1;
      check(row.id === String(expected) && row.label === `line ${expected}`, `row ${expected} is ${row.id}`);
    }
  }
  check(expected === LINES, `${expected} rows`);
}

main({
  connect: (line) => connected(async (sql) => line("asked", show(await sql`SELECT current_user, current_database(), current_setting('application_name'), current_setting('TimeZone')`.values()))),
  query: (line, answers) => connected((sql) => answers("query", (text) => rows(sql, text))),
  query_pipeline: (line) => connected(async (sql) => {
    const found = await Promise.all(Array.from({ length: 50 }, (_, number) => sql`SELECT ${number}::int AS n, name FROM customers WHERE id = ${number + 1}`));
    line("rows", found.map(([row]) => `${row.n} ${row.name}`).join("\n"));
  }, { max: 2 }),
  parameters: (line) => connected(async (sql) => {
    const asked = {
      bool: () => sql`SELECT ${true}::bool, ${null}::bool`, int: () => sql`SELECT ${7}::int4, ${"8"}::int8, ${-7}::int2`,
      float: () => sql`SELECT ${1.5}::float8, ${0.1}::float4`, numeric: () => sql`SELECT ${"-12.3450"}::numeric`,
      text: () => sql`SELECT ${"it's \\ here"}::text`, bytes: () => sql`SELECT ${Buffer.from([0, 255])}::bytea`,
      date: () => sql`SELECT ${new Date(Date.UTC(2024, 1, 29))}::timestamptz, ${"2024-02-29"}::date`, json: () => sql`SELECT ${sql.json({ a: [1, null] })}::jsonb`,
      uuid: () => sql`SELECT ${"00000000-0000-0000-0000-000000000007"}::uuid`, ints: () => sql`SELECT ${sql.array([1, 2])}::int4[]`,
      texts: () => sql`SELECT ${["a", 'b"c']}::text[]`, equal: () => sql`SELECT name FROM customers WHERE id = ${5}`,
      in: () => sql`SELECT id FROM customers WHERE id IN ${sql([3, 1])} ORDER BY id`, any: () => sql`SELECT id FROM customers WHERE id = ANY(${[3, 1]}) ORDER BY id`,
      limit: () => sql`SELECT id FROM customers ORDER BY id LIMIT ${2} OFFSET ${3}`, dates: () => sql`SELECT count(*) FROM customers WHERE joined >= ${"2022-01-01"}`,
      moment: () => sql`SELECT count(*) FROM orders WHERE ordered_at < ${new Date(Date.UTC(2024, 1, 1))}`, names: () => sql`SELECT ${sql(["id", "city"])} FROM ${sql("customers")} WHERE id = ${1}`,
      amount: () => sql`SELECT count(*) FROM orders WHERE amount > ${"150.5"}`, unknown: () => sql`SELECT ${"a"} || 'b'`,
    };
    for (const [name, ask] of Object.entries(asked)) line(name, await attempt(async () => show(await ask().values())));
  }),
  types_text: (line, answers) => connected((sql) => answers("kind", (kind) => rows(sql, `SELECT ${kind}`))),
  prepared: (line) => connected(async (sql) => {
    for (let number = 1; number <= Number(environment.REUSES); number += 1) {
      line(`execution ${number}`, show(await sql`SELECT id, name, joined FROM customers WHERE id = ${number}`.values()));
    }
  }),
  cursor: () => connected((sql) => inOrder(sql`SELECT id, label FROM lines WHERE id > ${0} ORDER BY id`.cursor(1000))),
  copy: (line) => connected(async (sql) => {
    for (const options of ["", "(FORMAT csv, HEADER)"]) {
      const blocks = [];
      for await (const block of await sql.unsafe(`COPY (SELECT * FROM kinds ORDER BY id) TO STDOUT ${options}`).readable()) blocks.push(block);
      line(`copy ${options}`, spell(Buffer.concat(blocks)));
    }
  }),
  cancel: (line) => connected(async (sql) => {
    const endless = sql.unsafe(environment.ENDLESS);
    setTimeout(() => endless.cancel(), 500);
    line("canceled", await attempt(() => endless));
    line("alive", await rows(sql, "SELECT 1"));
  }),
  errors: (line, answers) => connected((sql) => answers("error", (text) => rows(sql, text))),
  transactions: (line) => connected(async (sql) => {
    line("begin", await attempt(() => sql.begin("isolation level serializable read only", async (inner) => {
      line("level", show(await inner`SHOW transaction_isolation`.values()));
      await inner`SELECT 1/0`;
    })));
    line("savepoint", await sql.begin(async (inner) => {
      line("bad", await attempt(() => inner.savepoint((deeper) => deeper`SELECT no_such FROM customers`)));
      return show(await inner`SELECT 2`.values());
    }));
  }),
  metadata: (line, answers) => connected(async (sql) => {
    const describe = async (text) => {
      const found = await sql.unsafe(text, [], { prepare: true }).describe();
      return `${found.types.join(" ")}: ${found.columns.map((column) => `${column.name} ${column.type} ${column.number}`).join("\n")}`;
    };
    await answers("kind", (kind) => describe(`SELECT ${kind}`));
    await answers("query", describe);
    line("parameters", await describe("SELECT name FROM customers WHERE id = $1 AND joined > $2 AND city = ANY($3) LIMIT $4"));
  }),
});
