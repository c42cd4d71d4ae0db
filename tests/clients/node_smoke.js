// Connects with node-postgres and does what its documentation shows; prints "ok".
"use strict";
const assert = require("node:assert");
const { Client } = require("pg");

async function main() {
  const client = new Client({
    host: process.env.SERVER_HOST,
    port: Number(process.env.SERVER_PORT),
    user: "analyst",
    database: "loyalhouse",
    connectionTimeoutMillis: 10000,
    query_timeout: 30000,
  });
  await client.connect();
  try {
    const one = await client.query("SELECT name, joined FROM customers WHERE id = $1 AND city = $2", [5, "Lima"]);
    assert.strictEqual(one.rows.length, 1);
    assert.strictEqual(one.rows[0].name, "Customer 5");
    assert.ok(one.rows[0].joined instanceof Date);
    const many = await client.query("SELECT id, amount FROM orders ORDER BY id LIMIT 1000");
    assert.strictEqual(many.rowCount, 1000);
    assert.strictEqual(many.rows[999].id, "1000");
    await assert.rejects(client.query("SELECT nam FROM customers"), { code: "42703" });
    for (let round = 0; round < 3; round += 1) {
      const named = await client.query({ name: "by-city", text: "SELECT count(*)::int AS n FROM customers WHERE city = $1", values: ["Oslo"] });
      assert.strictEqual(named.rows[0].n, 334);
    }
  } finally {
    await client.end();
  }
  console.log("ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
