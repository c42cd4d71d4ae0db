//! Delta tables of other programs in a LOCATION.

use std::path::Path;

use serde_json::{Value, json};

use super::client::Client;
use super::fixtures;
use super::process::Server;
use super::warehouse::{eventually, one};

fn serve(location: &Path) -> Server {
    Server::start(location, &["--staleness", "100ms"])
}

/// Writes a version of a table's log.
fn commit(table: &Path, version: usize, actions: &[Value]) {
    let log = table.join("_delta_log");
    std::fs::create_dir_all(&log).unwrap();
    let lines: Vec<String> = actions.iter().map(Value::to_string).collect();
    let staged = table.join("_staged");
    std::fs::write(&staged, lines.join("\n")).unwrap();
    std::fs::rename(staged, log.join(format!("{version:020}.json"))).unwrap();
}

/// What the first version says of a table of (day date, id bigint, name text, bucket int).
fn created(keys: &[&str], configuration: &Value) -> Vec<Value> {
    let column = |name: &str, data_type: &str| json!({ "name": name, "type": data_type, "nullable": true, "metadata": {} });
    let schema = json!({ "type": "struct", "fields": [
        column("day", "date"), column("id", "long"), column("name", "string"), column("bucket", "integer"),
    ]});
    vec![
        json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 2 } }),
        json!({ "metaData": {
            "id": "6e0e2c1a-0000-4000-8000-000000000000", "format": { "provider": "parquet", "options": {} },
            "schemaString": schema.to_string(), "partitionColumns": keys, "configuration": configuration, "createdTime": 0,
        }}),
    ]
}

/// Writes a file of ten rows from `first` on, and says that it is part of the table.
fn add(table: &Path, name: &str, first: i64, day: Option<&str>) -> Value {
    let path = table.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    fixtures::write_numbers(&path, first, 10);
    json!({ "add": {
        "path": name.replace(' ', "%20"), "size": path.metadata().unwrap().len(), "modificationTime": 0, "dataChange": true,
        "partitionValues": { "day": day },
    }})
}

fn remove(name: &str) -> Value {
    json!({ "remove": { "path": name, "dataChange": true, "deletionTimestamp": 1, "partitionValues": {} } })
}

#[test]
fn a_table_of_others_is_read_at_its_newest_version() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("events");
    let mut first = created(&["day"], &json!({}));
    first.push(add(
        &table,
        "day=2024-05-01/a b.parquet",
        0,
        Some("2024-05-01"),
    ));
    first.push(add(&table, "other/b.parquet", 10, Some("2024-05-02")));
    first.push(add(&table, "c.parquet", 20, None));
    commit(&table, 0, &first);
    // A file that no version names, and a plain table beside.
    add(&table, "unnamed.parquet", 1000, None);
    fixtures::write_numbers(&folder.path().join("plain.parquet"), 0, 7);
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    assert_eq!(one(&mut client, "SELECT count(*) FROM plain"), "7");
    let answer = client.simple("SELECT * FROM events ORDER BY id").unwrap();
    assert_eq!(answer.names, ["day", "id", "name", "bucket"]);
    assert_eq!(answer.rows.len(), 30);
    assert_eq!(answer.rows[0][0].as_deref(), Some("2024-05-01"));
    assert_eq!(answer.rows[29][0], None);
    let sums = "SELECT count(*), sum(id) FROM events WHERE day = '2024-05-02'";
    assert_eq!(
        client.simple(sums).unwrap().rows[0],
        ["10", "145"].map(|text| Some(text.to_owned()))
    );
    assert_eq!(one(&mut client, "SELECT count(day) FROM events"), "20");
    assert_eq!(
        one(
            &mut client,
            "SELECT max(id) FROM events WHERE bucket >= 0 AND day IS NULL"
        ),
        "29"
    );
    // A reader of one version goes on while the next one comes.
    client
        .simple("BEGIN; DECLARE c CURSOR FOR SELECT id FROM events")
        .unwrap();
    client.simple("FETCH 1 FROM c").unwrap();
    let added = add(&table, "d.parquet", 100, Some("2024-05-03"));
    commit(&table, 1, &[remove("other/b.parquet"), added]);
    assert_eq!(client.simple("FETCH ALL FROM c").unwrap().rows.len(), 29);
    client.simple("COMMIT").unwrap();
    eventually(|| one(&mut client, "SELECT sum(id) FROM events") == (45 + 245 + 1045).to_string());
    assert_eq!(one(&mut client, sums), "0");
    for sql in [
        "INSERT INTO events (id) VALUES (1)",
        "DROP TABLE events",
        "DELETE FROM events",
    ] {
        assert_eq!(client.simple(sql).unwrap_err().code, "0A000", "{sql}");
    }
}

/// Text of bytes, five letters for four of them, as a log holds them.
fn z85(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 85] =
        b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    let mut text = String::new();
    for four in bytes.chunks_exact(4) {
        let number = u32::from_be_bytes(four.try_into().unwrap());
        for power in (0..5).rev() {
            text.push(char::from(
                LETTERS[(number / 85_u32.pow(power) % 85) as usize],
            ));
        }
    }
    text
}

/// What a log says of deleted rows: a bitmap of one container of an even number of rows, in the log itself.
fn deleted(rows: &[u16]) -> Value {
    let mut bytes = 1_681_511_377_u32.to_le_bytes().to_vec();
    bytes.extend(1_u64.to_le_bytes());
    for word in [0_u32, 12_346, 1, (rows.len() as u32 - 1) << 16, 16] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(rows.iter().flat_map(|row| row.to_le_bytes()));
    json!({
        "storageType": "i", "pathOrInlineDv": z85(&bytes), "sizeInBytes": bytes.len(), "cardinality": rows.len(),
    })
}

fn with_features(actions: &mut [Value], features: &[&str]) {
    actions[0] = json!({ "protocol": {
        "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features,
    }});
}

#[test]
fn deleted_rows_of_others_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("events");
    let mut first = created(&[], &json!({ "delta.enableDeletionVectors": "true" }));
    with_features(&mut first, &["deletionVectors"]);
    for (name, start) in [("a.parquet", 0), ("b.parquet", 10), ("c.parquet", 20)] {
        let mut added = add(&table, name, start, None);
        added["add"]["stats"] = json!("{\"numRecords\":10}");
        if name != "c.parquet" {
            added["add"]["deletionVector"] = deleted(&[0, 1, 8, 9]);
        }
        first.push(added);
    }
    commit(&table, 0, &first);
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    let expected = (2..8).chain(12..18).chain(20..30);
    let ids = client.simple("SELECT id FROM events ORDER BY id").unwrap();
    let ids: Vec<i64> = ids
        .rows
        .iter()
        .map(|row| row[0].as_deref().unwrap().parse().unwrap())
        .collect();
    assert_eq!(ids, expected.collect::<Vec<_>>());
    for (sql, answer) in [
        ("SELECT count(*) FROM events", "22"),
        ("SELECT count(id) FROM events WHERE id < 20", "12"),
        ("SELECT min(id) FROM events", "2"),
        ("SELECT max(id) FROM events WHERE id < 20", "17"),
        ("SELECT count(*) FROM events WHERE id IN (0, 2, 9, 12)", "2"),
        (
            "SELECT count(*) FROM (SELECT id FROM events LIMIT 13) AS few",
            "13",
        ),
        (
            "SELECT count(*) FROM (SELECT id FROM events WHERE id >= 0 LIMIT 30) AS all_of_them",
            "22",
        ),
        (
            "SELECT count(*) FROM events a JOIN events b USING (id)",
            "22",
        ),
    ] {
        assert_eq!(one(&mut client, sql), answer, "{sql}");
    }
    // The next version deletes more.
    let mut added = first[4].clone();
    added["add"]["deletionVector"] = deleted(&[2, 3]);
    commit(&table, 1, &[remove("c.parquet"), added]);
    eventually(|| one(&mut client, "SELECT count(*) FROM events") == "20");
    assert_eq!(
        one(
            &mut client,
            "SELECT count(*) FROM events WHERE id IN (22, 23, 24)"
        ),
        "1"
    );
    // A vector that is none is told of; nothing is answered from rows that may be deleted.
    let mut added = add(&table, "d.parquet", 30, None);
    added["add"]["stats"] = json!("{\"numRecords\":10}");
    added["add"]["deletionVector"] = deleted(&[0, 1]);
    added["add"]["deletionVector"]["pathOrInlineDv"] = json!("0000000000");
    commit(&table, 2, &[added]);
    eventually(|| client.simple("SELECT count(*) FROM events").is_err());
}

#[test]
fn mapped_columns_are_read_under_the_names_that_they_are_shown_by() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("events");
    let settings =
        json!({ "delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "4" });
    let mut first = created(&["start"], &settings);
    with_features(&mut first, &["columnMapping"]);
    let column = |id: i32, name: &str, data_type: &str, in_files: &str| {
        json!({
            "name": name, "type": data_type, "nullable": true,
            "metadata": { "delta.columnMapping.physicalName": in_files, "delta.columnMapping.id": id },
        })
    };
    // What is "id" in files is another column than the one that is shown as "id".
    let schema = json!({ "type": "struct", "fields": [
        column(1, "id", "integer", "bucket"), column(2, "start", "date", "day"),
        column(3, "label", "string", "name"), column(4, "customer", "long", "id"),
    ]});
    first[1]["metaData"]["schemaString"] = json!(schema.to_string());
    for (name, start, day) in [
        ("a.parquet", 0, "2024-05-01"),
        ("b.parquet", 10, "2024-05-02"),
    ] {
        first.push(add(&table, name, start, Some(day)));
    }
    commit(&table, 0, &first);
    let plain = folder.path().join("plain");
    let mut actions = created(&["day"], &json!({}));
    for (name, start, day) in [
        ("a.parquet", 0, "2024-05-01"),
        ("b.parquet", 10, "2024-05-02"),
    ] {
        actions.push(add(&plain, name, start, Some(day)));
    }
    commit(&plain, 0, &actions);
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    let mapped = client
        .simple("SELECT * FROM events ORDER BY customer")
        .unwrap();
    assert_eq!(mapped.names, ["id", "start", "label", "customer"]);
    let same = client
        .simple("SELECT bucket, day, name, id FROM plain ORDER BY id")
        .unwrap();
    assert_eq!(mapped.rows, same.rows);
    for (sql, same) in [
        (
            "SELECT max(customer) FROM events WHERE start = '2024-05-01'",
            "SELECT max(id) FROM plain WHERE day = '2024-05-01'",
        ),
        (
            "SELECT count(*) FROM events WHERE start > '2024-05-01' AND customer < 12",
            "SELECT count(*) FROM plain WHERE day > '2024-05-01' AND id < 12",
        ),
        (
            "SELECT sum(id) FROM events WHERE id > 1",
            "SELECT sum(bucket) FROM plain WHERE bucket > 1",
        ),
        (
            "SELECT string_agg(label, ',' ORDER BY customer) FROM events WHERE customer BETWEEN 8 AND 11",
            "SELECT string_agg(name, ',' ORDER BY id) FROM plain WHERE id BETWEEN 8 AND 11",
        ),
        (
            "SELECT count(*) FROM events e JOIN plain p ON e.customer = p.id AND e.start = p.day",
            "SELECT count(*) FROM plain",
        ),
    ] {
        assert_eq!(one(&mut client, sql), one(&mut client, same), "{sql}");
    }
}

#[test]
fn what_cannot_be_read_right_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mapped = folder.path().join("mapped");
    let mut actions = created(&[], &json!({ "delta.columnMapping.mode": "id" }));
    actions.push(add(&mapped, "a.parquet", 0, None));
    commit(&mapped, 0, &actions);
    let cloned = folder.path().join("cloned");
    let mut actions = created(&[], &json!({}));
    actions.push(json!({ "add": {
        "path": "file:///elsewhere/a.parquet", "size": 1, "modificationTime": 0, "dataChange": true, "partitionValues": {},
    }}));
    commit(&cloned, 0, &actions);
    let future = folder.path().join("future");
    let mut actions = created(&[], &json!({}));
    actions[0] = json!({ "protocol": {
        "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["variantType"], "writerFeatures": ["variantType"],
    }});
    commit(&future, 0, &actions);
    let empty = folder.path().join("empty/_delta_log");
    std::fs::create_dir_all(&empty).unwrap();
    std::fs::write(empty.join("_last_checkpoint"), "{}").unwrap();
    fixtures::write_numbers(&folder.path().join("plain.parquet"), 0, 7);
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    for table in ["mapped", "cloned", "future"] {
        let error = client
            .simple(&format!("SELECT * FROM {table}"))
            .unwrap_err();
        assert_eq!(error.code, "0A000", "{table}: {}", error.message);
    }
    assert!(client.simple("SELECT * FROM empty").is_err());
    // The others are read as ever.
    assert_eq!(one(&mut client, "SELECT count(*) FROM plain"), "7");
}

#[test]
fn a_table_written_here_is_read_by_a_server_that_finds_it_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = super::warehouse::serve(folder.path());
    let mut writer = Client::connect(warehouse.port);
    writer
        .simple(
            "CREATE TABLE t AS SELECT id, name, 1.25::numeric(10,2) AS n, 2.5::numeric AS free,
             '2024-05-01'::date AS d, '12:30'::time AS at, '2024-05-01 12:00+02'::timestamptz AS z,
             '6e0e2c1a-0000-4000-8000-000000000000'::uuid AS u, ARRAY[1, 2] AS a, '{\"k\": 1}'::jsonb AS j FROM numbers",
        )
        .unwrap();
    writer.simple("DELETE FROM t WHERE id >= 10").unwrap();
    let id = std::fs::read_dir(folder.path().join("tables"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .next()
        .unwrap();
    let reader = serve(&folder.path().join("tables"));
    let mut reader = Client::connect(reader.port);
    let there = reader
        .simple(&format!("SELECT * FROM \"{id}\" ORDER BY id"))
        .unwrap();
    let here = writer.simple("SELECT * FROM t ORDER BY id").unwrap();
    assert_eq!((there.names, there.rows), (here.names, here.rows));
}
