//! Comments and keys of the configuration, EXPLAIN, probes of what is not there, OIDs across restarts.

use std::process::Command;

use super::client::Client;
use super::fixtures;
use super::process::Server;

fn check(notes: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    std::fs::write(&file, notes).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_loyalhouse"))
        .args(["check", "--config"])
        .arg(&file)
        .arg(fixtures::data())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}

#[test]
fn check_names_the_nearest_table_and_column() {
    let (good, text) = check("[tables.\"public.orderz\"]\nprimary_key = [\"order_id\"]");
    assert!(!good);
    assert!(
        text.contains("Perhaps you meant \"public.orders\"."),
        "{text}"
    );
    let (good, text) = check("[tables.\"public.orders\"]\nprimary_key = [\"orderid\"]");
    assert!(!good);
    assert!(text.contains("Perhaps you meant \"order_id\"."), "{text}");
    let (_, text) = check("[tables.\"public.orders\"]\nprimary_key = [\"order_id\"]");
    assert!(!text.contains("order_id"), "{text}");
}

#[test]
fn oids_survive_a_restart() {
    let sql = "SELECT oid, relname FROM pg_class WHERE relnamespace IN (2200, 'kpi'::regnamespace) ORDER BY oid";
    let rows = || {
        let server = Server::start(&fixtures::data(), &[]);
        Client::connect(server.port).simple(sql).unwrap().rows
    };
    let first = rows();
    assert!(first.len() >= 8);
    assert_eq!(first, rows());
}

#[test]
fn explain_speaks_as_postgresql_does() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    let mut lines = |sql: &str| {
        let answer = client.simple(sql).unwrap();
        assert_eq!(answer.names, ["QUERY PLAN"]);
        let lines = answer
            .rows
            .into_iter()
            .map(|mut row| row.remove(0).unwrap());
        lines.collect::<Vec<_>>()
    };
    let plan = lines("EXPLAIN SELECT bucket, count(*) FROM numbers GROUP BY 1 ORDER BY 1");
    assert!(
        plan[0].contains("  (cost=") && plan[0].contains(" rows=") && plan[0].contains(" width=")
    );
    assert!(
        plan.iter()
            .any(|line| line.contains("->  Seq Scan  (cost=")),
        "{plan:?}"
    );
    let plan = lines("EXPLAIN (ANALYZE, BUFFERS) SELECT count(*) FROM numbers WHERE id > 5000");
    assert!(plan[0].contains("(actual time=0.000.."), "{plan:?}");
    assert!(
        plan.iter().any(|line| line.starts_with("Execution Time: ")),
        "{plan:?}"
    );
    let plan = lines("EXPLAIN (VERBOSE, FORMAT JSON) SELECT 1");
    assert_eq!(plan.len(), 1);
    let document: serde_json::Value = serde_json::from_str(&plan[0]).unwrap();
    assert!(document[0]["Plan"]["Node Type"].is_string());
    let answer = client.extended("EXPLAIN (FORMAT JSON) SELECT $1::int", &[Some("1")]);
    assert_eq!(answer.unwrap().rows.len(), 1);
}

#[test]
fn system_columns_keep_their_names() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    let sql =
        "SELECT n.tableoid, xmin, n.oid, nspname FROM pg_namespace n WHERE nspname = 'public'";
    let answer = client.simple(sql).unwrap();
    assert_eq!(answer.names, ["tableoid", "xmin", "oid", "nspname"]);
    assert_eq!(answer.rows[0][0].as_deref(), Some("2615"));
}

#[test]
fn what_is_not_there_is_counted() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    for sql in [
        "SELECT pg_no_such_probe()",
        "SELECT pg_no_such_probe(1)",
        "SELECT * FROM pg_catalog.pg_no_such_relation",
        "SHOW no_such_setting",
    ] {
        assert!(client.simple(sql).is_err(), "{sql}");
    }
    let sql = "SELECT kind, name, count FROM loyalhouse.unknown_probes WHERE name LIKE '%no_such_%' ORDER BY kind";
    let rows = client.simple(sql).unwrap().rows;
    let kinds: Vec<_> = rows.iter().map(|row| row[0].clone().unwrap()).collect();
    assert_eq!(kinds, ["function", "relation", "setting"], "{rows:?}");
}
