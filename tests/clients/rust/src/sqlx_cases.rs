//! sqlx: a cache of prepared statements, types it does not know looked up in the catalog.

use futures_util::TryStreamExt;
use sqlx::postgres::{
    PgConnectOptions, PgConnection, PgPoolOptions, PgRow, PgSslMode, PgValueFormat,
};
use sqlx::{Column, Connection, Executor, Row, TypeInfo, ValueRef};
use tokio::sync::Mutex;

use crate::{all_lines, ask_all, count, in_order, setting, spelled, Answers, Outcome};

fn options() -> Outcome<PgConnectOptions> {
    Ok(PgConnectOptions::new_without_pgpass()
        .host(&setting("SERVER_HOST"))
        .port(setting("SERVER_PORT").parse()?)
        .username("analyst")
        .database("loyalhouse")
        .ssl_mode(PgSslMode::Disable)
        .application_name(&setting("APPLICATION"))
        .options([("TimeZone", setting("TIME_ZONE"))]))
}

async fn open() -> Outcome<PgConnection> {
    Ok(PgConnection::connect_with(&options()?).await?)
}

fn failure(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(|refused| refused.code());
    code.map_or_else(|| format!("! {error}"), |code| format!("! {code}"))
}

fn spell(rows: &[PgRow]) -> String {
    let value = |row: &PgRow, at: usize| match row.try_get_raw(at) {
        Err(error) => failure(&error),
        Ok(value) if value.is_null() => spelled(value.type_info().name(), None),
        Ok(value) => match (value.format(), value.as_str(), value.as_bytes()) {
            (PgValueFormat::Text, Ok(text), _) => {
                format!("{} text {text}", value.type_info().name())
            }
            (_, _, Ok(bytes)) => spelled(value.type_info().name(), Some(bytes)),
            _ => "no bytes".to_owned(),
        },
    };
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            (0..row.len())
                .map(|at| value(row, at))
                .collect::<Vec<_>>()
                .join(" | ")
        })
        .collect();
    lines.join("\n")
}

async fn ask(connection: &mut PgConnection, sql: &str) -> String {
    sqlx::query(sql)
        .fetch_all(connection)
        .await
        .map_or_else(|error| failure(&error), |rows| spell(&rows))
}

async fn ask_simply(connection: &mut PgConnection, sql: &str) -> String {
    sqlx::raw_sql(sql)
        .fetch_all(connection)
        .await
        .map_or_else(|error| failure(&error), |rows| spell(&rows))
}

async fn ask_section(answers: &Answers, wanted: &str, before: &str, simply: bool) -> Outcome {
    let shared = Mutex::new(open().await?);
    let ask_one = |sql: String| {
        let shared = &shared;
        async move {
            let mut connection = shared.lock().await;
            if simply {
                ask_simply(&mut connection, &sql).await
            } else {
                ask(&mut connection, &sql).await
            }
        }
    };
    ask_all(answers, wanted, before, ask_one).await
}

pub async fn run(case: &str, answers: &Answers) -> Outcome {
    match case {
        "connect" => connect(answers).await,
        "query" => ask_section(answers, "query", "", false).await,
        "query_simple" => ask_section(answers, "query", "", true).await,
        "types_text" => ask_section(answers, "kind", "SELECT ", true).await,
        "types_binary" => ask_section(answers, "kind", "SELECT ", false).await,
        "errors" => ask_section(answers, "error", "", false).await,
        "parameters" => parameters(answers).await,
        "prepared" => prepared(answers).await,
        "cursor" => cursor().await,
        "copy" => copy(answers).await,
        "transactions" => transactions(answers).await,
        "metadata" => metadata(answers).await,
        _ => Err("no such case".into()),
    }
}

async fn connect(answers: &Answers) -> Outcome {
    let pool = PgPoolOptions::new()
        .max_connections(3)
        .connect_with(options()?)
        .await?;
    let row: (String, i32) = sqlx::query_as("SELECT current_setting('application_name'), $1::int4")
        .bind(7)
        .fetch_one(&pool)
        .await?;
    answers.line("asked", &format!("{row:?}"));
    pool.acquire().await?.ping().await?;
    pool.close().await;
    Ok(())
}

async fn parameters(answers: &Answers) -> Outcome {
    let mut connection = open().await?;
    let words = vec!["Oslo".to_owned(), "Lima".to_owned()];
    let asked = [
        ("bool", sqlx::query("SELECT $1").bind(true)),
        (
            "int",
            sqlx::query("SELECT $1 + 1, $2, $3")
                .bind(41_i32)
                .bind(-7_i16)
                .bind(1_i64 << 62),
        ),
        (
            "float",
            sqlx::query("SELECT $1, $2").bind(0.1_f32).bind(1e300_f64),
        ),
        (
            "text",
            sqlx::query("SELECT $1, $2")
                .bind("it's")
                .bind(None::<String>),
        ),
        ("bytes", sqlx::query("SELECT $1").bind(vec![0_u8, 255])),
        (
            "array",
            sqlx::query("SELECT $1, $2")
                .bind(vec![1_i32, 2])
                .bind(&words),
        ),
        (
            "equal",
            sqlx::query("SELECT name FROM customers WHERE id = $1").bind(5_i64),
        ),
        (
            "any",
            sqlx::query("SELECT count(*) FROM customers WHERE city = ANY($1) AND id > $2")
                .bind(&words)
                .bind(500_i64),
        ),
        (
            "limit",
            sqlx::query("SELECT id FROM customers ORDER BY id LIMIT $1").bind(2_i64),
        ),
    ];
    for (name, query) in asked {
        let answer = query.fetch_all(&mut connection).await;
        answers.line(
            name,
            &answer.map_or_else(|error| failure(&error), |rows| spell(&rows)),
        );
    }
    Ok(())
}

async fn prepared(answers: &Answers) -> Outcome {
    let mut connection = open().await?;
    for id in 1..=count("REUSES") {
        let rows = sqlx::query("SELECT id, name, joined FROM customers WHERE id = $1")
            .bind(id)
            .fetch_all(&mut connection)
            .await?;
        answers.line(&format!("execution {id}"), &spell(&rows));
    }
    answers.line("cached", &connection.cached_statements_size().to_string());
    connection.clear_cached_statements().await?;
    Ok(())
}

async fn cursor() -> Outcome {
    let mut connection = open().await?;
    let mut rows = sqlx::query("SELECT id, label FROM lines ORDER BY id").fetch(&mut connection);
    let mut expected = 0;
    while let Some(row) = rows.try_next().await? {
        in_order(&mut expected, row.try_get(0)?, row.try_get(1)?)?;
    }
    all_lines(expected)
}

async fn copy(answers: &Answers) -> Outcome {
    let mut connection = open().await?;
    for options in ["", "(FORMAT csv, HEADER)", "(FORMAT binary)"] {
        let mut stream = connection
            .copy_out_raw(&format!(
                "COPY (SELECT * FROM kinds ORDER BY id) TO STDOUT {options}"
            ))
            .await?;
        let mut bytes = Vec::new();
        while let Some(block) = stream.try_next().await? {
            bytes.extend_from_slice(&block);
        }
        drop(stream);
        answers.line(&format!("copy {options}"), &spelled("bytes", Some(&bytes)));
    }
    Ok(())
}

async fn transactions(answers: &Answers) -> Outcome {
    let mut connection = open().await?;
    let mut transaction = connection.begin().await?;
    let mut inner = transaction.begin().await?;
    answers.line(
        "bad",
        &ask(&mut inner, "SELECT no_such FROM customers").await,
    );
    inner.rollback().await?;
    answers.line("back", &ask(&mut transaction, "SELECT 2").await);
    answers.line("error", &ask(&mut transaction, "SELECT 1/0").await);
    answers.line("refused", &ask(&mut transaction, "SELECT 1").await);
    drop(transaction); // rolls back with the next statement
    answers.line("after", &ask(&mut connection, "SELECT 3").await);
    Ok(())
}

async fn metadata(answers: &Answers) -> Outcome {
    let shared = Mutex::new(open().await?);
    let describe = |sql: String| {
        let shared = &shared;
        async move {
            let mut connection = shared.lock().await;
            match connection.describe(&sql).await {
                Ok(found) => {
                    let columns = found
                        .columns()
                        .iter()
                        .map(|column| format!("{} {}", column.name(), column.type_info()));
                    columns.collect::<Vec<_>>().join("\n")
                }
                Err(error) => failure(&error),
            }
        }
    };
    ask_all(answers, "kind", "SELECT ", describe).await?;
    ask_all(answers, "query", "", describe).await
}
