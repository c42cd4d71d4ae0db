//! The same expressions as a real PostgreSQL 15 was asked: name, type, text and bytes must be equal.
//!
//! `tests/clients/record_expressions.py` records the answers; `tests/data/expressions_known.tsv` holds
//! those in which this server differs, with the reason.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::client::{Client, Message, report};
use super::process::Server;

/// What was asked, then what PostgreSQL answered.
const RECORDED: &str = include_str!("../data/expressions.tsv");

/// Expressions that are answered in another way, and why.
const KNOWN: &str = include_str!("../data/expressions_known.tsv");

#[test]
fn expressions_are_answered_as_postgresql_does() {
    let known: BTreeMap<&str, &str> = KNOWN
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    let mut report = String::new();
    let mut asked = 0;
    for line in RECORDED.lines() {
        let Some((expression, expected)) = line.split_once('\t') else {
            continue;
        };
        asked += 1;
        let answer = ask(&mut client, expression);
        match (answer == expected, known.get(expression)) {
            (true, None) | (false, Some(_)) => {}
            (true, Some(_)) => {
                writeln!(report, "{expression}: is equal now, take it off the list").unwrap();
            }
            (false, None) => writeln!(
                report,
                "{expression}\n  expected {}\n  but got  {}",
                readable(expected),
                readable(&answer)
            )
            .unwrap(),
        }
    }
    assert!(asked > 300, "only {asked} expressions");
    assert!(report.is_empty(), "{report}");
}

/// The answer in the form of the recording.
fn ask(client: &mut Client, expression: &str) -> String {
    let text = run(client, expression, 0);
    let binary = run(client, expression, 1);
    match (text, binary) {
        (Ok((head, text)), Ok((other, binary))) => {
            assert_eq!(head, other, "{expression}: the format changes the type");
            format!("{head}\t{text}\t{binary}")
        }
        (Err(code), _) | (_, Err(code)) => format!("error\t{code}"),
    }
}

/// Name, OID and modifier of the one column, and the value's bytes; or the SQLSTATE.
fn run(client: &mut Client, expression: &str, format: i16) -> Result<(String, String), String> {
    client.parse("", &format!("select {expression}"));
    let mut bind = vec![0, 0, 0, 0, 0, 0, 0, 1];
    bind.extend(format.to_be_bytes());
    client.send(b'B', &bind);
    client.send(b'D', b"P\0");
    client.execute("", 0);
    client.send(b'S', b"");
    let (mut head, mut value) = (String::new(), "no row".to_owned());
    for message in client.until_ready() {
        match message.tag {
            b'E' => return Err(report(&message).code),
            b'T' => head = column(&message),
            b'D' => value = cell(&message),
            _ => {}
        }
    }
    Ok((head, value))
}

fn column(message: &Message) -> String {
    let body = &message.body[2..];
    let end = body.iter().position(|byte| *byte == 0).unwrap();
    let word = |at: usize| i32::from_be_bytes(body[at..at + 4].try_into().unwrap());
    let name = String::from_utf8_lossy(&body[..end]);
    format!("{name}\t{}\t{}", word(end + 7), word(end + 13))
}

fn cell(message: &Message) -> String {
    let length = i32::from_be_bytes(message.body[2..6].try_into().unwrap());
    if length < 0 {
        return "null".to_owned();
    }
    let hex = message.body[6..]
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
    format!("={hex}")
}

/// The answer with its value as text.
fn readable(answer: &str) -> String {
    let mut parts: Vec<String> = answer.split('\t').map(str::to_owned).collect();
    if let Some(text) = parts.get_mut(3)
        && let Some(hex) = text.strip_prefix('=')
    {
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        *text = format!("'{}'", String::from_utf8_lossy(&bytes));
    }
    parts.join(" ")
}
