//! Tables that the server writes, across restarts, crashes and sessions.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::Client;
use super::fixtures;
use super::process::Server;

pub(crate) fn serve(folder: &Path) -> Server {
    let flags = ["--warehouse", &folder.to_string_lossy()];
    Server::start(&fixtures::data(), &flags)
}

pub(crate) fn one(client: &mut Client, sql: &str) -> String {
    let answer = client.simple(sql).unwrap();
    answer.rows[0][0].clone().unwrap_or_default()
}

#[test]
fn what_is_committed_is_there_after_a_kill_and_what_is_not_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    {
        let server = serve(folder.path());
        let mut client = Client::connect(server.port);
        for sql in [
            "CREATE SCHEMA shop",
            "CREATE TABLE shop.scores AS SELECT bucket, count(*) AS n FROM numbers GROUP BY bucket",
            "CREATE VIEW shop.best AS SELECT max(n) AS n FROM shop.scores",
            "INSERT INTO shop.scores VALUES (10, 7)",
            "COMMENT ON TABLE shop.scores IS 'answers by bucket'",
            "CREATE TABLE public.gone (id int)",
            "DROP TABLE public.gone",
            "CREATE TEMP TABLE mine (id int)",
            "BEGIN",
            "INSERT INTO shop.scores VALUES (11, 8)",
            "CREATE TABLE unfinished AS SELECT 1 AS x",
        ] {
            client.simple(sql).unwrap();
        }
        // Dropped here: killed, with the transaction open.
    }
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    assert_eq!(one(&mut client, "SELECT count(*) FROM shop.scores"), "11");
    assert_eq!(one(&mut client, "SELECT sum(n) FROM shop.scores"), "10007");
    assert_eq!(one(&mut client, "SELECT n FROM shop.best"), "1000");
    assert_eq!(
        one(
            &mut client,
            "SELECT obj_description('shop.scores'::regclass)"
        ),
        "answers by bucket"
    );
    assert_eq!(
        client.simple("SELECT * FROM unfinished").unwrap_err().code,
        "42P01"
    );
    assert_eq!(
        client.simple("SELECT * FROM mine").unwrap_err().code,
        "42P01"
    );
    // One folder a table: what crashes and drops left behind was removed.
    let tables = std::fs::read_dir(folder.path().join("tables"))
        .unwrap()
        .count();
    assert_eq!(tables, 1);
    client.simple("UPDATE shop.scores SET n = n + 1").unwrap();
    assert_eq!(one(&mut client, "SELECT sum(n) FROM shop.scores"), "10018");
}

#[test]
fn folders_of_dropped_and_temporary_tables_go() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    let mut reader = Client::connect(server.port);
    for sql in [
        "CREATE TABLE old AS SELECT * FROM numbers",
        "CREATE TEMP TABLE mine AS SELECT * FROM numbers",
        "CREATE TEMP TABLE kept AS SELECT * FROM numbers",
    ] {
        client.simple(sql).unwrap();
    }
    // A cursor that has not begun to read keeps the files of its table.
    reader
        .simple("BEGIN; DECLARE c CURSOR FOR SELECT id FROM old ORDER BY id")
        .unwrap();
    client.simple("DROP TABLE old; DROP TABLE mine").unwrap();
    assert_eq!(reader.simple("FETCH 1 FROM c").unwrap().rows.len(), 1);
    assert_eq!(reader.simple("FETCH ALL FROM c").unwrap().rows.len(), 9_999);
    reader.simple("COMMIT").unwrap();
    client
        .simple("BEGIN; CREATE TABLE undone AS SELECT 1 AS x; ROLLBACK")
        .unwrap();
    let left = |inner: &str| {
        std::fs::read_dir(folder.path().join(inner))
            .unwrap()
            .count()
    };
    eventually(|| left("tables") == 0 && left("temporary") == 1);
    drop(client);
    eventually(|| left("temporary") == 0);
}

/// Waits for what happens in the background.
pub(crate) fn eventually(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "it did not come to that");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_second_server_does_not_get_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_loyalhouse"))
        .args(["serve", "--listen", "127.0.0.1:0", "--warehouse"])
        .arg(folder.path())
        .arg(fixtures::data())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("is used by another server"), "{said}");
    drop(server);
    serve(folder.path());
}

#[test]
fn two_sessions_lose_no_update() {
    // `UPDATE_ROUNDS=1000 cargo test --test it lose_no_update` does it for long.
    let rounds = std::env::var("UPDATE_ROUNDS").ok();
    let rounds: usize = rounds.and_then(|text| text.parse().ok()).unwrap_or(20);
    let folder = tempfile::tempdir().unwrap();
    let server = Arc::new(serve(folder.path()));
    let mut client = Client::connect(server.port);
    client
        .simple("CREATE TABLE counter AS SELECT 0 AS n")
        .unwrap();
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let port = server.port;
            std::thread::spawn(move || {
                let mut client = Client::connect(port);
                for _ in 0..rounds {
                    client.simple("UPDATE counter SET n = n + 1").unwrap();
                    let rows = client.simple("SELECT n FROM counter").unwrap().rows;
                    assert_eq!(rows.len(), 1, "a reader saw a half-made version");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let total = (2 * rounds).to_string();
    assert_eq!(one(&mut client, "SELECT n FROM counter"), total);
}

#[test]
fn a_transaction_keeps_others_from_its_table_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let (mut first, mut second) = (Client::connect(server.port), Client::connect(server.port));
    first.simple("CREATE TABLE a AS SELECT 1 AS n").unwrap();
    first.simple("CREATE TABLE b AS SELECT 1 AS n").unwrap();
    first.simple("BEGIN; UPDATE a SET n = n + 1").unwrap();
    // Readers go on with what is committed.
    assert_eq!(one(&mut second, "SELECT n FROM a"), "1");
    second.simple("SET statement_timeout = '200ms'").unwrap();
    let waiting = second.simple("UPDATE a SET n = 100").unwrap_err();
    assert_eq!(waiting.code, "57014");
    second.simple("RESET statement_timeout").unwrap();
    second.simple("BEGIN; UPDATE b SET n = n + 1").unwrap();
    let crossing = std::thread::spawn(move || {
        let done = second.simple("UPDATE a SET n = n * 10");
        second
            .simple(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })
            .unwrap();
        done.map_err(|error| error.code)
    });
    let here = first
        .simple("UPDATE b SET n = n * 10")
        .map_err(|error| error.code);
    first
        .simple(if here.is_ok() { "COMMIT" } else { "ROLLBACK" })
        .unwrap();
    let there = crossing.join().unwrap();
    let codes = [here.err(), there.err()];
    let deadlocks = codes
        .iter()
        .flatten()
        .filter(|code| *code == "40P01")
        .count();
    assert_eq!(
        (deadlocks, codes.iter().flatten().count()),
        (1, 1),
        "{codes:?}"
    );
}

#[test]
fn files_that_are_read_in_place_are_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    for sql in [
        "INSERT INTO numbers VALUES (1, 'x', 1)",
        "UPDATE numbers SET id = 1",
        "DELETE FROM numbers",
        "TRUNCATE numbers",
        "DROP TABLE numbers",
        "ALTER TABLE numbers RENAME TO digits",
    ] {
        let error = client.simple(sql).unwrap_err();
        assert_eq!(error.code, "0A000", "{sql}: {}", error.message);
    }
    assert_eq!(
        client
            .simple("CREATE TABLE numbers (id int)")
            .unwrap_err()
            .code,
        "42P07"
    );
    assert_eq!(one(&mut client, "SELECT count(*) FROM numbers"), "10000");
}

#[test]
fn without_a_folder_there_is_no_place_for_tables() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    let error = client.simple("CREATE TABLE t (id int)").unwrap_err();
    assert_eq!(error.code, "0A000");
}

#[test]
fn many_small_inserts_of_a_transaction_make_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    client
        .simple("CREATE TABLE rows (id serial, word text)")
        .unwrap();
    client.simple("BEGIN").unwrap();
    for round in 0..200 {
        client
            .simple(&format!("INSERT INTO rows (word) VALUES ('w{round}')"))
            .unwrap();
    }
    client.simple("SAVEPOINT half").unwrap();
    client
        .simple("INSERT INTO rows (word) VALUES ('lost')")
        .unwrap();
    client.simple("ROLLBACK TO half").unwrap();
    client.simple("COMMIT").unwrap();
    assert_eq!(
        one(
            &mut client,
            "SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || max(word) FROM rows"
        ),
        "200 200 w99"
    );
    let files = files_below(&folder.path().join("tables"), "parquet");
    assert_eq!(files, 1);
    // A statement that reads sees what its transaction added.
    client.simple("BEGIN").unwrap();
    client
        .simple("INSERT INTO rows VALUES (1000, 'seen')")
        .unwrap();
    assert_eq!(
        one(&mut client, "SELECT word FROM rows WHERE id = 1000"),
        "seen"
    );
    client
        .simple("INSERT INTO rows SELECT id + 1, 'again' FROM rows WHERE id = 1000")
        .unwrap();
    client.simple("DELETE FROM rows WHERE id = 1000").unwrap();
    client.simple("COMMIT").unwrap();
    assert_eq!(
        one(
            &mut client,
            "SELECT string_agg(word, ',') FROM rows WHERE id >= 1000"
        ),
        "again"
    );
}

#[test]
fn numbers_are_given_once_also_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    {
        let server = serve(folder.path());
        let mut client = Client::connect(server.port);
        client
            .simple("CREATE TABLE rows (id bigserial, word text)")
            .unwrap();
        client
            .simple("INSERT INTO rows (word) SELECT 'x' FROM generate_series(1, 100)")
            .unwrap();
    }
    let server = serve(folder.path());
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(server.port)).collect();
    for _ in 0..20 {
        for client in &mut clients {
            client
                .simple("INSERT INTO rows (word) VALUES ('y'), ('z')")
                .unwrap();
        }
    }
    assert_eq!(
        one(
            &mut clients[0],
            "SELECT count(*) - count(DISTINCT id) || ' ' || count(*) FROM rows"
        ),
        "0 220"
    );
}

#[test]
fn copied_rows_get_defaults_of_their_own_and_bad_ones_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    client
        .simple("CREATE TABLE t (id serial, key uuid DEFAULT gen_random_uuid(), at timestamptz DEFAULT now(), n int)")
        .unwrap();
    client.send(
        b'Q',
        b"COPY t (n) FROM STDIN WITH (FORMAT csv, ON_ERROR ignore)\0",
    );
    client.send(b'd', b"1\nx\n3\n");
    client.send(b'c', b"");
    let messages = client.until_ready();
    let text = |tag: u8| {
        let found = messages.iter().find(|message| message.tag == tag);
        String::from_utf8_lossy(&found.unwrap().body).into_owned()
    };
    assert!(text(b'N').contains("1 row was skipped due to data type incompatibility"));
    assert!(text(b'C').starts_with("COPY 2"));
    let counts = "SELECT concat_ws(' ', count(DISTINCT id), count(DISTINCT key), count(DISTINCT at), sum(n)) FROM t";
    assert_eq!(one(&mut client, counts), "2 2 1 4");
}

/// Files with an ending below a folder.
fn files_below(folder: &Path, ending: &str) -> usize {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.is_dir() {
            true => files_below(&path, ending),
            false => usize::from(path.extension().is_some_and(|found| found == ending)),
        })
        .sum()
}
