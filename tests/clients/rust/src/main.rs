//! The Rust clients: `rust-clients CLIENT CASE…` prints answers as programs.py reads them.

mod sqlx_cases;
mod tokio_postgres_cases;

use std::env::var;
use std::error::Error;
use std::fmt::Write as _;
use std::future::Future;

pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Where a case writes its answers.
pub struct Answers {
    case: String,
}

impl Answers {
    pub fn line(&self, question: &str, answer: &str) {
        println!("{}\t{}\t{}", self.case, escaped(question), escaped(answer));
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
}

pub fn setting(name: &str) -> String {
    var(name).unwrap_or_default()
}

pub fn count(name: &str) -> i64 {
    setting(name).parse().unwrap_or(0)
}

/// (question, SQL) of one section of questions.tsv.
pub fn section(wanted: &str) -> Outcome<Vec<(String, String)>> {
    let text = std::fs::read_to_string(setting("QUESTIONS"))?;
    let rows = text
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    Ok(rows
        .filter(|row| row.len() == 3 && row[0] == wanted)
        .map(|row| (row[1].to_owned(), row[2].to_owned()))
        .collect())
}

/// Asks every question of a section.
pub async fn ask_all<Ask, Answer>(
    answers: &Answers,
    wanted: &str,
    before: &str,
    ask: Ask,
) -> Outcome
where
    Ask: Fn(String) -> Answer,
    Answer: Future<Output = String>,
{
    for (question, sql) in section(wanted)? {
        answers.line(&question, &ask(format!("{before}{sql}")).await);
    }
    Ok(())
}

/// Bytes of a value as hexadecimal digits, after its type.
pub fn spelled(kind: &str, bytes: Option<&[u8]>) -> String {
    let mut text = format!("{kind} ");
    match bytes {
        None => text.push_str("NULL"),
        Some(bytes) => bytes.iter().for_each(|byte| {
            let _ = write!(text, "{byte:02x}");
        }),
    }
    text
}

/// Checks that rows of the table lines come whole and in order.
pub fn in_order(expected: &mut i64, id: i64, label: &str) -> Outcome {
    *expected += 1;
    if id == *expected && label == format!("line {id}") {
        Ok(())
    } else {
        Err(format!("row {expected} is {id}").into())
    }
}

pub fn all_lines(expected: i64) -> Outcome {
    if expected == count("LINES") {
        Ok(())
    } else {
        Err(format!("{expected} rows").into())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let client = arguments.next().unwrap_or_default();
    for case in arguments {
        let answers = Answers { case: case.clone() };
        let outcome = match client.as_str() {
            "sqlx" => sqlx_cases::run(&case, &answers).await,
            _ => tokio_postgres_cases::run(&case, &answers).await,
        };
        match outcome {
            Ok(()) => answers.line("=ok", ""),
            Err(problem) => answers.line("=error", &problem.to_string()),
        }
    }
}
