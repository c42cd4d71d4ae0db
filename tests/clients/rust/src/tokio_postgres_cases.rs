//! tokio-postgres: every statement prepared, binary results, pipelining by itself.

use std::error::Error;
use std::time::Duration;

use futures_util::{future::try_join_all, StreamExt};
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Row, SimpleQueryMessage};

use crate::{all_lines, ask_all, count, in_order, setting, spelled, Answers, Outcome};

/// Any value as it came.
struct Raw(String);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(kind: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(spelled(kind.name(), Some(bytes))))
    }

    fn from_sql_null(kind: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(spelled(kind.name(), None)))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

async fn open() -> Outcome<Client> {
    let (client, connection) = Config::new()
        .host(setting("SERVER_HOST"))
        .port(setting("SERVER_PORT").parse()?)
        .user("analyst")
        .dbname("loyalhouse")
        .application_name(setting("APPLICATION"))
        .options(format!("-c TimeZone={}", setting("TIME_ZONE")))
        .connect(NoTls)
        .await?;
    tokio::spawn(connection);
    Ok(client)
}

fn failure(error: &tokio_postgres::Error) -> String {
    error
        .code()
        .map_or_else(|| format!("! {error}"), |code| format!("! {}", code.code()))
}

fn spell(rows: &[Row]) -> String {
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            (0..row.len())
                .map(|at| row.get::<_, Raw>(at).0)
                .collect::<Vec<_>>()
                .join(" | ")
        })
        .collect();
    lines.join("\n")
}

async fn ask(client: &Client, sql: &str, values: &[&(dyn ToSql + Sync)]) -> String {
    match client.query(sql, values).await {
        Ok(rows) => spell(&rows),
        Err(error) => failure(&error),
    }
}

async fn ask_simply(client: &Client, sql: &str) -> String {
    match client.simple_query(sql).await {
        Ok(messages) => messages
            .iter()
            .map(|message| match message {
                SimpleQueryMessage::Row(row) => (0..row.len())
                    .map(|at| row.get(at).unwrap_or("NULL"))
                    .collect::<Vec<_>>()
                    .join(" | "),
                SimpleQueryMessage::CommandComplete(rows) => format!("{rows} rows"),
                _ => "columns".to_owned(),
            })
            .collect::<Vec<_>>()
            .join("\n"),
        Err(error) => failure(&error),
    }
}

pub async fn run(case: &str, answers: &Answers) -> Outcome {
    let mut client = open().await?;
    match case {
        "connect" => {
            let asked = "SELECT current_user, current_setting('application_name'), current_setting('TimeZone')";
            answers.line("asked", &ask_simply(&client, asked).await);
            Ok(())
        }
        "query" => {
            ask_all(answers, "query", "", |sql| {
                let client = &client;
                async move { ask(client, &sql, &[]).await }
            })
            .await
        }
        "types_text" => {
            ask_all(answers, "kind", "SELECT ", |sql| {
                let client = &client;
                async move { ask_simply(client, &sql).await }
            })
            .await
        }
        "types_binary" => {
            ask_all(answers, "kind", "SELECT ", |sql| {
                let client = &client;
                async move { ask(client, &sql, &[]).await }
            })
            .await
        }
        "errors" => {
            ask_all(answers, "error", "", |sql| {
                let client = &client;
                async move { ask(client, &sql, &[]).await }
            })
            .await
        }
        "parameters" => parameters(&client, answers).await,
        "prepared" => prepared(&client, answers).await,
        "pipeline" => pipeline(&client, answers).await,
        "cursor" => cursor(&mut client).await,
        "copy" => copy(&client, answers).await,
        "cancel" => cancel(&client, answers).await,
        "transactions" => transactions(&mut client, answers).await,
        "metadata" => metadata(&client, answers).await,
        _ => Err("no such case".into()),
    }
}

async fn parameters(client: &Client, answers: &Answers) -> Outcome {
    let words: Vec<&str> = vec!["Oslo", "Lima"];
    let bytes: &[u8] = &[0, 255];
    let numbers: &[Option<i32>] = &[Some(1), None];
    let asked: Vec<(&str, Vec<&(dyn ToSql + Sync)>)> = vec![
        ("SELECT $1::bool", vec![&true]),
        ("SELECT $1::int2", vec![&-7_i16]),
        ("SELECT $1::int4 + 1", vec![&41_i32]),
        ("SELECT $1::int8", vec![&(1_i64 << 62)]),
        ("SELECT $1::float4", vec![&0.1_f32]),
        ("SELECT $1::float8", vec![&1e300_f64]),
        ("SELECT $1::text", vec![&"it's"]),
        ("SELECT $1::text", vec![&None::<String>]),
        ("SELECT $1::bytea", vec![&bytes]),
        ("SELECT $1::int4[]", vec![&numbers]),
        ("SELECT $1::text[]", vec![&words]),
        ("SELECT name FROM customers WHERE id = $1", vec![&5_i64]),
        ("SELECT count(*) FROM customers WHERE city = ANY($1) AND id > $2", vec![&words, &500_i64]),
        ("SELECT id FROM customers ORDER BY id LIMIT $1 OFFSET $2", vec![&2_i64, &3_i64]),
        ("SELECT CASE WHEN id = $1 THEN $2 ELSE 'no' END FROM customers WHERE id < 3 ORDER BY id", vec![&1_i64, &"yes"]),
    ];
    for (sql, values) in asked {
        answers.line(sql, &ask(client, sql, &values).await);
    }
    Ok(())
}

async fn prepared(client: &Client, answers: &Answers) -> Outcome {
    let statement = client
        .prepare("SELECT id, name, joined FROM customers WHERE id = $1")
        .await?;
    for id in 1..=count("REUSES") {
        answers.line(
            &format!("execution {id}"),
            &spell(&client.query(&statement, &[&id]).await?),
        );
    }
    Ok(())
}

/// Statements that wait for each other only on the server.
async fn pipeline(client: &Client, answers: &Answers) -> Outcome {
    let statement = client.prepare("SELECT $1::int4 * 2").await?;
    let numbers: Vec<i32> = (0..30).collect();
    let rows = try_join_all(numbers.iter().map(|number| {
        let statement = &statement;
        async move { client.query_one(statement, &[number]).await }
    }))
    .await?;
    answers.line(
        "sum",
        &rows
            .iter()
            .map(|row| row.get::<_, i32>(0))
            .sum::<i32>()
            .to_string(),
    );
    Ok(())
}

/// A portal, a thousand rows at a time.
async fn cursor(client: &mut Client) -> Outcome {
    let transaction = client.transaction().await?;
    let portal = transaction
        .bind(
            "SELECT id, label FROM lines WHERE id > $1 ORDER BY id",
            &[&0_i64],
        )
        .await?;
    let mut expected = 0;
    loop {
        let rows = transaction.query_portal(&portal, 1000).await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            in_order(&mut expected, row.get(0), row.get(1))?;
        }
    }
    transaction.commit().await?;
    all_lines(expected)
}

async fn copy(client: &Client, answers: &Answers) -> Outcome {
    for options in ["", "(FORMAT csv, HEADER)", "(FORMAT binary)"] {
        let stream = client
            .copy_out(&format!(
                "COPY (SELECT * FROM kinds ORDER BY id) TO STDOUT {options}"
            ))
            .await?;
        let mut stream = Box::pin(stream);
        let mut bytes = Vec::new();
        while let Some(block) = stream.next().await {
            bytes.extend_from_slice(&block?);
        }
        answers.line(&format!("copy {options}"), &spelled("bytes", Some(&bytes)));
    }
    Ok(())
}

async fn cancel(client: &Client, answers: &Answers) -> Outcome {
    let token = client.cancel_token();
    let endless = setting("ENDLESS");
    let stop = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        token.cancel_query(NoTls).await
    };
    let (canceled, stopped) = tokio::join!(ask(client, &endless, &[]), stop);
    stopped?;
    answers.line("canceled", &canceled);
    answers.line("alive", &ask_simply(client, "SELECT 1").await);
    Ok(())
}

async fn transactions(client: &mut Client, answers: &Answers) -> Outcome {
    let mut transaction = client.transaction().await?;
    let savepoint = transaction.savepoint("a").await?;
    let bad = savepoint.query("SELECT no_such FROM customers", &[]).await;
    answers.line(
        "bad",
        &bad.err().map_or_else(String::new, |error| failure(&error)),
    );
    savepoint.rollback().await?;
    answers.line("back", &spell(&transaction.query("SELECT 2", &[]).await?));
    transaction.commit().await?;
    let built = client
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::Serializable)
        .read_only(true)
        .deferrable(true);
    let transaction = built.start().await?;
    answers.line(
        "level",
        &spell(&transaction.query("SHOW transaction_isolation", &[]).await?),
    );
    drop(transaction);
    answers.line("after", &ask_simply(client, "SELECT 3").await);
    Ok(())
}

async fn metadata(client: &Client, answers: &Answers) -> Outcome {
    let describe = |sql: String| async move {
        match client.prepare(&sql).await {
            Ok(statement) => statement
                .columns()
                .iter()
                .map(|column| {
                    format!(
                        "{} {} {:?}",
                        column.name(),
                        column.type_(),
                        column.column_id().is_some()
                    )
                })
                .chain(statement.params().iter().map(|kind| format!("${kind}")))
                .collect::<Vec<_>>()
                .join("\n"),
            Err(error) => failure(&error),
        }
    };
    ask_all(answers, "kind", "SELECT ", describe).await?;
    ask_all(answers, "query", "", describe).await
}
