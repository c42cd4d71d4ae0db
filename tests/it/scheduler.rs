//! What runs by itself, with a real clock: schedules, failures, kills, and who is told.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;

use super::client::Client;
use super::door::House;
use super::fixtures;
use super::login::Login;
use super::process::Server;

fn serve(folder: &Path) -> Server {
    let flags = ["--warehouse", &folder.to_string_lossy()];
    Server::start(&fixtures::data(), &flags)
}

fn run(client: &mut Client, statements: &[&str]) {
    for sql in statements {
        client
            .simple(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

fn one(client: &mut Client, sql: &str) -> String {
    let answer = client.simple(sql).unwrap();
    answer.rows[0][0].clone().unwrap_or_default()
}

/// A session that hears of a channel.
struct Listener(Client);

impl Listener {
    fn new(server: &Server, channel: &str) -> Self {
        let mut client = Client::connect(server.port);
        client.simple(&format!("LISTEN {channel}")).unwrap();
        Self(client)
    }

    /// Waits for the next notification; its payload.
    fn hear(&mut self) -> String {
        let message = self.0.message().unwrap();
        assert_eq!(message.tag, b'A');
        let text = String::from_utf8(message.body[4..].to_vec()).unwrap();
        text.split('\0').nth(1).unwrap().to_owned()
    }
}

#[test]
fn a_schedule_refreshes_and_tells_who_listens() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    let mut listener = Listener::new(&server, "kpi");
    run(
        &mut client,
        &[
            "CREATE SCHEMA fresh",
            "CREATE TABLE answers (score int)",
            "INSERT INTO answers VALUES (10), (9), (3)",
            "CREATE MATERIALIZED VIEW fresh.score WITH (schedule = '1 second', notify = 'kpi') AS \
             SELECT nps(score) AS nps, count(*) AS n FROM answers",
        ],
    );
    assert_eq!(listener.hear(), "fresh.score");
    client.simple("INSERT INTO answers VALUES (10)").unwrap();
    // The one that goes on may have begun before the row was there.
    assert_eq!(listener.hear(), "fresh.score");
    assert_eq!(listener.hear(), "fresh.score");
    let shown = client.simple("SELECT nps, n FROM fresh.score").unwrap();
    assert_eq!(shown.rows, [[Some("50".to_owned()), Some("4".to_owned())]]);
    let status = "SELECT status || ' ' || failures || ' ' || (next_run > last_success) \
                  FROM loyalhouse.matviews";
    let shown = one(&mut client, status);
    assert!(
        ["ok 0 true", "running 0 true", "waiting 0 true"].contains(&&*shown),
        "{shown}"
    );
}

#[test]
fn a_killed_server_loses_and_doubles_no_run() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let server = serve(folder.path());
        let mut client = Client::connect(server.port);
        let mut listener = Listener::new(&server, "kpi");
        if round == 0 {
            run(
                &mut client,
                &[
                    "CREATE MATERIALIZED VIEW ticks WITH (schedule = '1 second', mode = 'append', \
                     notify = 'kpi') AS SELECT count(*) AS n FROM numbers",
                    "SELECT cron.schedule('tick', '1 second', 'SELECT count(*) FROM numbers')",
                ],
            );
        }
        listener.hear();
        listener.hear();
        // Dropped here: killed.
    }
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    run(
        &mut client,
        &[
            "ALTER MATERIALIZED VIEW ticks SUSPEND",
            "SELECT cron.unschedule('tick')",
        ],
    );
    let mut listener = Listener::new(&server, "kpi");
    client
        .simple("ALTER MATERIALIZED VIEW ticks SET (notify = 'kpi')")
        .unwrap();
    client.simple("REFRESH MATERIALIZED VIEW ticks").unwrap();
    client
        .simple("ALTER MATERIALIZED VIEW ticks RESUME")
        .unwrap();
    listener.hear();
    client
        .simple("ALTER MATERIALIZED VIEW ticks SUSPEND")
        .unwrap();
    let runs = client
        .simple(
            "SELECT run_id, scheduled_at, status FROM loyalhouse.matview_refreshes \
             WHERE trigger <> 'manual' AND status NOT IN ('starting', 'running') ORDER BY run_id",
        )
        .unwrap();
    let times: BTreeSet<_> = runs.rows.iter().map(|row| row[1].clone()).collect();
    assert_eq!(
        times.len(),
        runs.rows.len(),
        "a time ran twice: {:?}",
        runs.rows
    );
    // Each refresh that is told of has added its row, and no other has.
    let succeeded = "SELECT count(*) FROM loyalhouse.matview_refreshes WHERE status = 'succeeded'";
    let (rows, told) = (
        one(&mut client, "SELECT count(*) FROM ticks"),
        one(&mut client, succeeded),
    );
    assert_eq!(rows, told);
    let runs = client
        .simple("SELECT status, return_message FROM cron.job_run_details")
        .unwrap();
    assert!(runs.rows.len() >= 3, "{:?}", runs.rows);
    for row in &runs.rows {
        let known = [("succeeded", "SELECT 1"), ("failed", "server restarted")];
        let row = (row[0].as_deref().unwrap(), row[1].as_deref().unwrap());
        assert!(known.contains(&row), "{row:?}");
    }
}

#[test]
fn what_stands_on_a_failed_view_keeps_its_rows_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    let mut alarm = Listener::new(&server, "alarm");
    let mut done = Listener::new(&server, "done");
    run(
        &mut client,
        &[
            "CREATE TABLE divisors AS SELECT 1 AS d",
            "CREATE MATERIALIZED VIEW base WITH (notify = 'done') AS SELECT d FROM divisors",
            "CREATE MATERIALIZED VIEW middle WITH (after = 'public.base', \
             on_failure = 'notify:alarm', suspend_after_failures = 2) AS SELECT 100 / d AS q FROM base",
            "CREATE MATERIALIZED VIEW top WITH (after = 'middle', notify = 'done') AS \
             SELECT sum(q) AS total FROM middle",
            "UPDATE divisors SET d = 4",
            "SELECT cron.run_now('public.base')",
        ],
    );
    assert_eq!(done.hear(), "public.base");
    assert_eq!(done.hear(), "public.top");
    assert_eq!(one(&mut client, "SELECT total FROM top"), "25");
    run(
        &mut client,
        &[
            "UPDATE divisors SET d = 0",
            "SELECT cron.run_now('public.base')",
        ],
    );
    assert_eq!(done.hear(), "public.base");
    let heard = alarm.hear();
    for part in [
        "\"event\":\"failed\"",
        "\"name\":\"public.middle\"",
        "\"message\":\"division by zero\"",
    ] {
        assert!(heard.contains(part), "{heard}");
    }
    assert_eq!(one(&mut client, "SELECT q FROM middle"), "25");
    assert_eq!(one(&mut client, "SELECT total FROM top"), "25");
    let why = "SELECT status || ': ' || error FROM loyalhouse.matview_refreshes \
               WHERE view = 'public.top' ORDER BY run_id DESC LIMIT 1";
    client.simple("SELECT cron.run_now('public.base')").unwrap();
    assert_eq!(done.hear(), "public.base");
    // The second failure is told of as what follows from it.
    let heard = alarm.hear();
    assert!(heard.contains("\"event\":\"suspended\""), "{heard}");
    assert_eq!(
        one(&mut client, why),
        "skipped: the refresh of public.middle failed"
    );
    let state = "SELECT status || ' ' || failures FROM loyalhouse.matviews WHERE name = 'middle'";
    assert_eq!(one(&mut client, state), "suspended 2");
}

/// Answers one request of a webhook; its head and its body.
fn answer_post(listener: &TcpListener) -> (String, String) {
    let (mut socket, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0);
    }
    let head = head.to_ascii_lowercase();
    let (_, rest) = head.split_once("content-length: ").unwrap();
    let length = rest.split('\r').next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    socket
        .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        .unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[test]
fn an_alert_is_told_of_once_when_it_begins_and_once_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let mut client = Client::connect(server.port);
    let mut ops = Listener::new(&server, "ops");
    let hook = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", hook.local_addr().unwrap());
    let create = format!(
        "CREATE ALERT low WITH (schedule = '1 second', notify = 'ops', webhook = '{url}', \
         webhook_secret = 'Jefe', message = 'The sky falls') WHEN (SELECT min(n) FROM levels) < 30"
    );
    run(
        &mut client,
        &["CREATE TABLE levels AS SELECT 20 AS n", &create],
    );
    let heard = ops.hear();
    for part in [
        "\"event\":\"firing\"",
        "\"name\":\"low\"",
        "\"message\":\"The sky falls\"",
    ] {
        assert!(heard.contains(part), "{heard}");
    }
    let (head, body) = answer_post(&hook);
    assert_eq!(body, heard);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"Jefe");
    let sign = ring::hmac::sign(&key, body.as_bytes());
    let sign = sign
        .as_ref()
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let header = format!("x-loyalhouse-signature: sha256={sign}\r\n");
    assert!(head.contains(&header), "{head}");
    assert_eq!(
        one(&mut client, "SELECT firing FROM loyalhouse.alerts"),
        "t"
    );
    client.simple("UPDATE levels SET n = 40").unwrap();
    // Nothing else was told of in between.
    let heard = ops.hear();
    assert!(heard.contains("\"event\":\"resolved\""), "{heard}");
    assert_eq!(answer_post(&hook).1, heard);
    assert_eq!(
        one(&mut client, "SELECT firing FROM loyalhouse.alerts"),
        "f"
    );
}

#[test]
fn a_command_runs_as_its_owner_and_others_do_not_see_it() {
    let house = House::new();
    let server = house.serve();
    let mut admin = Login::as_user(server.port, "admin", "open sesame");
    for sql in [
        "CREATE ROLE ana LOGIN PASSWORD 'a'",
        "CREATE ROLE bob LOGIN PASSWORD 'b'",
        "CREATE TABLE secret AS SELECT 7 AS n",
        "SELECT cron.schedule('theirs', '0 0 1 1 *', 'SELECT 1')",
    ] {
        admin
            .ask(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let mut ana = Login::as_user(server.port, "ana", "a");
    let scheduled = "SELECT cron.schedule('mine', '1 second', 'SELECT * FROM secret') > 0";
    assert_eq!(ana.ask(scheduled).unwrap(), [["t"]]);
    let failed = "SELECT count(*) > 0 FROM cron.job_run_details WHERE status = 'failed' \
                  AND return_message LIKE '%permission denied for%secret%'";
    // The first run ends within seconds; each question is a round trip.
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while ana.ask(failed).unwrap() != [["t"]] {
        assert!(
            std::time::Instant::now() < deadline,
            "{:?}",
            ana.ask("SELECT * FROM cron.job_run_details")
        );
    }
    let names = "SELECT jobname FROM cron.job ORDER BY 1";
    assert_eq!(ana.ask(names).unwrap(), [["mine"]]);
    assert_eq!(admin.ask(names).unwrap(), [["mine"], ["theirs"]]);
    let mut bob = Login::as_user(server.port, "bob", "b");
    assert!(bob.ask(names).unwrap().is_empty());
    assert!(
        bob.ask("SELECT * FROM cron.job_run_details")
            .unwrap()
            .is_empty()
    );
    for sql in [
        "SELECT cron.unschedule('mine')",
        "SELECT cron.run_now('mine')",
    ] {
        assert_eq!(bob.ask(sql).unwrap_err().code, "42704", "{sql}");
    }
    let other = "SELECT cron.schedule_in_database('x', '@daily', 'SELECT 1', 'loyalhouse', username => 'admin')";
    assert_eq!(bob.ask(other).unwrap_err().code, "42501");
    assert_eq!(ana.ask("SELECT cron.unschedule('mine')").unwrap(), [["t"]]);
}

/// A Parquet file of a query's rows.
fn write_parquet(sql: &str, path: &Path) {
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_loyalhouse"))
        .args(["query", "--format", "parquet", sql])
        .arg(fixtures::data())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    // Readers never see half a file.
    let half = path.with_extension("half");
    std::fs::write(&half, made.stdout).unwrap();
    std::fs::rename(half, path).unwrap();
}

#[test]
fn a_kpi_table_follows_the_files_of_its_folder_also_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    std::fs::create_dir_all(lake.join("answers")).unwrap();
    let warehouse = folder.path().join("warehouse");
    let month = |month: u8, score: u8| {
        format!("SELECT timestamp '2026-{month:02}-15 10:00:00' AS answered_at, {score} AS score")
    };
    write_parquet(&month(1, 10), &lake.join("answers/january.parquet"));
    let flags = [
        "--warehouse",
        &warehouse.to_string_lossy(),
        "--staleness",
        "100ms",
    ];
    let wait_for = |server: &Server, months: &str| {
        let mut client = Client::connect(server.port);
        let mut listener = Listener::new(server, "kpi");
        // A refresh that is told of has looked at the files a moment before; some may have come since.
        for _ in 0..20 {
            listener.hear();
            if one(&mut client, "SELECT count(*) FROM kpi.nps_by_month") == months {
                return;
            }
        }
        panic!("the new month did not come");
    };
    let finished = "SELECT run_id, status FROM loyalhouse.matview_refreshes \
                    WHERE status IN ('succeeded', 'failed', 'skipped') ORDER BY run_id";
    let before = {
        let server = Server::start(&lake, &flags);
        let mut client = Client::connect(server.port);
        run(
            &mut client,
            &[
                "CREATE SCHEMA kpi",
                "CREATE MATERIALIZED VIEW kpi.nps_by_month \
                 WITH (schedule = '2 seconds', notify = 'kpi') AS \
                 SELECT date_trunc('month', answered_at) AS month, nps(score) AS nps, \
                 count(*) AS answers FROM answers GROUP BY 1",
            ],
        );
        assert_eq!(one(&mut client, "SELECT nps FROM kpi.nps_by_month"), "100");
        write_parquet(&month(2, 0), &lake.join("answers/february.parquet"));
        wait_for(&server, "2");
        client.simple(finished).unwrap().rows
        // Dropped here: killed.
    };
    let server = Server::start(&lake, &flags);
    write_parquet(&month(3, 8), &lake.join("answers/march.parquet"));
    wait_for(&server, "3");
    let mut client = Client::connect(server.port);
    let after = client.simple(finished).unwrap().rows;
    assert!(after.len() > before.len());
    assert_eq!(after[..before.len()], before);
    let shown = client
        .simple("SELECT nps FROM kpi.nps_by_month ORDER BY month")
        .unwrap();
    let nps: Vec<_> = shown.rows.iter().map(|row| row[0].as_deref()).collect();
    assert_eq!(nps, [Some("100"), Some("-100"), Some("0")]);
}
