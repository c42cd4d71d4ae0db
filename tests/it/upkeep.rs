//! OPTIMIZE, VACUUM and what happens to tables in the background.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::client::Client;
use super::leftovers::{data_files, table_folder};
use super::warehouse::{eventually, one, serve};

/// The actions of a table's log, in their order.
fn actions(folder: &Path) -> Vec<Value> {
    let mut logs: Vec<_> = std::fs::read_dir(folder.join("_delta_log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    logs.sort();
    let text = |path| std::fs::read_to_string(path).unwrap();
    let lines = logs.into_iter().map(text).collect::<Vec<_>>().join("\n");
    lines
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The files of the newest version.
fn active_files(folder: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for action in actions(folder) {
        let path = |kind: &str| action[kind]["path"].as_str().map(str::to_owned);
        files.extend(path("add"));
        if let Some(gone) = path("remove") {
            files.remove(&gone);
        }
    }
    files
}

#[test]
fn optimize_puts_small_files_together_and_readers_keep_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    let mut reader = Client::connect(server.port);
    client
        .simple("CREATE TABLE t AS SELECT id, bucket, 1.5::numeric AS n FROM numbers")
        .unwrap();
    for at in 0..5 {
        let insert = format!("INSERT INTO t VALUES ({at}, 77, {at}.25)");
        client.simple(&insert).unwrap();
    }
    let table = table_folder(folder.path());
    let sums = "SELECT count(*), sum(id), sum(n), count(DISTINCT bucket) FROM t";
    let before = client.simple(sums).unwrap().rows;
    assert_eq!(active_files(&table).len(), 6);
    reader
        .simple("BEGIN; DECLARE c CURSOR FOR SELECT id FROM t")
        .unwrap();
    assert_eq!(reader.simple("FETCH 1 FROM c").unwrap().rows.len(), 1);
    assert_eq!(client.simple("OPTIMIZE t").unwrap().tag, "OPTIMIZE");
    assert_eq!(active_files(&table).len(), 1);
    assert_eq!(client.simple(sums).unwrap().rows, before);
    for action in actions(&table)
        .iter()
        .rev()
        .take_while(|action| action["commitInfo"].is_null())
    {
        let change =
            [&action["add"], &action["remove"]].map(|action| action["dataChange"].as_bool());
        assert!(!change.contains(&Some(true)), "{action}");
    }
    // Nothing is left to do.
    let version = actions(&table).len();
    client.simple("OPTIMIZE TABLE public.t").unwrap();
    assert_eq!(actions(&table).len(), version);
    // Files that somebody reads stay, whatever VACUUM is told.
    client
        .simple("SET loyalhouse.vacuum_retention = 0")
        .unwrap();
    assert_eq!(client.simple("VACUUM t").unwrap().tag, "VACUUM");
    assert_eq!(
        reader.simple("FETCH ALL FROM c").unwrap().rows.len(),
        10_004
    );
    reader.simple("COMMIT").unwrap();
    eventually(|| {
        client.simple("VACUUM t").unwrap();
        data_files(&table) == active_files(&table)
    });
    assert_eq!(client.simple(sums).unwrap().rows, before);
}

#[test]
fn vacuum_keeps_what_left_the_table_lately_and_what_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    client.simple("CREATE TABLE t AS SELECT 1 AS n").unwrap();
    client.simple("UPDATE t SET n = 2").unwrap();
    let table = table_folder(folder.path());
    std::fs::write(table.join("part-0-foreign.snappy.parquet"), "not finished").unwrap();
    assert_eq!(one(&mut client, "SHOW loyalhouse.vacuum_retention"), "7d");
    client.simple("VACUUM").unwrap();
    assert_eq!(data_files(&table).len(), 3);
    client
        .simple("SET loyalhouse.vacuum_retention = 0")
        .unwrap();
    eventually(|| {
        client.simple("VACUUM FULL ANALYZE t").unwrap();
        data_files(&table).len() == 2
    });
    assert!(table.join("part-0-foreign.snappy.parquet").exists());
    assert_eq!(one(&mut client, "SELECT n FROM t"), "2");
}

#[test]
fn many_small_files_are_put_together_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    client.simple("CREATE TABLE t (n int)").unwrap();
    let table = table_folder(folder.path());
    for n in 1..=40 {
        client
            .simple(&format!("INSERT INTO t VALUES ({n})"))
            .unwrap();
    }
    eventually(|| active_files(&table).len() < 32);
    assert_eq!(one(&mut client, "SELECT sum(n) FROM t"), "820");
    // A table of many commits has a place from which its log is read.
    for n in 41..=60 {
        client
            .simple(&format!("INSERT INTO t VALUES ({n})"))
            .unwrap();
    }
    assert!(table.join("_delta_log/_last_checkpoint").exists());
    drop(server);
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    assert_eq!(one(&mut client, "SELECT sum(n) FROM t"), "1830");
}

#[test]
fn maintenance_is_refused_where_postgresql_refuses_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    client
        .simple("CREATE TABLE t AS SELECT 1 AS n; CREATE VIEW v AS SELECT * FROM t")
        .unwrap();
    for (sql, code) in [
        ("VACUUM nix", "42P01"),
        ("VACUUM (bogus) t", "42601"),
        ("VACUUM; SELECT 1", "25001"),
        ("OPTIMIZE nix", "42P01"),
        ("OPTIMIZE numbers", "0A000"),
        ("OPTIMIZE t ZORDER BY (n)", "0A000"),
    ] {
        let error = client.simple(sql).unwrap_err();
        assert_eq!(error.code, code, "{sql}: {}", error.message);
    }
    for sql in [
        "VACUUM",
        "VACUUM ANALYZE numbers",
        "VACUUM FULL pg_class",
        "VACUUM (VERBOSE, ANALYZE) t (n), v",
        "ANALYZE t",
    ] {
        client.simple(sql).unwrap();
    }
    client.simple("BEGIN; UPDATE t SET n = 2").unwrap();
    assert_eq!(client.simple("VACUUM t").unwrap_err().code, "25001");
    client.simple("ROLLBACK; BEGIN").unwrap();
    assert_eq!(client.simple("OPTIMIZE t").unwrap_err().code, "25001");
}
