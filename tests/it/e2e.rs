//! The real server: protocol, cancel, limits, live folders, shutdown.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::client::{self, Client, cells, report};
use super::fixtures;
use super::process::Server;

/// A join that produces more rows than any machine can count.
const ENDLESS: &str = "SELECT count(*) FROM numbers a, numbers b, numbers c, numbers d WHERE a.id + b.id + c.id < d.id";

#[test]
fn a_cancel_request_stops_the_work_and_the_session_goes_on() {
    let server = Server::start(&fixtures::data(), &[]);
    let mut client = Client::connect(server.port);
    for sql in [
        ENDLESS,
        "SELECT a.name FROM numbers a, numbers b, numbers c ORDER BY md5(a.name || b.name || c.name)",
    ] {
        client.send(b'Q', format!("{sql}\0").as_bytes());
        wait_until_active(&server, client.pid);
        client::cancel(server.port, client.pid, &client.secret);
        let messages = client.until_ready();
        let error = messages
            .iter()
            .find(|message| message.tag == b'E')
            .map(report)
            .unwrap();
        assert_eq!(error.code, "57014");
        assert_eq!(error.message, "canceling statement due to user request");
        server.wait_until_idle();
        assert_eq!(
            client.simple("SELECT 1").unwrap().rows,
            [[Some("1".to_owned())]]
        );
    }
}

#[test]
fn a_cancel_stops_a_result_that_is_not_read() {
    let server = Server::start(&fixtures::data(), &[]);
    let mut client = Client::connect(server.port);
    client.send(b'Q', b"SELECT a.name, b.name FROM numbers a, numbers b\0");
    assert_eq!(client.message().unwrap().tag, b'T');
    client::cancel(server.port, client.pid, &client.secret);
    server.wait_until_idle();
    let messages = client.until_ready();
    let error = messages
        .iter()
        .find(|message| message.tag == b'E')
        .map(report)
        .unwrap();
    assert_eq!(error.code, "57014");
    assert!(client.simple("SELECT 1").is_ok());
}

#[test]
fn statement_timeout_stops_the_work() {
    let server = Server::start(&fixtures::data(), &[]);
    let mut client = Client::connect(server.port);
    client.simple("SET statement_timeout = '200ms'").unwrap();
    for extended in [false, true] {
        let error = match extended {
            false => client.simple(ENDLESS).unwrap_err(),
            true => client.extended(ENDLESS, &[]).unwrap_err(),
        };
        assert_eq!(
            error.message,
            "canceling statement due to statement timeout"
        );
        server.wait_until_idle();
    }
    assert!(client.simple("SELECT 1").is_ok());
}

/// A fit for each of many groups comes out of one call that does not return in between.
#[test]
fn statement_timeout_stops_fits() {
    let server = Server::start(&fixtures::data(), &[]);
    let mut client = Client::connect(server.port);
    client.simple("SET statement_timeout = '1s'").unwrap();
    let fits = "SELECT count(fit) FROM (SELECT n % 50000, bgnbd_fit(n % 7, CASE n % 7 WHEN 0 THEN 0 ELSE n % 31 END, 40 + n % 11) AS fit
                FROM generate_series(1, 1000000) AS s(n) GROUP BY 1) AS fits";
    let error = client.simple(fits).unwrap_err();
    assert_eq!(
        error.message,
        "canceling statement due to statement timeout"
    );
    server.wait_until_idle();
    assert!(client.simple("SELECT 1").is_ok());
}

#[test]
fn others_are_answered_while_joins_do_not_return() {
    let server = Server::start(&fixtures::data(), &[]);
    let mut hogs: Vec<Client> = (0..6).map(|_| Client::connect(server.port)).collect();
    for hog in &mut hogs {
        hog.send(b'Q', format!("{ENDLESS}\0").as_bytes());
        wait_until_active(&server, hog.pid);
    }
    let mut bystander = Client::connect(server.port);
    for _ in 0..10 {
        assert!(
            bystander
                .simple("SELECT count(*), max(name) FROM numbers")
                .is_ok()
        );
    }
    drop(hogs);
    server.wait_until_idle();
}

#[test]
fn a_vanished_client_stops_its_work() {
    let server = Server::start(&fixtures::data(), &[]);
    let mut client = Client::connect(server.port);
    client.send(b'Q', format!("{ENDLESS}\0").as_bytes());
    wait_until_active(&server, client.pid);
    drop(client);
    server.wait_until_idle();
}

#[test]
fn backends_are_cancelled_and_terminated_by_functions() {
    let server = Server::start(&fixtures::data(), &[]);
    let mut victim = Client::connect(server.port);
    let mut other = Client::connect(server.port);
    victim.send(b'Q', format!("{ENDLESS}\0").as_bytes());
    wait_until_active(&server, victim.pid);
    let answer = other
        .simple(&format!("SELECT pg_cancel_backend({})", victim.pid))
        .unwrap();
    assert_eq!(answer.rows, [[Some("t".to_owned())]]);
    let messages = victim.until_ready();
    assert!(
        messages
            .iter()
            .any(|message| message.tag == b'E' && report(message).code == "57014")
    );
    other
        .simple(&format!("SELECT pg_terminate_backend({})", victim.pid))
        .unwrap();
    let last = victim.until_ready();
    assert_eq!(
        last.iter().map(|message| message.tag).collect::<Vec<_>>(),
        [b'E']
    );
    assert_eq!(report(&last[0]).code, "57P01");
    assert_eq!(report(&last[0]).severity, "FATAL");
    let answer = other.simple("SELECT pg_cancel_backend(1000000)").unwrap();
    assert_eq!(answer.rows, [[Some("f".to_owned())]]);
}

#[test]
fn a_portal_gives_as_many_rows_as_it_is_asked_for() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    client.simple("BEGIN").unwrap();
    client.parse("", "SELECT id FROM numbers ORDER BY id");
    client.bind("p", "", &[]);
    for _ in 0..3 {
        client.execute("p", 4_000);
    }
    client.send(b'S', b"");
    let messages = client.until_ready();
    let mut pages = vec![Vec::new()];
    let mut ends = Vec::new();
    for message in &messages {
        match message.tag {
            b'D' => pages
                .last_mut()
                .unwrap()
                .push(cells(&message.body)[0].clone().unwrap()),
            b's' | b'C' => {
                ends.push(message.tag);
                pages.push(Vec::new());
            }
            _ => {}
        }
    }
    assert_eq!(
        pages.iter().map(Vec::len).collect::<Vec<_>>(),
        [4_000, 4_000, 2_000, 0]
    );
    assert_eq!(ends, [b's', b's', b'C']);
    let all: Vec<String> = pages.concat();
    assert!(
        all.iter()
            .enumerate()
            .all(|(index, id)| *id == index.to_string())
    );
    client.simple("COMMIT").unwrap();
}

#[test]
fn an_absurd_fetch_size_is_only_a_count() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    for rows_max in [i32::MAX, -1, i32::MIN] {
        client.parse("", "SELECT id FROM numbers");
        client.bind("", "", &[]);
        client.execute("", rows_max);
        client.send(b'S', b"");
        let rows = client
            .until_ready()
            .iter()
            .filter(|message| message.tag == b'D')
            .count();
        assert_eq!(rows, 10_000, "{rows_max}");
    }
}

#[test]
fn errors_point_at_the_word_that_is_wrong() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    for (sql, position) in [
        ("SELECT id, nam FROM numbers", "12"),
        ("SELECT id FROM numbers n WHERE n.nam = 1", "32"),
        ("SELECT 1; SELECT id FROM numbrs", "26"),
        ("SELECT no_such(1)", "8"),
        ("SELECT 1 FROM", "14"),
    ] {
        client.send(b'Q', format!("{sql}\0").as_bytes());
        let messages = client.until_ready();
        let error = messages.iter().find(|message| message.tag == b'E').unwrap();
        assert_eq!(report(error).position, position, "{sql}: {}", report(error));
    }
}

#[test]
fn an_error_skips_to_sync_and_fails_the_transaction() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    client.simple("BEGIN").unwrap();
    client.parse("", "SELECT * FROM no_such_table");
    client.bind("", "", &[]);
    client.execute("", 0);
    client.send(b'S', b"");
    let messages = client.until_ready();
    assert_eq!(
        messages
            .iter()
            .map(|message| message.tag)
            .collect::<Vec<_>>(),
        [b'E', b'Z']
    );
    assert_eq!(report(&messages[0]).code, "42P01");
    assert_eq!(messages[1].body, b"E");
    assert_eq!(client.simple("SELECT 1").unwrap_err().code, "25P02");
    assert_eq!(client.simple("COMMIT").unwrap().tag, "ROLLBACK");
    assert!(client.simple("SELECT 1").is_ok());
}

#[test]
fn messages_that_lie_are_answered_or_end_the_connection() {
    let server = Server::shared();
    // A body that is shorter than its counts say is an error, and the connection stays in step.
    let mut client = Client::connect(server.port);
    for (tag, body) in [
        (b'B', &b"\0\0\0\x05"[..]),
        (b'P', b"x"),
        (b'D', b"X\0"),
        (b'E', b"\0\0"),
        (b'B', b"\0\0\0\0\x7f\xff"),
    ] {
        client.send(tag, body);
        client.send(b'S', b"");
        let messages = client.until_ready();
        assert_eq!(report(&messages[0]).code, "08P01", "{}", tag as char);
    }
    client.send(b'Q', b"SELECT '\xff'\0");
    assert_eq!(report(&client.until_ready()[0]).code, "22021");
    client.send(b'd', b"data outside a COPY");
    assert!(client.simple("SELECT 1").is_ok());
    // A length or type that cannot be ends it.
    for header in [
        &b"Q\0\0\0\0"[..],
        b"Q\0\0\0\x03",
        b"Q\xff\xff\xff\xff",
        b"Q\x40\0\0\0",
        b"\x01\0\0\0\x04",
    ] {
        let mut client = Client::connect(server.port);
        client.socket.write_all(header).unwrap();
        let last = client.until_ready();
        assert_eq!(report(&last[0]).severity, "FATAL", "{header:?}");
        assert_eq!(last.len(), 1);
    }
    assert!(Client::connect(server.port).simple("SELECT 1").is_ok());
}

#[test]
fn nothing_runs_before_the_login() {
    let server = Server::shared();
    for bytes in [
        &b"\0\0\0\x04"[..],
        b"\xff\xff\xff\xff",
        b"\0\0\x40\0",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\x08\0\x03\0\0",
        b"\0\0\0\x09\0\x03\0\0\0",
        b"\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x20\0\x03\0\0user\0a\0\0",
    ] {
        let mut socket = client::open(server.port);
        socket.write_all(bytes).unwrap();
        // The server may reset a connection it refuses, before this side has said all.
        let _reset = socket.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _reset = socket.read_to_end(&mut answer);
        assert!(
            !answer.contains(&b'Z') || answer.first() == Some(&b'E'),
            "{bytes:?} got {answer:?}"
        );
        assert!(
            !answer.windows(2).any(|pair| pair == b"R\0"),
            "{bytes:?} was let in"
        );
    }
    let mut client = Client::connect(server.port);
    assert!(client.simple("SELECT 1").is_ok());
}

#[test]
fn scroll_cursors_are_read_in_every_direction() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    let mut rows = |sql: &str| {
        let answer = client.simple(sql).unwrap();
        let cells: Vec<String> = answer
            .rows
            .into_iter()
            .map(|row| row[0].clone().unwrap())
            .collect();
        (cells.join(" "), answer.tag)
    };
    let all = |cells: &str, tag: &str| (cells.to_owned(), tag.to_owned());
    rows("BEGIN");
    rows("DECLARE c SCROLL CURSOR FOR SELECT id FROM numbers WHERE id < 6 ORDER BY id");
    assert_eq!(rows("FETCH 2 FROM c"), all("0 1", "FETCH 2"));
    assert_eq!(rows("FETCH PRIOR FROM c"), all("0", "FETCH 1"));
    assert_eq!(rows("FETCH LAST FROM c"), all("5", "FETCH 1"));
    assert_eq!(rows("FETCH BACKWARD 2 FROM c"), all("4 3", "FETCH 2"));
    assert_eq!(rows("MOVE ABSOLUTE 2 IN c"), all("", "MOVE 1"));
    assert_eq!(rows("FETCH ALL FROM c"), all("2 3 4 5", "FETCH 4"));
    assert_eq!(rows("MOVE BACKWARD ALL FROM c"), all("", "MOVE 6"));
    assert_eq!(rows("FETCH RELATIVE 3 FROM c"), all("2", "FETCH 1"));
    assert_eq!(rows("FETCH 0 FROM c"), all("2", "FETCH 1"));
    assert_eq!(
        rows("SELECT is_scrollable::text FROM pg_cursors WHERE name = 'c'").0,
        "true"
    );
    assert_eq!(rows("COMMIT").1, "COMMIT");
    let error = client.simple("FETCH c").unwrap_err();
    assert_eq!(error.code, "34000");
}

#[test]
fn held_cursors_outlive_a_commit_and_not_a_rollback() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    let declare = "DECLARE h CURSOR WITH HOLD FOR SELECT id FROM numbers ORDER BY id";
    client.simple("BEGIN").unwrap();
    client.simple(declare).unwrap();
    client.simple("COMMIT").unwrap();
    assert_eq!(client.simple("FETCH 3 FROM h").unwrap().tag, "FETCH 3");
    client.simple("BEGIN").unwrap();
    client.simple("ROLLBACK").unwrap();
    assert_eq!(client.simple("FETCH 1 FROM h").unwrap().tag, "FETCH 1");
    client.simple("CLOSE ALL").unwrap();
    client.simple("BEGIN").unwrap();
    client.simple(declare).unwrap();
    client.simple("ROLLBACK").unwrap();
    assert_eq!(client.simple("FETCH h").unwrap_err().code, "34000");
    // Two statements in one message are a transaction of their own.
    let answer = client
        .simple("DECLARE c CURSOR FOR SELECT 1; FETCH c")
        .unwrap();
    assert_eq!(answer.tag, "FETCH 1");
    let error = client.simple("DECLARE c CURSOR FOR SELECT 1").unwrap_err();
    assert_eq!(error.code, "25P01");
}

/// From its second execution on a statement starts from a plan that was optimised once.
#[test]
fn a_statement_takes_the_values_of_each_execution() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    client.parse(
        "s",
        "SELECT id FROM numbers WHERE id >= $1 AND name LIKE $2 ORDER BY id LIMIT $3",
    );
    for (from, pattern, limit, expected) in [
        ("5", "%", "2", "5 6"),
        ("7", "name 1%", "3", "10 11 12"),
        ("7", "%9", "1", "9"),
        ("9998", "%", "10", "9998 9999"),
        ("0", "nothing", "10", ""),
        ("3", "%", "0", ""),
    ] {
        client.bind("", "s", &[Some(from), Some(pattern), Some(limit)]);
        client.execute("", 0);
        client.send(b'S', b"");
        let messages = client.until_ready();
        let rows = messages.iter().filter(|message| message.tag == b'D');
        let ids: Vec<String> = rows
            .map(|message| cells(&message.body)[0].clone().unwrap())
            .collect();
        assert_eq!(ids.join(" "), expected);
    }
    client.parse("t", "SELECT now()");
    let mut times = Vec::new();
    for _ in 0..4 {
        client.bind("", "t", &[]);
        client.execute("", 0);
        client.send(b'S', b"");
        let messages = client.until_ready();
        let row = messages.iter().find(|message| message.tag == b'D').unwrap();
        times.push(cells(&row.body));
    }
    times.dedup();
    assert!(times.len() > 1, "the time stood still: {times:?}");
}

#[test]
fn portals_are_moved_in_by_sql() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    client.simple("BEGIN").unwrap();
    client.parse("", "SELECT id FROM numbers ORDER BY id");
    client.bind("Named", "", &[]);
    client.execute("Named", 2);
    client.send(b'S', b"");
    client.until_ready();
    let moved = client.simple("MOVE FORWARD 3 FROM \"Named\"").unwrap();
    assert_eq!(moved.tag, "MOVE 3");
    let fetched = client.simple("FETCH 1 FROM \"Named\"").unwrap();
    assert_eq!(fetched.rows[0][0].as_deref(), Some("5"));
    client.execute("Named", 1);
    client.send(b'S', b"");
    let messages = client.until_ready();
    assert_eq!(cells(&messages[0].body)[0].as_deref(), Some("6"));
    client.simple("COMMIT").unwrap();
    let error = client.simple("MOVE 1 FROM \"Named\"").unwrap_err();
    assert_eq!(error.code, "34000");
}

#[test]
fn changed_settings_are_reported_and_a_failed_message_undoes_them() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    let reported = |messages: &[client::Message]| {
        let statuses = messages.iter().filter(|message| message.tag == b'S');
        statuses
            .map(|message| String::from_utf8_lossy(&message.body).replace('\0', " "))
            .collect::<String>()
    };
    client.send(
        b'Q',
        b"SELECT set_config('application_name', 'mine', false)\0",
    );
    assert_eq!(reported(&client.until_ready()), "application_name mine ");
    client.send(b'Q', b"SET application_name = 'other'; SELECT 1 / 0\0");
    assert_eq!(reported(&client.until_ready()), "");
    let shown = client.simple("SHOW application_name").unwrap();
    assert_eq!(shown.rows[0][0].as_deref(), Some("mine"));
    client.send(b'Q', b"SET application_name = 'mine'\0");
    assert_eq!(reported(&client.until_ready()), "");
}

#[test]
fn notifications_reach_who_listens_when_the_transaction_ends() {
    let server = Server::shared();
    let mut listener = Client::connect(server.port);
    let mut sender = Client::connect(server.port);
    listener.simple("LISTEN news").unwrap();
    sender.simple("BEGIN").unwrap();
    sender.simple("NOTIFY news, 'kept'").unwrap();
    sender.simple("COMMIT").unwrap();
    let message = listener.message().unwrap();
    assert_eq!(message.tag, b'A');
    assert_eq!(&message.body[..4], &sender.pid.to_be_bytes()[..]);
    assert_eq!(&message.body[4..], b"news\0kept\0");
    sender
        .simple("BEGIN; NOTIFY news, 'lost'; ROLLBACK; NOTIFY news, 'next'")
        .unwrap();
    assert_eq!(&listener.message().unwrap().body[4..], b"news\0next\0");
}

#[test]
fn advisory_locks_wait_for_each_other_and_end_with_their_session() {
    let server = Server::shared();
    let mut first = Client::connect(server.port);
    let mut second = Client::connect(server.port);
    first.simple("SELECT pg_advisory_lock(4711)").unwrap();
    let taken = second.simple("SELECT pg_try_advisory_lock(4711)").unwrap();
    assert_eq!(taken.rows[0][0].as_deref(), Some("f"));
    second.simple("SET lock_timeout = '10ms'").unwrap();
    let error = second.simple("SELECT pg_advisory_lock(4711)").unwrap_err();
    assert_eq!(error.code, "55P03");
    second.simple("SET lock_timeout = 0").unwrap();
    second.send(b'Q', b"SELECT pg_advisory_xact_lock(4711)\0");
    drop(first);
    let messages = second.until_ready();
    assert!(messages.iter().any(|message| message.tag == b'C'));
    let taken = second.simple("SELECT pg_advisory_unlock(4711)").unwrap();
    assert_eq!(taken.rows[0][0].as_deref(), Some("f"));
}

#[test]
fn cursors_read_forward_and_end_with_their_transaction() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    assert_eq!(
        client
            .simple("DECLARE c CURSOR FOR SELECT 1")
            .unwrap_err()
            .code,
        "25P01"
    );
    client.simple("BEGIN").unwrap();
    assert_eq!(
        client
            .simple("DECLARE C NO SCROLL CURSOR FOR SELECT id FROM numbers ORDER BY id")
            .unwrap()
            .tag,
        "DECLARE CURSOR"
    );
    let first = client.simple("FETCH FORWARD 3 FROM c").unwrap();
    assert_eq!((first.tag.as_str(), first.rows.len()), ("FETCH 3", 3));
    let next = client.extended("FETCH 2 FROM c", &[]).unwrap();
    assert_eq!(
        (next.names, next.rows[0][0].as_deref()),
        (vec!["id".to_owned()], Some("3"))
    );
    assert_eq!(client.simple("FETCH ALL IN c").unwrap().tag, "FETCH 9995");
    assert_eq!(client.simple("FETCH NEXT FROM c").unwrap().tag, "FETCH 0");
    client
        .simple("DECLARE h CURSOR WITH HOLD FOR SELECT id FROM numbers")
        .unwrap();
    client.simple("COMMIT").unwrap();
    assert_eq!(
        client.simple("FETCH NEXT FROM c").unwrap_err().code,
        "34000"
    );
    assert_eq!(client.simple("FETCH 10 FROM h").unwrap().tag, "FETCH 10");
    // A plain scan goes back unasked, an aggregate does not.
    let back = client.simple("FETCH BACKWARD 1 FROM h").unwrap();
    assert_eq!(back.rows[0][0].as_deref(), Some("8"));
    client
        .simple("DECLARE g CURSOR WITH HOLD FOR SELECT count(*) FROM numbers")
        .unwrap();
    assert_eq!(client.simple("FETCH 1 FROM g").unwrap().tag, "FETCH 1");
    assert_eq!(
        client.simple("FETCH BACKWARD 1 FROM g").unwrap_err().code,
        "55000"
    );
    let scrolls = "SELECT is_scrollable FROM pg_cursors ORDER BY name";
    let scrolls = client.simple(scrolls).unwrap().rows;
    assert_eq!(
        scrolls.concat(),
        [Some("f".to_owned()), Some("t".to_owned())]
    );
    assert_eq!(client.simple("CLOSE h").unwrap().tag, "CLOSE CURSOR");
    assert_eq!(client.simple("CLOSE h").unwrap_err().code, "34000");
}

#[test]
fn an_idle_transaction_ends_after_its_limit() {
    let server = Server::shared();
    let mut client = Client::connect(server.port);
    client
        .simple("SET idle_in_transaction_session_timeout = '50ms'")
        .unwrap();
    client.simple("BEGIN").unwrap();
    let last = client.message().unwrap();
    assert_eq!(
        (report(&last).code.as_str(), report(&last).severity.as_str()),
        ("25P03", "FATAL")
    );
    assert_eq!(client.message(), None);
}

#[test]
fn databases_that_do_not_exist_are_refused() {
    let server = Server::shared();
    let mut client = Client {
        socket: client::open(server.port),
        pid: 0,
        secret: Vec::new(),
    };
    client.send_startup(
        0x0003_0000,
        &[("user", "tester"), ("database", "elsewhere")],
    );
    let last = client.until_ready();
    assert_eq!(report(&last[0]).code, "3D000");
    assert_eq!(report(&last[0]).severity, "FATAL");
}

#[test]
fn newer_protocols_are_negotiated_and_have_long_keys() {
    let server = Server::shared();
    let mut client = Client {
        socket: client::open(server.port),
        pid: 0,
        secret: Vec::new(),
    };
    client.send_startup(0x0003_0009, &[("user", "tester"), ("_pq_.new_thing", "on")]);
    let messages = client.until_ready();
    assert_eq!(messages[0].tag, b'v');
    assert_eq!(messages[0].body[..4], 0x0003_0002_i32.to_be_bytes()[..]);
    let key = messages.iter().find(|message| message.tag == b'K').unwrap();
    assert_eq!(key.body.len(), 4 + 32);
    assert_eq!(messages.last().unwrap().tag, b'Z');
}

#[test]
fn poison_statements_are_refused_and_the_server_lives() {
    let server = Server::start(&fixtures::data(), &["--memory-limit", "1GB"]);
    let doubling = (1..=24).fold("WITH c0 AS (SELECT 1 AS x)".to_owned(), |sql, level| {
        format!(
            "{sql}, c{level} AS (SELECT * FROM c{0} UNION ALL SELECT * FROM c{0})",
            level - 1
        )
    });
    let joins: Vec<String> = (1..400)
        .map(|table| format!(" JOIN numbers t{table} USING (id)"))
        .collect();
    let joins = joins.concat();
    let statements = [
        format!("SELECT 1{}", "+1".repeat(20_000)),
        format!("SELECT true{}", " OR id = 1".repeat(20_000)) + " FROM numbers",
        format!("SELECT 'a'{}", "||'a'".repeat(20_000)),
        format!("SELECT 1{}", "::int".repeat(20_000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(5_000)),
        format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("{doubling} SELECT count(*) FROM c24"),
        format!("SELECT count(*) FROM numbers t0{joins}"),
        "SELECT length(lpad('a', 2000000000, 'b'))".to_owned(),
        "SELECT length(rpad('a', 2000000000, 'b'))".to_owned(),
        "SELECT array_repeat(1, 1000000000)".to_owned(),
        "SELECT sum(length(repeat(name, 1000000))) FROM numbers".to_owned(),
        "SELECT length(repeat('x', 1000000000))".to_owned(),
        "SELECT range(0, 400000000)".to_owned(),
        "SELECT array_resize(ARRAY[1], 2000000000)".to_owned(),
        "SELECT length(replace(repeat('a', 1000000), 'a', repeat('b', 1000000)))".to_owned(),
        "SELECT 'aaaa' ~ '(a{1000}){1000}'".to_owned(),
    ];
    let mut bystander = Client::connect(server.port);
    for sql in statements {
        let mut client = Client::connect(server.port);
        let shown = &sql[..sql.len().min(60)];
        let code = client
            .simple(&sql)
            .map(|_| String::new())
            .map_err(|error| error.code);
        let code = code.unwrap_or_else(|code| code);
        assert!(
            ["54000", "54001", "53200", "2201B"].contains(&code.as_str()),
            "{shown}: {code}"
        );
        assert!(client.simple("SELECT 1").is_ok(), "{shown}");
        assert!(bystander.simple("SELECT 1").is_ok(), "{shown}");
    }
    let long_but_plain = format!("SELECT 1{}", "+1".repeat(300));
    assert_eq!(
        bystander.simple(&long_but_plain).unwrap().rows[0][0].as_deref(),
        Some("301")
    );
}

#[test]
fn new_changed_and_removed_files_are_seen() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("visits")).unwrap();
    fixtures::write_numbers(&folder.path().join("visits/a.parquet"), 0, 10);
    let server = Server::start(folder.path(), &["--staleness", "100ms"]);
    let mut client = Client::connect(server.port);
    // A prepared statement must see them too.
    client.parse("visits", "SELECT count(*) FROM visits");
    client.send(b'S', b"");
    client.until_ready();
    expect_count(&mut client, "10");
    fixtures::write_numbers(&folder.path().join("visits/b.parquet"), 10, 5);
    expect_count(&mut client, "15");
    fixtures::write_numbers(&folder.path().join("visits/a.parquet"), 0, 1);
    expect_count(&mut client, "6");
    std::fs::remove_file(folder.path().join("visits/b.parquet")).unwrap();
    expect_count(&mut client, "1");
    fixtures::write_numbers(&folder.path().join("late.parquet"), 0, 3);
    eventually(|| client.simple("SELECT count(*) FROM late").is_ok());
}

#[test]
fn a_damaged_file_is_named_and_harms_only_its_table() {
    let folder = TempDir::new().unwrap();
    fixtures::write_numbers(&folder.path().join("good.parquet"), 0, 10);
    std::fs::create_dir(folder.path().join("bad")).unwrap();
    fixtures::write_numbers(&folder.path().join("bad/fine.parquet"), 0, 10);
    std::fs::write(
        folder.path().join("bad/broken.parquet"),
        b"PAR1 this is no Parquet file PAR1",
    )
    .unwrap();
    let server = Server::start(folder.path(), &[]);
    let mut client = Client::connect(server.port);
    let error = client.simple("SELECT * FROM bad").unwrap_err();
    assert_eq!(error.code, "XX001");
    assert!(error.message.contains("broken.parquet"), "{error}");
    assert_eq!(
        client.simple("SELECT count(*) FROM good").unwrap().rows[0][0].as_deref(),
        Some("10")
    );
}

#[test]
fn sigterm_lets_running_statements_finish_and_refuses_new_connections() {
    let mut server = Server::start(&fixtures::data(), &[]);
    let mut idle = Client::connect(server.port);
    let mut busy = Client::connect(server.port);
    busy.send(b'Q', b"SELECT pg_sleep(2), 'done'\0");
    wait_until_active(&server, busy.pid);
    server.signal("TERM");
    let last = idle.until_ready();
    assert_eq!(report(&last[0]).code, "57P01");
    let mut late = Client {
        socket: client::open(server.port),
        pid: 0,
        secret: Vec::new(),
    };
    late.send_startup(0x0003_0000, &[("user", "tester")]);
    assert_eq!(report(&late.until_ready()[0]).code, "57P03");
    let messages = busy.until_ready();
    assert!(
        messages.iter().any(|message| message.tag == b'C'),
        "the running statement was not finished"
    );
    assert!(server.wait().success());
}

#[test]
fn a_second_sigterm_stops_at_once() {
    let mut server = Server::start(&fixtures::data(), &[]);
    let mut busy = Client::connect(server.port);
    busy.send(b'Q', format!("{ENDLESS}\0").as_bytes());
    wait_until_active(&server, busy.pid);
    server.signal("TERM");
    // The first signal is seen before the second is sent: connections are refused.
    eventually(|| {
        let mut late = Client {
            socket: client::open(server.port),
            pid: 0,
            secret: Vec::new(),
        };
        late.send_startup(0x0003_0000, &[("user", "tester")]);
        late.until_ready()
            .first()
            .is_some_and(|message| message.tag == b'E')
    });
    server.signal("TERM");
    let last = busy.until_ready();
    assert_eq!(report(last.last().unwrap()).code, "57P01");
    assert!(server.wait().success());
}

#[tokio::test]
async fn a_real_driver_prepares_binds_and_reads_binary_results() {
    let server = Server::shared();
    let config = format!(
        "host=127.0.0.1 port={} user=tester dbname=loyalhouse",
        server.port
    );
    let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls)
        .await
        .unwrap();
    let driver = tokio::spawn(connection);
    let row = client
        .query_one(
            "SELECT nps(score), count(*) FROM surveys WHERE kind = $1",
            &[&"nps"],
        )
        .await
        .unwrap();
    assert!((-100.0..=100.0).contains(&row.get::<_, f64>(0)));
    assert!(row.get::<_, i64>(1) > 0);
    let rows = client
        .query(
            "SELECT id, name, bucket FROM numbers WHERE id < $1 ORDER BY id",
            &[&5_i64],
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), 5);
    assert_eq!(rows[3].get::<_, &str>(1), "name 3");
    assert_eq!(rows[4].get::<_, i32>(2), 4);
    let error = client.query("SELECT * FROM numbrs", &[]).await.unwrap_err();
    assert_eq!(
        error.as_db_error().unwrap().hint(),
        Some("Perhaps you meant the relation \"numbers\".")
    );
    drop(client);
    driver.await.unwrap().unwrap();
}

fn expect_count(client: &mut Client, expected: &str) {
    eventually(|| {
        client.bind("", "visits", &[]);
        client.execute("", 0);
        client.send(b'S', b"");
        client.until_ready().iter().any(|message| {
            message.tag == b'D' && cells(&message.body)[0].as_deref() == Some(expected)
        })
    });
}

/// Polls until `holds`; fails after a time that is far longer than it can take.
fn eventually(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "what was awaited did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the session of `pid` runs a statement.
fn wait_until_active(server: &Server, pid: i32) {
    let mut observer = Client::connect(server.port);
    let sql =
        format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND state = 'active'");
    eventually(|| observer.simple(&sql).unwrap().rows[0][0].as_deref() == Some("1"));
}
