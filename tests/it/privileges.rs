//! Roles and privileges in SQL: what is granted works, what is not reveals nothing.

use super::client::Report;
use super::door::House;
use super::login::{Login, Proof};
use super::process::Server;

/// A server with the superuser `admin` and the role `ana` (password `a`), who may do nothing yet.
struct Stage {
    _house: House,
    server: Server,
    admin: Login,
}

impl Stage {
    fn new() -> Self {
        let house = House::new();
        let server = house.serve();
        let mut admin = Login::as_user(server.port, "admin", "open sesame");
        admin.ask("CREATE ROLE ana LOGIN PASSWORD 'a'").unwrap();
        Self {
            _house: house,
            server,
            admin,
        }
    }

    fn ana(&self) -> Login {
        Login::as_user(self.server.port, "ana", "a")
    }

    fn run(&mut self, statements: &[&str]) {
        for sql in statements {
            self.admin
                .ask(sql)
                .unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }

    fn fails(&mut self, sql: &str) -> Report {
        match self.admin.ask(sql) {
            Err(report) => report,
            Ok(rows) => panic!("{sql} gave {rows:?}"),
        }
    }
}

fn code(result: Result<Vec<Vec<String>>, Report>) -> String {
    match result {
        Ok(rows) => format!("{rows:?}"),
        Err(error) => error.code,
    }
}

#[test]
fn without_the_grant_nothing_is_told() {
    let stage = Stage::new();
    let mut ana = stage.ana();
    for sql in [
        "SELECT * FROM surveys",
        "SELECT count(*) FROM surveys",
        "SELECT 1 FROM surveys AS harmless",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM surveys)",
        "SELECT (SELECT max(score) FROM surveys)",
        "WITH harmless AS (SELECT * FROM public.surveys) SELECT 1 FROM harmless",
        "SELECT 1 FROM (VALUES (1)) v(x), LATERAL (SELECT count(*) FROM surveys) s",
        "SELECT 1 UNION ALL SELECT score FROM surveys",
        "SELECT no_such_column FROM surveys",
        "EXPLAIN SELECT * FROM surveys",
        "EXPLAIN ANALYZE SELECT count(*) FROM surveys",
        "COPY surveys TO STDOUT",
        "COPY (SELECT * FROM surveys) TO STDOUT",
        "SELECT rolpassword FROM pg_authid",
        "SELECT passwd FROM pg_catalog.pg_shadow",
    ] {
        for extended in [false, true] {
            let result = match extended {
                false => ana.ask(sql),
                true => ana.ask_extended(sql),
            };
            let error = result.expect_err(sql);
            assert_eq!(error.code, "42501", "{sql}: {error}");
            assert!(
                error.message.starts_with("permission denied for"),
                "{sql}: {error}"
            );
            assert!(!error.message.contains("score"), "{sql}: {error}");
        }
    }
    ana.ask("BEGIN").unwrap();
    assert_eq!(
        code(ana.ask("DECLARE c CURSOR FOR SELECT * FROM surveys")),
        "42501"
    );
    ana.ask("ROLLBACK").unwrap();
    assert_eq!(code(ana.ask("SELECT * FROM kpi.targets")), "42501");
    let known = "SELECT reltuples FROM pg_class WHERE relname = 'surveys'";
    assert_eq!(ana.ask(known).unwrap(), [["-1"]]);
    assert!(!format!("{:?}", ana.ask("SELECT * FROM survey")).contains("surveys"));
    assert_eq!(
        ana.ask("SELECT count(*) FROM pg_class WHERE relname = 'surveys'")
            .unwrap(),
        [["1"]]
    );
    assert_eq!(
        ana.ask("SELECT count(*) FROM generate_series(1, 3)")
            .unwrap(),
        [["3"]]
    );
}

#[test]
fn a_grant_opens_and_a_revoke_closes_at_once() {
    let mut stage = Stage::new();
    let mut ana = stage.ana();
    stage.run(&["GRANT SELECT ON surveys, orders TO ana"]);
    ana.ask("SELECT count(*) FROM surveys").unwrap();
    // Parsed while it was allowed.
    ana.send(b'P', b"kept\0SELECT count(*) FROM surveys\0\0\0");
    ana.send(b'S', b"");
    assert!(ana.rest(&mut String::new()).is_none());
    stage.run(&["REVOKE SELECT ON TABLE public.surveys FROM ana"]);
    ana.send(b'B', b"\0kept\0\0\0\0\0\0\0");
    ana.send(b'E', &[0; 5]);
    ana.send(b'S', b"");
    assert_eq!(ana.rest(&mut String::new()).unwrap().code, "42501");
    assert_eq!(code(ana.ask("SELECT count(*) FROM surveys")), "42501");
    ana.ask("SELECT count(*) FROM orders").unwrap();
    // By membership, by PUBLIC, by schema.
    stage.run(&[
        "CREATE ROLE readers",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO readers",
        "GRANT readers TO ana",
    ]);
    ana.ask("SELECT count(*) FROM surveys").unwrap();
    stage.run(&["ALTER ROLE ana NOINHERIT"]);
    assert_eq!(code(ana.ask("SELECT count(*) FROM surveys")), "42501");
    ana.ask("SET ROLE readers").unwrap();
    assert_eq!(
        ana.ask("SELECT current_user::text, session_user::text")
            .unwrap(),
        [["readers", "ana"]]
    );
    ana.ask("SELECT count(*) FROM surveys").unwrap();
    ana.ask("RESET ROLE").unwrap();
    assert_eq!(code(ana.ask("SET ROLE admin")), "42501");
    stage.run(&["GRANT SELECT ON kpi.targets TO PUBLIC"]);
    assert_eq!(
        ana.ask("SELECT 1 FROM kpi.targets").unwrap_err().message,
        "permission denied for schema kpi"
    );
    stage.run(&["GRANT USAGE ON SCHEMA kpi TO ana"]);
    assert_eq!(
        ana.ask("SELECT count(*) FROM kpi.targets").unwrap(),
        [["3"]]
    );
}

#[test]
fn grants_are_shown_where_tools_look() {
    let mut stage = Stage::new();
    stage.run(&[
        "GRANT SELECT ON surveys TO ana WITH GRANT OPTION",
        "GRANT INSERT ON surveys TO ana",
    ]);
    let acl = "SELECT array_to_string(relacl, ' ') FROM pg_class WHERE oid = 'surveys'::regclass";
    assert_eq!(
        stage.admin.ask(acl).unwrap(),
        [["loyalhouse=arwdDxt/loyalhouse ana=ar*/loyalhouse"]]
    );
    let mut ana = stage.ana();
    let asked = "SELECT has_table_privilege('surveys', 'select'), \
                 has_table_privilege('ana', 'surveys', 'SELECT WITH GRANT OPTION'), \
                 has_table_privilege('orders', 'select, insert'), \
                 has_table_privilege('admin', 'orders', 'delete'), \
                 has_schema_privilege('public', 'usage'), has_schema_privilege('kpi', 'usage'), \
                 has_any_column_privilege('surveys', 'update'), \
                 has_table_privilege('pg_authid', 'select'), pg_has_role('admin', 'member')";
    assert_eq!(
        ana.ask(asked).unwrap(),
        [["t", "t", "f", "t", "t", "f", "f", "f", "f"]]
    );
    let listed = "SELECT grantee, privilege_type, is_grantable FROM information_schema.role_table_grants \
                  WHERE table_name = 'surveys' AND grantee = 'ana' ORDER BY 2";
    assert_eq!(
        ana.ask(listed).unwrap(),
        [["ana", "INSERT", "NO"], ["ana", "SELECT", "YES"]]
    );
    let roles = "SELECT rolname, rolsuper, rolcanlogin FROM pg_roles ORDER BY 1";
    assert_eq!(
        ana.ask(roles).unwrap(),
        [
            ["admin", "t", "t"],
            ["ana", "f", "t"],
            ["loyalhouse", "t", "f"]
        ]
    );
}

#[test]
fn a_grant_option_is_given_on_and_taken_back_with_what_hangs_on_it() {
    let mut stage = Stage::new();
    stage.run(&[
        "CREATE USER bob PASSWORD 'b'",
        "GRANT SELECT ON surveys TO ana WITH GRANT OPTION",
    ]);
    let mut ana = stage.ana();
    let mut bob = Login::as_user(stage.server.port, "bob", "b");
    assert_eq!(code(ana.ask("GRANT SELECT ON orders TO bob")), "42501");
    assert_eq!(code(bob.ask("SELECT count(score) FROM surveys")), "42501");
    ana.ask("GRANT SELECT ON surveys TO bob").unwrap();
    bob.ask("SELECT count(score) FROM surveys").unwrap();
    assert_eq!(
        stage.fails("REVOKE SELECT ON surveys FROM ana").code,
        "2BP01"
    );
    stage.run(&["REVOKE SELECT ON surveys FROM ana CASCADE"]);
    assert_eq!(code(bob.ask("SELECT count(score) FROM surveys")), "42501");
}

#[test]
fn default_privileges_are_for_tables_that_come_later() {
    let house = House::new();
    let folder = tempfile::TempDir::new().unwrap();
    super::fixtures::write_numbers(&folder.path().join("old.parquet"), 0, 3);
    let server = house.serve_on(folder.path(), &["--staleness", "50ms"]);
    let mut admin = Login::as_user(server.port, "admin", "open sesame");
    for sql in [
        "CREATE ROLE ana LOGIN PASSWORD 'a'",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO ana",
    ] {
        admin.ask(sql).unwrap();
    }
    super::fixtures::write_numbers(&folder.path().join("new.parquet"), 0, 5);
    let mut ana = Login::as_user(server.port, "ana", "a");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while admin.ask("SELECT count(*) FROM new").is_err() {
        assert!(
            std::time::Instant::now() < deadline,
            "the new table is not seen"
        );
    }
    assert_eq!(ana.ask("SELECT count(*) FROM new").unwrap(), [["5"]]);
    assert_eq!(code(ana.ask("SELECT count(*) FROM old")), "42501");
    // A table keeps what it came with.
    admin
        .ask("ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM ana")
        .unwrap();
    ana.ask("SELECT count(*) FROM new").unwrap();
    admin.ask("REVOKE ALL ON new FROM ana").unwrap();
    assert_eq!(code(ana.ask("SELECT count(*) FROM new")), "42501");
}

#[test]
fn mistakes_have_the_codes_of_postgresql() {
    let mut stage = Stage::new();
    stage.run(&[
        "CREATE ROLE readers",
        "GRANT SELECT ON surveys TO readers",
        "GRANT readers TO ana",
    ]);
    for (sql, expected) in [
        ("CREATE ROLE ana", "42710"),
        ("CREATE ROLE pg_x", "42939"),
        ("DROP ROLE nobody", "42704"),
        ("DROP ROLE readers", "2BP01"),
        ("DROP ROLE admin", "55006"),
        ("DROP ROLE loyalhouse", "2BP01"),
        ("ALTER ROLE admin NOSUPERUSER", "2BP01"),
        ("ALTER ROLE ana SET work_mem = '1GB'", "0A000"),
        (
            "ALTER ROLE ana PASSWORD 'md5d41d8cd98f00b204e9800998ecf8427e'",
            "0A000",
        ),
        ("ALTER ROLE ana VALID UNTIL 'soon'", "22007"),
        ("GRANT SELECT ON nothing TO ana", "42P01"),
        ("GRANT SELECT ON surveys TO nobody", "42704"),
        ("GRANT USAGE ON surveys TO ana", "0LP01"),
        ("GRANT FLYING ON surveys TO ana", "42601"),
        ("GRANT SELECT (score) ON surveys TO ana", "0A000"),
        ("GRANT USAGE ON SCHEMA nothing TO ana", "3F000"),
        ("GRANT ana TO readers", "0LP01"),
        (
            "GRANT SELECT ON surveys TO PUBLIC WITH GRANT OPTION",
            "0LP01",
        ),
        ("REASSIGN OWNED BY loyalhouse TO ana", "2BP01"),
        ("SET ROLE nobody", "42704"),
    ] {
        let error = stage.fails(sql);
        assert_eq!(error.code, expected, "{sql}: {error}");
    }
    stage.run(&[
        "DROP OWNED BY readers",
        "DROP ROLE IF EXISTS readers, nobody",
    ]);
    let mut ana = stage.ana();
    for sql in [
        "CREATE ROLE bob",
        "ALTER ROLE ana SUPERUSER",
        "ALTER ROLE admin PASSWORD 'mine'",
        "ALTER ROLE ana CREATEROLE",
        "DROP ROLE admin",
        "GRANT admin TO ana",
        "GRANT SELECT ON surveys TO ana",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ana",
        "SET SESSION AUTHORIZATION admin",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'admin'",
    ] {
        assert_eq!(code(ana.ask(sql)), "42501", "{sql}");
    }
}

#[test]
fn changes_follow_their_transaction() {
    let mut stage = Stage::new();
    let ask = "SELECT count(*) FROM pg_roles WHERE rolname IN ('bob', 'eve', 'kim')";
    stage.run(&["BEGIN", "CREATE ROLE bob", "ROLLBACK"]);
    assert_eq!(stage.admin.ask(ask).unwrap(), [["0"]]);
    stage.run(&[
        "BEGIN",
        "CREATE ROLE bob",
        "SAVEPOINT s",
        "CREATE ROLE eve",
        "ROLLBACK TO s",
    ]);
    assert_eq!(stage.fails("CREATE ROLE bob").code, "42710");
    assert_eq!(stage.fails("CREATE ROLE kim").code, "25P02");
    stage.run(&["ROLLBACK TO s", "GRANT SELECT ON surveys TO bob", "COMMIT"]);
    assert_eq!(stage.admin.ask(ask).unwrap(), [["1"]]);
    assert_eq!(stage.fails("DROP ROLE bob").code, "2BP01");
}

#[test]
fn changes_of_one_query_string_are_made_together() {
    let mut stage = Stage::new();
    let ask = "SELECT count(*) FROM pg_roles WHERE rolname IN ('bob', 'eve')";
    let failing = "CREATE ROLE bob; GRANT SELECT ON surveys TO bob; SELECT 1/0";
    assert_eq!(stage.fails(failing).code, "22012");
    assert_eq!(stage.admin.ask(ask).unwrap(), [["0"]]);
    stage.run(&["CREATE ROLE bob; GRANT SELECT ON surveys TO bob; SELECT 1"]);
    assert_eq!(stage.admin.ask(ask).unwrap(), [["1"]]);
    assert_eq!(stage.fails("DROP ROLE bob").code, "2BP01");
    // A block that begins within takes what stands before it.
    stage.run(&["CREATE ROLE eve; BEGIN; SELECT 1", "ROLLBACK"]);
    assert_eq!(stage.admin.ask(ask).unwrap(), [["1"]]);
    // COMMIT without a block makes what stands before it.
    let failing = "CREATE ROLE eve; COMMIT; SELECT 1/0";
    assert_eq!(stage.fails(failing).code, "22012");
    assert_eq!(stage.admin.ask(ask).unwrap(), [["2"]]);
}

#[test]
fn passwords_are_seen_nowhere() {
    let mut stage = Stage::new();
    stage.run(&["ALTER ROLE ana PASSWORD 'tiger2000'"]);
    let mut watcher = Login::as_user(stage.server.port, "admin", "open sesame");
    let seen = watcher
        .ask("SELECT query FROM pg_stat_activity WHERE query LIKE 'ALTER ROLE%'")
        .unwrap();
    assert_eq!(seen, [["ALTER ROLE ana PASSWORD"]]);
    let mut ana = Login::as_user(stage.server.port, "ana", "tiger2000");
    let others = ana
        .ask("SELECT DISTINCT query FROM pg_stat_activity WHERE usename = 'admin'")
        .unwrap();
    assert_eq!(others, [["<insufficient privilege>"]]);
    ana.ask("ALTER USER ana PASSWORD 'lion3000'").unwrap();
    let outcome = Login::plain(stage.server.port).log_in("ana", Proof::Password("tiger2000"));
    assert_eq!(outcome.refusal.unwrap().code, "28P01");
    Login::as_user(stage.server.port, "ana", "lion3000");
}

#[test]
fn limits_of_a_role_hold() {
    let mut stage = Stage::new();
    let refused = |stage: &Stage| {
        let mut login = Login::plain(stage.server.port);
        login
            .log_in("ana", Proof::Password("a"))
            .refusal
            .unwrap()
            .code
    };
    stage.run(&["ALTER ROLE ana CONNECTION LIMIT 1"]);
    let first = stage.ana();
    assert_eq!(refused(&stage), "53300");
    drop(first);
    stage.run(&["ALTER ROLE ana CONNECTION LIMIT -1 VALID UNTIL '2001-01-01'"]);
    assert_eq!(refused(&stage), "28P01");
    stage.run(&["ALTER ROLE ana VALID UNTIL 'infinity' NOLOGIN"]);
    assert_eq!(refused(&stage), "28000");
    stage.run(&[
        "ALTER ROLE ana LOGIN",
        "REVOKE CONNECT ON DATABASE loyalhouse FROM PUBLIC",
    ]);
    assert_eq!(refused(&stage), "42501");
    stage.run(&["GRANT CONNECT ON DATABASE loyalhouse TO ana"]);
    stage.ana();
}

#[test]
fn own_words_are_read_with_the_sessions_privileges() {
    let mut stage = Stage::new();
    let mut ana = stage.ana();
    stage.run(&[
        "CREATE TABLE words (lang text, term text, weight int)",
        "INSERT INTO words VALUES ('en', 'meh', -2)",
        "SET loyalty.sentiment_lexicon = 'words'",
    ]);
    let ask = "SELECT sentiment_label('meh')";
    assert_eq!(stage.admin.ask(ask).unwrap(), [["negative"]]);
    ana.ask("SET loyalty.sentiment_lexicon = 'words'").unwrap();
    let error = ana.ask(ask).unwrap_err();
    let denied = "loyalty.sentiment_lexicon: permission denied for table words";
    assert_eq!((&*error.code, &*error.message), ("42501", denied));
    stage.run(&["GRANT SELECT ON words TO ana"]);
    assert_eq!(ana.ask(ask).unwrap(), [["negative"]]);
    ana.send(b'P', b"kept\0SELECT sentiment_label('meh')\0\0\0");
    ana.send(b'S', b"");
    assert!(ana.rest(&mut String::new()).is_none());
    stage.run(&["REVOKE SELECT ON words FROM ana"]);
    ana.send(b'B', b"\0kept\0\0\0\0\0\0\0");
    ana.send(b'E', &[0; 5]);
    ana.send(b'S', b"");
    assert_eq!(ana.rest(&mut String::new()).unwrap().code, "42501");
    assert_eq!(code(ana.ask(ask)), "42501");
    // Each session has its own; a view of another reads what its owner may.
    ana.ask("RESET loyalty.sentiment_lexicon").unwrap();
    assert_eq!(ana.ask(ask).unwrap(), [["neutral"]]);
    stage.run(&[
        "CREATE VIEW shared_words AS SELECT * FROM words",
        "GRANT SELECT ON shared_words TO ana",
    ]);
    ana.ask("SET loyalty.sentiment_lexicon = 'shared_words'")
        .unwrap();
    assert_eq!(ana.ask(ask).unwrap(), [["negative"]]);
}
