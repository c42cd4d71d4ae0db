// The frame of the Node.js clients: runs the cases named on the command line, prints answers as programs.py reads them.
"use strict";
const fs = require("node:fs");

const environment = process.env;

function escape(text) {
  return String(text).replace(/\\/g, "\\\\").replace(/\t/g, "\\t").replace(/\n/g, "\\n").replace(/\r/g, "\\r");
}

/** {question: SQL} of one section of questions.tsv. */
function section(wanted) {
  const lines = fs.readFileSync(environment.QUESTIONS, "utf8").split("\n").map((line) => line.split("\t"));
  return Object.fromEntries(lines.filter((fields) => fields[0] === wanted).map((fields) => [fields[1], fields[2]]));
}

/** A value with its type, so that "1" and 1 differ. */
function spell(value) {
  if (value === null || value === undefined) return "NULL";
  if (Buffer.isBuffer(value) || value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString("hex")}`;
  if (value instanceof Date) return `Date ${Number.isNaN(value.getTime()) ? "invalid" : value.toISOString()}`;
  if (Array.isArray(value)) return `[${value.map(spell).join(", ")}]`;
  if (typeof value === "object") return `${value.constructor ? value.constructor.name : ""} ${JSON.stringify(value)}`;
  return `${typeof value} ${value}`;
}

function failure(error) {
  return `! ${error.code || error.name}`;
}

async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    return failure(error);
  }
}

/** Runs each case with a function `line(question, answer)`. */
async function main(cases) {
  for (const name of process.argv.slice(2)) {
    const line = (question, answer) => process.stdout.write(`${name}\t${escape(question)}\t${escape(answer)}\n`);
    const answers = async (wanted, ask) => {
      for (const [question, sql] of Object.entries(section(wanted))) line(question, await attempt(() => ask(sql)));
    };
    try {
      await cases[name](line, answers);
      line("=ok", "");
    } catch (error) {
      line("=error", `${failure(error)} ${error.message}`);
    }
  }
}

function check(holds, what) {
  if (!holds) throw new Error(what);
}

/** What a server that asks for passwords needs: nothing more, unless the environment says so. */
function secrets() {
  if (!environment.PGPASSWORD) return {};
  return { password: environment.PGPASSWORD, ssl: { ca: fs.readFileSync(environment.PGSSLROOTCERT, "utf8"), rejectUnauthorized: true } };
}

module.exports = { attempt, check, environment, main, secrets, section, spell };
