//! Files that statements leave behind when they fail, are taken back, or are killed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::client::Client;
use super::fixtures;
use super::process::Server;
use super::warehouse::{eventually, one, serve};

/// The one table folder of a warehouse.
pub(crate) fn table_folder(warehouse: &Path) -> PathBuf {
    let mut folders = std::fs::read_dir(warehouse.join("tables")).unwrap();
    let folder = folders.next().unwrap().unwrap().path();
    assert!(folders.next().is_none(), "there is more than one table");
    folder
}

/// The names of the data files in a table's folder.
pub(crate) fn data_files(folder: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "_delta_log").collect()
}

#[test]
fn what_a_transaction_wrote_and_took_back_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    client
        .simple("CREATE TABLE t AS SELECT id FROM numbers")
        .unwrap();
    let table = table_folder(folder.path());
    let before = data_files(&table);
    assert_eq!(before.len(), 1);
    client
        .simple("BEGIN; INSERT INTO t VALUES (-1); TABLE t LIMIT 1; INSERT INTO t VALUES (-2); TABLE t LIMIT 1")
        .unwrap();
    assert_eq!(data_files(&table).len(), 3);
    client.simple("ROLLBACK").unwrap();
    eventually(|| data_files(&table) == before);
    // A savepoint that is taken back, and a statement that fails after it has written.
    client
        .simple("BEGIN; SAVEPOINT s; UPDATE t SET id = id + 1; ROLLBACK TO s")
        .unwrap();
    eventually(|| data_files(&table) == before);
    let failed = client.simple("INSERT INTO t SELECT 1 / (id - 5000) FROM t ORDER BY id");
    assert_eq!(failed.unwrap_err().code, "22012");
    client.simple("ROLLBACK").unwrap();
    eventually(|| data_files(&table) == before);
    // What one statement wrote and the next replaced never is in a version.
    client
        .simple("BEGIN; INSERT INTO t VALUES (-1); DELETE FROM t WHERE id = -1; COMMIT")
        .unwrap();
    eventually(|| data_files(&table) == before);
    assert_eq!(one(&mut client, "SELECT count(*) FROM t"), "10000");
}

#[test]
fn a_cursor_reads_what_its_transaction_has_replaced_since() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    client
        .simple("CREATE TABLE t (id int); BEGIN; INSERT INTO t SELECT id FROM numbers")
        .unwrap();
    client
        .simple("DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id; UPDATE t SET id = 0")
        .unwrap();
    let rows = client.simple("FETCH ALL FROM c").unwrap().rows;
    assert_eq!(rows.len(), 10_000);
    assert_ne!(rows[9_999][0].as_deref(), Some("0"));
    client.simple("COMMIT").unwrap();
    assert_eq!(one(&mut client, "SELECT max(id) FROM t"), "0");
}

#[test]
fn what_a_kill_cut_off_is_removed_and_files_of_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let table;
    {
        let server = serve(folder.path());
        let mut client = Client::connect(server.port);
        client
            .simple("CREATE TABLE t AS SELECT id FROM numbers")
            .unwrap();
        client.simple("DELETE FROM t WHERE id = 1").unwrap();
        table = table_folder(folder.path());
        client
            .simple("BEGIN; INSERT INTO t SELECT id FROM numbers; TABLE t LIMIT 1")
            .unwrap();
        assert_eq!(data_files(&table).len(), 3);
        // Dropped here: killed, with the transaction open.
    }
    let unfinished = [
        "part-00000000000000000000000000000000.parquet#1",
        ".staged-00000000000000000000000000000000",
        "_delta_log/.staged-00000000000000000000000000000000",
    ];
    let foreign = [
        "part-00001-1d3bde2c-7c9f-4c4b-9d4e-0a0f5e8f5c11-c000.snappy.parquet",
        "_change_data/cdc.parquet",
    ];
    std::fs::create_dir(table.join("_change_data")).unwrap();
    for name in unfinished.iter().chain(&foreign) {
        std::fs::write(table.join(name), "not finished").unwrap();
    }
    let server = serve(folder.path());
    for name in unfinished {
        assert!(!table.join(name).exists(), "{name}");
    }
    // The rows, those before the DELETE for readers of that version, and what others write.
    eventually(|| data_files(&table).len() == 4);
    for name in foreign {
        assert!(table.join(name).exists(), "{name}");
    }
    let mut client = Client::connect(server.port);
    assert_eq!(one(&mut client, "SELECT count(*) FROM t"), "9999");
}

#[test]
fn a_client_that_leaves_in_a_copy_leaves_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    client.simple("CREATE TABLE t (id int)").unwrap();
    let table = table_folder(folder.path());
    let mut leaver = Client::connect(server.port);
    leaver.send(b'Q', b"COPY t FROM STDIN\0");
    let rows = "1\n".repeat(100_000);
    leaver.send(b'd', rows.as_bytes());
    drop(leaver);
    // The table is free again when what the COPY held has ended.
    client.simple("INSERT INTO t VALUES (1)").unwrap();
    eventually(|| data_files(&table).len() == 1);
    assert_eq!(one(&mut client, "SELECT count(*) FROM t"), "1");
}

#[test]
fn a_server_over_files_alone_has_nothing_to_remove() {
    // Files in a LOCATION are never touched, however they are called.
    let folder = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let name = "part-0123456789abcdef0123456789abcdef.parquet";
    fixtures::write_numbers(&data.path().join(name), 1, 10);
    let flags = ["--warehouse", &folder.path().to_string_lossy()];
    let server = Server::start(data.path(), &flags);
    let mut client = Client::connect(server.port);
    assert_eq!(client.simple("VACUUM").unwrap().tag, "VACUUM");
    assert!(data.path().join(name).exists());
}
