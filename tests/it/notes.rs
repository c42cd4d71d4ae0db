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

/// Name, table's OID, column's number and type's OID of each column of a statement's result.
fn described(client: &mut Client, sql: &str) -> Vec<(String, u32, i16, u32)> {
    client.parse("", sql);
    client.send(b'D', b"S\0");
    client.send(b'S', b"");
    let messages = client.until_ready();
    let body = &messages
        .iter()
        .find(|message| message.tag == b'T')
        .unwrap()
        .body;
    let mut rest = &body[2..];
    let mut columns = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0).unwrap();
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        let fixed = &rest[end + 1..];
        let word = |at: usize| u32::from_be_bytes(fixed[at..at + 4].try_into().unwrap());
        let number = i16::from_be_bytes(fixed[4..6].try_into().unwrap());
        columns.push((name, word(0), number, word(6)));
        rest = &fixed[18..];
    }
    columns
}

#[test]
fn columns_tell_their_table_and_their_type() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    let sql = "SELECT 'numbers'::regclass::oid";
    let oid = client.simple(sql).unwrap().rows[0][0].clone().unwrap();
    let oid: u32 = oid.parse().unwrap();
    let origins = |client: &mut Client, sql: &str| -> Vec<(u32, i16)> {
        let columns = described(client, sql).into_iter();
        columns
            .map(|(_, table, number, _)| (table, number))
            .collect()
    };
    let sql = "SELECT n.id AS other, id + 1, count(*) OVER (), oid, relkind FROM (SELECT * FROM numbers) n JOIN pg_class ON oid = id WHERE id > 3 ORDER BY 2";
    assert_eq!(
        origins(&mut client, sql),
        [(oid, 1), (0, 0), (0, 0), (1259, 1), (1259, 17)]
    );
    let sql = "SELECT id FROM numbers UNION SELECT 1";
    assert_eq!(origins(&mut client, sql), [(0, 0)]);

    let sql = "SELECT oid::regclass, relname, relacl, xmin, reltype::regtype, ARRAY[oid], relkind, relnamespace::regnamespace FROM pg_class";
    let types: Vec<u32> = described(&mut client, sql)
        .into_iter()
        .map(|column| column.3)
        .collect();
    assert_eq!(types, [2205, 19, 1034, 28, 2206, 1028, 18, 4089]);
    let sql = "SELECT proargtypes, prorettype, prosupport, array_agg(oid), max(oid), CASE WHEN true THEN NULL ELSE prorettype END FROM pg_proc GROUP BY 1, 2, 3";
    let types: Vec<u32> = described(&mut client, sql)
        .into_iter()
        .map(|column| column.3)
        .collect();
    assert_eq!(types, [30, 26, 24, 1028, 26, 26]);
}

#[test]
fn objects_travel_as_their_oid_in_binary() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    client.parse(
        "",
        "SELECT 'pg_class'::regclass, proargtypes FROM pg_proc WHERE proname = 'date_bin' ORDER BY oid LIMIT 1",
    );
    // One format for all: binary.
    client.send(b'B', &[0, 0, 0, 0, 0, 0, 0, 1, 0, 1]);
    client.execute("", 0);
    client.send(b'S', b"");
    let messages = client.until_ready();
    let row = &messages
        .iter()
        .find(|message| message.tag == b'D')
        .unwrap()
        .body;
    assert_eq!(row[2..10], [0, 0, 0, 4, 0, 0, 4, 235]);
    // One dimension without nulls, of oids, three from zero.
    let words = [1, 0, 26, 3, 0, 4, 1186, 4, 1114, 4, 1114_i32];
    let vector: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    assert_eq!(row[14..], vector);
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
